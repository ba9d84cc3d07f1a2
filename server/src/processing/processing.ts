import type { EventLog } from '@pulse/log'
import { type Group, joinGroup } from '@pulse/log/groups'
import type pg from 'pg'
import type { Handler } from '../config/define-config.ts'
import { ask } from '../database/ask.ts'
import type { Schemas } from '../schemas/schemas.ts'
import { HandlerRegistry } from './handler-registry.ts'
import { HandlerRunner } from './handler-runner.ts'
import { PartitionWorker, type WorkerNeeds } from './partition-worker.ts'
import { findRepeats } from './repeats.ts'
import type { ProcessingReport } from './report.ts'

/** Name of the group that turns events into rows. */
export const processingGroup = 'processing'

export interface ProcessingNeeds {
  readonly log: EventLog
  readonly connection: pg.ClientConfig
  readonly pool: pg.Pool
  readonly schemas: Schemas
  readonly handlers: Readonly<Record<string, Handler>>
  readonly settings: {
    readonly retryAttempts: number
    readonly retryBaseMs: number
    readonly retryMaxMs: number
    readonly handlerTimeoutMs: number
    readonly handlerConcurrency: number
    readonly orderPerKey: boolean
  }
  /** How long an id is remembered. */
  readonly idWindowMs: number
  readonly report: ProcessingReport
}

/** Running workers. Disposing finishes the round in hand, commits it and lets go of the partitions. */
export interface Processing extends AsyncDisposable {
  readonly group: Group
}

/**
 * Starts working on the partitions that are this server's share. Rejects with LogError `unavailable` if the
 * database does not answer.
 */
export async function openProcessing(needs: ProcessingNeeds): Promise<Processing> {
  const { settings, report } = needs
  const policy = {
    attemptsMax: settings.retryAttempts,
    baseMs: settings.retryBaseMs,
    maxMs: settings.retryMaxMs,
  }
  const runner = new HandlerRunner({
    handlers: new HandlerRegistry(needs.handlers),
    policy,
    timeoutMs: settings.handlerTimeoutMs,
    concurrencyMax: settings.handlerConcurrency,
    logOf: report.logOf,
    handled: report.handled,
  })
  const worker: WorkerNeeds = {
    pool: needs.pool,
    runner,
    policy,
    keyOf: (record) => needs.schemas.keyOf(record.event),
    orderPerKey: settings.orderPerKey,
    concurrencyMax: settings.handlerConcurrency,
    report,
    // A log that finds repeats while it appends holds none.
    repeatsIn: needs.log.can.dedupe
      ? undefined
      : (records) => findRepeats({ pool: needs.pool, windowMs: needs.idWindowMs }, records),
  }
  const group = await joinGroup({
    name: processingGroup,
    log: needs.log,
    connection: needs.connection,
    topics: needs.schemas.topics.map((topic) => topic.name),
    work: (held) => new PartitionWorker(worker, held).run(),
    troubled: report.troubled,
  })
  return { group, [Symbol.asyncDispose]: () => group[Symbol.asyncDispose]() }
}

/**
 * Rejects if a partition is stopped because the log cannot serve its next offset, on whichever server that was found:
 * nothing is skipped, so somebody has to mend it.
 */
export async function checkProcessing(pool: pg.Pool): Promise<void> {
  const { rows } = await ask<{ place: string; stopped: string }>(
    pool,
    `select topic || '/' || partition as place, stopped from log_group_partitions
     where group_name = $1 and stopped is not null order by topic, partition`,
    [processingGroup],
  )
  if (rows.length > 0) throw new Error(rows.map(({ place, stopped }) => `${place}: ${stopped}`).join('; '))
}

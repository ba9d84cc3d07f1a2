import type { LogRecord } from '@pulse/log'
import type { HeldPartition } from '@pulse/log/groups'
import type { Event } from '@pulse/protocol/event'
import { microsOf } from '@pulse/protocol/instant'
import type pg from 'pg'
import { commitRows, RefusedRows } from './commit.ts'
import type { Place } from './handler-runner.ts'
import { runMarked } from './marked-run.ts'
import { type Attempt, afterFailure, failureOf, type Outcome, type Work } from './outcome.ts'
import type { WorkerNeeds } from './partition-worker.ts'
import { storeOutcomes } from './store.ts'

const dueMax = 100

interface RetryRow {
  readonly event_id: string
  readonly record_offset: string
  readonly log_epoch: string
  readonly key: string
  readonly event: Event
  readonly received_at: string
  readonly attempts: number
}

/**
 * Events of one partition that wait for another try. With order per key only the first of a key is tried; those
 * behind it wait for it, and the next takes its place when it is done. Which keys are parked is known in memory to
 * the owner of the partition, and loaded from the table by a new one before it runs anything.
 */
export class Retries {
  readonly #needs: WorkerNeeds
  readonly #held: HeldPartition
  readonly #takeTurn: <T>(work: () => Promise<T>) => Promise<T>
  #keys = new Set<string>()

  /** `takeTurn` runs what decides by the parked keys, or changes them, apart from the rounds of the partition. */
  constructor(needs: WorkerNeeds, held: HeldPartition, takeTurn: <T>(work: () => Promise<T>) => Promise<T>) {
    this.#needs = needs
    this.#held = held
    this.#takeTurn = takeTurn
  }

  /** True if events of this key wait: later ones must wait too. */
  hasKey(key: string): boolean {
    return this.#keys.has(key)
  }

  /** Reads which keys are parked; mends a key whose first event was taken away by an operator. */
  async load(): Promise<void> {
    const { topic, partition } = this.#held
    const { rows } = await this.#needs.pool.query<{ key: string }>(
      'select distinct key from retries where topic = $1 and partition = $2',
      [topic, partition],
    )
    this.#keys = new Set(rows.map((row) => row.key))
    for (const key of this.#keys) await this.#releaseNext(this.#needs.pool, key)
  }

  /** Remembers what a committed round has parked. */
  park(outcomes: readonly Outcome[]): void {
    for (const outcome of outcomes) if (outcome.kind === 'parked') this.#keys.add(outcome.work.key)
  }

  /** Tries what is due, one after the other; returns how many that were. Stops early when the signal aborts. */
  async runDue(signal: AbortSignal): Promise<number> {
    const rows = await this.#takeTurn(() => this.#due())
    for (const row of rows) {
      if (signal.aborted) break
      await this.#tryAgain(row)
    }
    return rows.length
  }

  async #due(): Promise<readonly RetryRow[]> {
    const { topic, partition } = this.#held
    const { rows } = await this.#needs.pool.query<RetryRow>(
      `select event_id, record_offset, log_epoch, key, event, attempts,
         to_char(received_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as received_at
       from retries where topic = $1 and partition = $2 and not waits_for_key and next_attempt_at <= clock_timestamp()
       order by record_offset limit $3`,
      [topic, partition, dueMax],
    )
    // An operator may have redriven an event of a key that was not parked: from now on it is.
    for (const row of rows) this.#keys.add(row.key)
    return rows
  }

  // The handler runs beside the rounds, since it may take long; its key is parked, so nothing overtakes it. Behind a
  // mark there is room for one at a time.
  async #tryAgain(row: RetryRow): Promise<void> {
    const place: Place = {
      epoch: Number(row.log_epoch),
      topic: this.#held.topic,
      partition: this.#held.partition,
    }
    const work: Work = { record: recordOf(row), key: row.key, attempts: row.attempts }
    const run = () => this.#needs.runner.run(work, place, this.#held.signal)
    if (this.#held.clean) {
      const attempt = await run()
      await this.#takeTurn(() => this.#settle(place, attempt))
      return
    }
    await this.#takeTurn(async () => {
      // A retry, above all a redriven one, can end the process as well as a first try.
      await this.#settle(place, await runMarked(this.#held, work, run))
      // Else a kill at any later time would be put down to this event.
      await this.#held.mark(undefined)
    })
  }

  async #settle(place: Place, attempt: Attempt): Promise<void> {
    if (attempt.kind === 'left') return
    const { work, kind } = attempt
    try {
      await this.#commit(place, attempt)
    } catch (error) {
      if (!(error instanceof RefusedRows) || kind === 'dead' || kind === 'parked') throw error
      if (this.#held.signal.aborted) return
      await this.#commit(place, afterFailure(work, failureOf(error.cause, 'rows'), this.#needs.policy))
    }
  }

  async #commit(place: Place, outcome: Outcome): Promise<void> {
    const { work } = outcome
    await commitRows(this.#needs.pool, [outcome], async (tx) => {
      await this.#held.fence(tx)
      if (outcome.kind === 'parked') return await postpone(tx, outcome)
      await tx.query('delete from retries where event_id = $1', [work.record.event.event_id])
      await storeOutcomes(tx, place, [outcome])
      await this.#releaseNext(tx, work.key)
    })
    this.#needs.report.retried(outcome)
    if (outcome.kind !== 'parked') await this.#forgetIfEmpty(work.key)
  }

  /** The first of those that wait behind a key may be tried now. */
  async #releaseNext(client: pg.ClientBase | pg.Pool, key: string): Promise<void> {
    const { topic, partition } = this.#held
    await client.query(
      `update retries set waits_for_key = false, next_attempt_at = clock_timestamp()
       where event_id = (select event_id from retries where topic = $1 and key = $2 and partition = $3
         order by record_offset limit 1) and waits_for_key`,
      [topic, key, partition],
    )
  }

  async #forgetIfEmpty(key: string): Promise<void> {
    const { topic, partition } = this.#held
    const { rowCount } = await this.#needs.pool.query(
      'select 1 from retries where topic = $1 and key = $2 and partition = $3 limit 1',
      [topic, key, partition],
    )
    if (rowCount === 0) this.#keys.delete(key)
  }
}

async function postpone(client: pg.ClientBase, outcome: Extract<Outcome, { kind: 'parked' }>): Promise<void> {
  const { work, failure, delayMs } = outcome
  await client.query(
    `update retries set attempts = $2, next_attempt_at = clock_timestamp() + make_interval(secs => $3 / 1000.0),
       error_class = $4, error_message = $5, handler = $6
     where event_id = $1`,
    [
      work.record.event.event_id,
      work.attempts + 1,
      delayMs,
      failure?.errorClass,
      failure?.message,
      failure?.handler,
    ],
  )
}

function recordOf(row: RetryRow): LogRecord {
  return {
    offset: Number(row.record_offset),
    receivedAt: microsOf(row.received_at),
    event: row.event,
    get value() {
      return JSON.stringify(row.event)
    },
  }
}

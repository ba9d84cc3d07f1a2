import { type LogBatch, LogError, type LogRecord } from '@pulse/log'
import { isControl } from '@pulse/log/control-record'
import type { HeldPartition, Verdicts } from '@pulse/log/groups'
import { OneAtATime } from '@pulse/log/one-at-a-time'
import type pg from 'pg'
import { inTime } from '../database/ask.ts'
import { commitRows, isTooSlow, RefusedRows } from './commit.ts'
import { gather } from './gather.ts'
import type { HandlerRunner, Place } from './handler-runner.ts'
import { runMarked } from './marked-run.ts'
import {
  type Attempt,
  afterFailure,
  failureOf,
  finishedOf,
  type Outcome,
  type RetryPolicy,
  type Work,
} from './outcome.ts'
import type { Repeat } from './repeats.ts'
import type { ProcessingReport } from './report.ts'
import { Retries } from './retries.ts'
import { EventIdConflict, storeOutcomes } from './store.ts'

/**
 * A round is one transaction; 2,000 rows take about 40 ms and keep few events in doubt after a crash. Under a steady stream
 * one every 20 ms keeps an event's way to its row below 50 ms and costs a third less than one after each append.
 */
const roundMax = { records: 2_000, chars: 8 * 1024 * 1024, paceMs: 20 } as const

export interface WorkerNeeds {
  readonly pool: pg.Pool
  readonly runner: HandlerRunner
  readonly policy: RetryPolicy
  readonly keyOf: (record: LogRecord) => string
  readonly orderPerKey: boolean
  /** Events of one round that may be begun and not ended. */
  readonly concurrencyMax: number
  readonly report: ProcessingReport
  /** Which of these, by offset, came before; undefined if the log lets no event in twice. */
  readonly repeatsIn: ((records: readonly LogRecord[]) => Promise<ReadonlyMap<number, Repeat>>) | undefined
}

/**
 * Works on one partition until it is given up. Every offset that it passes gets exactly one verdict, in the
 * transaction that moves the offset:
 *
 * - normal: rounds of what is there, handlers side by side, order per key kept.
 * - careful: after an owner that ended without letting go, the first events are run one by one, each behind a
 *   committed mark, so that one that kills the process is found and its neighbours are not blamed.
 * - isolating: a round whose transaction fails on its data is halved until the guilty event stands alone.
 *
 * Retries of the partition are run by the same owner beside its rounds: so a key's later events cannot overtake.
 */
export class PartitionWorker {
  readonly #needs: WorkerNeeds
  readonly #held: HeldPartition
  readonly #retries: Retries
  /** Rounds and retries take turns: both decide by which keys are parked. */
  readonly #turns = new OneAtATime()
  #carefulBelow: number
  /** What came before, of the round in hand. */
  #repeats: ReadonlyMap<number, Repeat> = new Map()

  constructor(needs: WorkerNeeds, held: HeldPartition) {
    this.#needs = needs
    this.#held = held
    this.#retries = new Retries(needs, held, (work) => this.#turns.run(work))
    this.#carefulBelow = held.clean ? 0 : held.nextOffset + roundMax.records
  }

  /** Runs until the partition is lost or given up, or something fails that is not an event's fault. */
  async run(): Promise<void> {
    await this.#retries.load()
    const ended = new AbortController()
    const end = () => ended.abort()
    const signal = AbortSignal.any([this.#held.signal, ended.signal])
    // Neither may outlive the other: whoever works on the partition next would meet it there.
    const parts = [this.#runRounds(signal, end).finally(end), this.#retries.run(signal).finally(end)]
    await Promise.allSettled(parts)
    await Promise.all(parts)
  }

  async #runRounds(signal: AbortSignal, end: () => void): Promise<void> {
    for await (const round of gather(this.#held.batches(signal), roundMax)) {
      try {
        await this.#turns.run(() => this.#round(round))
      } catch (error) {
        end() // else the read-ahead would hold up the failure until the next event comes
        throw error
      }
      if (signal.aborted) return
    }
  }

  async #round(batches: readonly LogBatch[]): Promise<void> {
    const place: Place = {
      epoch: batches[0]?.epoch ?? 0,
      topic: this.#held.topic,
      partition: this.#held.partition,
    }
    const all = batches.flatMap((batch) => batch.records)
    const other = all.find((record) => !isEvent(record))
    const records = other ? all.slice(0, all.indexOf(other)) : all
    this.#repeats = (await this.#needs.repeatsIn?.(records.filter((one) => !isControl(one)))) ?? new Map()
    if (this.#held.nextOffset < this.#carefulBelow) await this.#runMarked(records, place)
    else await this.#settle(place, finishedOf(await this.#runTogether(records, place)))
    if (!other || this.#held.signal.aborted) return
    const { topic, partition } = place
    const { offset } = other
    throw new LogError('corrupt', `${topic}/${partition} holds no event at offset ${offset}`, {
      partition,
      offset,
    })
  }

  /** Handlers side by side; events of a key wait for the one before. Attempts in the order of the records. */
  async #runTogether(records: readonly LogRecord[], place: Place): Promise<Attempt[]> {
    const attempts = new Array<Attempt>(records.length)
    const busy = new Map<string, Promise<void>>()
    const parked = new Set<string>()
    let running = 0
    let begun = 0
    let freed: (() => void) | undefined
    // Once the partition is given up, what has begun is finished and the rest is left to its next owner.
    for (let i = 0; i < records.length; i++) {
      while (this.#needs.runner.full && !this.#held.signal.aborted) await this.#needs.runner.freed()
      if (this.#held.signal.aborted) break
      begun++
      const work = this.#workOf(records[i] as LogRecord)
      const take = (attempt: Attempt) => {
        attempts[i] = attempt
        if (attempt.kind === 'parked' && this.#needs.orderPerKey) parked.add(work.key)
      }
      const before = this.#needs.orderPerKey ? busy.get(work.key) : undefined
      const result = before
        ? before.then(() => this.#runInTurn(work, place, parked))
        : this.#runOne(work, place, parked)
      if (!(result instanceof Promise)) {
        take(result)
        continue
      }
      running++
      const done = result.then((attempt) => {
        take(attempt)
        running--
        if (busy.get(work.key) === done) busy.delete(work.key)
        freed?.()
      })
      busy.set(this.#needs.orderPerKey ? work.key : `${i}`, done)
      if (running >= this.#needs.concurrencyMax)
        await new Promise<void>((resolve) => {
          freed = resolve
        })
    }
    await Promise.all(busy.values())
    return attempts.slice(0, begun)
  }

  async #runInTurn(work: Work, place: Place, parked: ReadonlySet<string>): Promise<Attempt> {
    while (this.#needs.runner.full && !this.#held.signal.aborted) await this.#needs.runner.freed()
    return this.#runOne(work, place, parked)
  }

  #runOne(work: Work, place: Place, parked: ReadonlySet<string>): Attempt | Promise<Attempt> {
    if (this.#held.signal.aborted) return { kind: 'left', work }
    if (isControl(work.record)) return { kind: 'control', work }
    const repeat = this.#repeats.get(work.record.offset)
    if (repeat === 'repeat') return { kind: 'repeated', work }
    // It was acknowledged as an event of its own, so it must not vanish.
    if (repeat === 'conflict')
      return { kind: 'dead', work, failure: failureOf(new EventIdConflict(), 'none') }
    if (this.#needs.orderPerKey && (parked.has(work.key) || this.#retries.hasKey(work.key)))
      return { kind: 'parked', work, failure: undefined, delayMs: 0 }
    return this.#needs.runner.run(work, place, this.#held.signal)
  }

  /**
   * One by one, each behind its mark; the event on which owners have crashed too often is not run again. The suspect
   * is settled by itself: were its verdict kept for the end of the round, a second event that ends the process would
   * lose it, and the two would take turns for ever.
   */
  async #runMarked(records: readonly LogRecord[], place: Place): Promise<void> {
    let outcomes: Outcome[] = []
    const parked = new Set<string>()
    const settle = async () => {
      await this.#settle(place, outcomes)
      outcomes = []
    }
    for (const record of records) {
      if (this.#held.signal.aborted) break
      const isSuspect = record.offset === this.#held.trying
      if (isSuspect) await settle()
      const work = this.#workOf(record)
      const run = () => this.#runOne(work, place, parked)
      // Nothing is run for a control record, so no crash can be put down to it.
      const attempt = isControl(record) ? await run() : await runMarked(this.#held, work, run)
      if (attempt.kind === 'left') break
      if (attempt.kind === 'parked') parked.add(work.key)
      outcomes.push(attempt)
      if (isSuspect) await settle()
    }
    await settle()
  }

  #workOf(record: LogRecord): Work {
    return { record, key: this.#needs.keyOf(record), attempts: 0 }
  }

  /**
   * Commits outcomes and offset together; halves what fails on its data until one event is left to blame. False if
   * the stop came before that: whom to blame is then for the next owner to find.
   */
  async #settle(place: Place, outcomes: readonly Outcome[]): Promise<boolean> {
    if (outcomes.length === 0) return true
    const error = await this.#tryCommit(place, outcomes)
    if (error === undefined) {
      this.#retries.park(outcomes)
      this.#needs.report.settled(outcomes)
      return true
    }
    if (outcomes.length > 1) {
      const middle = outcomes.length >> 1
      const first = await this.#settle(place, outcomes.slice(0, middle))
      return first && (await this.#settle(place, this.#parkBehind(outcomes.slice(middle))))
    }
    const only = outcomes[0] as Outcome
    if (only.kind === 'dead' || only.kind === 'control') throw error // what we write ourselves must not fail
    if (this.#held.signal.aborted) return false
    if (only.kind === 'parked')
      return this.#settle(place, [{ ...only, kind: 'dead', failure: failureOf(error.cause, 'none') }])
    return this.#settle(place, [afterFailure(only.work, failureOf(error.cause, 'rows'), this.#needs.policy)])
  }

  /** The first half may have parked keys that the second half was run without knowing. */
  #parkBehind(outcomes: readonly Outcome[]): readonly Outcome[] {
    if (!this.#needs.orderPerKey) return outcomes
    return outcomes.map((outcome) =>
      runsHandler.has(outcome.kind) && this.#retries.hasKey(outcome.work.key)
        ? { kind: 'parked', work: outcome.work, failure: undefined, delayMs: 0 }
        : outcome,
    )
  }

  /** Resolves with the refusal if the data is at fault, or its amount; rejects if anything else is. */
  async #tryCommit(place: Place, outcomes: readonly Outcome[]): Promise<Error | undefined> {
    const next = (outcomes.at(-1)?.work.record.offset ?? 0) + 1
    try {
      await commitRows(this.#needs.pool, outcomes, async (tx) => {
        await storeOutcomes(tx, place, outcomes)
        await inTime(this.#held.commit(tx, next, verdictsOf(outcomes)))
      })
      this.#held.committed(next)
      return undefined
    } catch (error) {
      if (error instanceof RefusedRows || (outcomes.length > 1 && isTooSlow(error))) return error as Error
      throw error
    }
  }
}

/** What is no event was not written by Pulse: others may write to a topic of Kafka. It is not skipped for that. */
function isEvent(record: LogRecord): boolean {
  try {
    const { event_id, event_type, properties } = record.event
    return uuid.test(event_id) && typeof event_type === 'string' && typeof properties === 'object'
  } catch {
    return false
  }
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Outcomes of events that a handler was to run for: only they wait behind others of their key. */
const runsHandler: ReadonlySet<Outcome['kind']> = new Set(['processed', 'dropped', 'parked'])

function verdictsOf(outcomes: readonly Outcome[]): Verdicts {
  const verdicts = { processed: 0, repeated: 0, dropped: 0, parked: 0, dead: 0, control: 0 }
  for (const { kind } of outcomes) verdicts[kind]++
  return verdicts
}

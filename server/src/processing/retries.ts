import type { LogRecord } from '@pulse/log'
import type { HeldPartition } from '@pulse/log/groups'
import type { Event } from '@pulse/protocol/event'
import { microsOf } from '@pulse/protocol/instant'
import type pg from 'pg'
import { ask, instantSql, inTime } from '../database/ask.ts'
import { commitRows, RefusedRows } from './commit.ts'
import type { Place } from './handler-runner.ts'
import { runMarked } from './marked-run.ts'
import { type Attempt, afterFailure, failureOf, type Outcome, type Work } from './outcome.ts'
import type { WorkerNeeds } from './partition-worker.ts'
import { storeOutcomes } from './store.ts'

const limits = {
  /** Rows of one look at what is due; as many may be in work at once if handlers may. */
  dueMax: 100,
  pollMs: 200,
} as const

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
 * behind it wait for it, and the next takes its place when it is done. Different keys are tried side by side. Which
 * keys are parked is known in memory to the owner of the partition, and loaded from the table by a new one before it
 * runs anything.
 */
export class Retries {
  readonly #needs: WorkerNeeds
  readonly #held: HeldPartition
  readonly #takeTurn: <T>(work: () => Promise<T>) => Promise<T>
  readonly #atOnceMax: number
  #keys = new Set<string>()
  /** What is being tried, by event id, and its key. */
  readonly #running = new Map<string, { readonly key: string; readonly done: Promise<void> }>()
  /**
   * True until nothing is due any more after an owner that ended without letting go: what may have ended it was due
   * then and is due again, so it is among the first, and they are run one by one behind marks.
   */
  #careful: boolean
  #failure: unknown
  /** Told when there is room again, if anybody waits for that; else it is remembered. */
  #hasRoom = false
  #wake: (() => void) | undefined

  /** `takeTurn` runs what decides by the parked keys, or changes them, apart from the rounds of the partition. */
  constructor(needs: WorkerNeeds, held: HeldPartition, takeTurn: <T>(work: () => Promise<T>) => Promise<T>) {
    this.#needs = needs
    this.#held = held
    this.#takeTurn = takeTurn
    this.#atOnceMax = Math.min(limits.dueMax, needs.concurrencyMax)
    this.#careful = !held.clean
  }

  /** True if events of this key wait: later ones must wait too. */
  hasKey(key: string): boolean {
    return this.#keys.has(key)
  }

  /** Reads which keys are parked; mends a key whose first event was taken away by an operator. */
  async load(): Promise<void> {
    const { topic, partition } = this.#held
    const place = [topic, partition]
    const { rows } = await ask<{ key: string }>(
      this.#needs.pool,
      'select distinct key from retries where topic = $1 and partition = $2',
      place,
    )
    this.#keys = new Set(rows.map((row) => row.key))
    await ask(
      this.#needs.pool,
      `update retries r set waits_for_key = false, next_attempt_at = clock_timestamp()
       from (select distinct on (key) event_id from retries where topic = $1 and partition = $2
         order by key, record_offset) first
       where r.event_id = first.event_id and r.waits_for_key`,
      place,
    )
  }

  /** Remembers what a committed round has parked. */
  park(outcomes: readonly Outcome[]): void {
    for (const outcome of outcomes) if (outcome.kind === 'parked') this.#keys.add(outcome.work.key)
  }

  /** Tries what is due until the signal aborts or something fails that is not an event's fault. Nothing outlives it. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        this.#hasRoom = false
        const found = this.#running.size < this.#atOnceMax ? await this.#runDue(signal) : 0
        if (this.#failure !== undefined) break
        if (!this.#hasRoom && (found === 0 || this.#running.size > 0)) await this.#news(signal)
      }
    } finally {
      await Promise.all([...this.#running.values()].map(({ done }) => done))
    }
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Begins what is due, as far as there is room; returns how many that were. */
  async #runDue(signal: AbortSignal): Promise<number> {
    const rows = await this.#takeTurn(() => this.#due())
    if (rows.length === 0) this.#careful = false
    for (const row of rows) {
      while (this.#needs.runner.full && !signal.aborted) await this.#needs.runner.freed()
      if (signal.aborted || this.#failure !== undefined) break
      if (this.#careful) await this.#takeTurn(() => this.#tryMarked(row))
      else this.#begin(row)
    }
    return rows.length
  }

  #begin(row: RetryRow): void {
    const done = this.#tryBeside(row)
      .catch((error: unknown) => {
        this.#failure ??= error
      })
      .finally(() => {
        this.#running.delete(row.event_id)
        // Asking after each would read all that is due as often as there are events; half of it is soon enough.
        this.#hasRoom ||= this.#failure !== undefined || this.#running.size <= this.#atOnceMax >> 1
        if (this.#hasRoom) this.#wake?.()
      })
    this.#running.set(row.event_id, { key: row.key, done })
  }

  /** Resolves when there is room for more, when it is time to look again, or when the signal aborts. */
  #news(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const go = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', go)
        this.#wake = undefined
        resolve()
      }
      const timer = setTimeout(go, limits.pollMs)
      signal.addEventListener('abort', go)
      if (signal.aborted) go()
      this.#wake = go
    })
  }

  /** What is due and not being tried; of a key only its first, if keys are kept in order. */
  async #due(): Promise<readonly RetryRow[]> {
    const { topic, partition } = this.#held
    const { orderPerKey } = this.#needs
    const busyKeys = orderPerKey ? [...this.#running.values()].map(({ key }) => key) : []
    const { rows } = await ask<RetryRow>(
      this.#needs.pool,
      `select event_id, record_offset, log_epoch, key, event, attempts,
         ${instantSql('received_at')} as received_at
       from retries where topic = $1 and partition = $2 and not waits_for_key and next_attempt_at <= clock_timestamp()
         and event_id <> all ($4) and key <> all ($5)
       order by record_offset limit $3`,
      [topic, partition, this.#atOnceMax - this.#running.size, [...this.#running.keys()], busyKeys],
    )
    if (!orderPerKey) return rows
    // An operator may have redriven events of a key that was not parked, or several of one: from now on it is parked.
    const begun = new Set<string>()
    return rows.filter(({ key }) => {
      this.#keys.add(key)
      return begun.size < begun.add(key).size
    })
  }

  // The handler runs beside the rounds, since it may take long; its key is parked, so nothing overtakes it.
  async #tryBeside(row: RetryRow): Promise<void> {
    const { work, place } = this.#workOf(row)
    const attempt = await this.#needs.runner.run(work, place, this.#held.signal)
    await this.#takeTurn(() => this.#settle(place, attempt))
  }

  // A retry, above all a redriven one, can end the process as well as a first try. There is one mark, so the round waits.
  async #tryMarked(row: RetryRow): Promise<void> {
    if (this.#held.signal.aborted) return
    const { work, place } = this.#workOf(row)
    const run = () => this.#needs.runner.run(work, place, this.#held.signal)
    await this.#settle(place, await runMarked(this.#held, work, run))
    // Else a kill at any later time would be put down to this event.
    await this.#held.mark(undefined)
  }

  #workOf(row: RetryRow): { work: Work; place: Place } {
    const { topic, partition } = this.#held
    return {
      work: { record: recordOf(row), key: row.key, attempts: row.attempts },
      place: { epoch: Number(row.log_epoch), topic, partition },
    }
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
    let waited = false
    await commitRows(this.#needs.pool, [outcome], async (tx) => {
      await inTime(this.#held.fence(tx))
      waited = outcome.kind === 'parked' ? await postpone(tx, outcome) : await takeAway(tx, place, work)
      if (waited && outcome.kind === 'parked') return
      // If its row is gone, a commit whose answer was lost has happened after all, or an operator took it away.
      if (waited) await storeOutcomes(tx, place, [outcome])
      await this.#releaseNext(tx, work.key)
    })
    if (waited) this.#needs.report.retried(outcome)
    if (!waited || outcome.kind !== 'parked') await this.#forgetIfEmpty(work.key)
  }

  /** The first of those that wait behind a key may be tried now. */
  async #releaseNext(tx: pg.ClientBase, key: string): Promise<void> {
    const { topic, partition } = this.#held
    const text = `update retries set waits_for_key = false, next_attempt_at = clock_timestamp()
       where event_id = (select event_id from retries where topic = $1 and key = $2 and partition = $3
         order by record_offset limit 1) and waits_for_key`
    await inTime(tx.query(text, [topic, key, partition]))
  }

  async #forgetIfEmpty(key: string): Promise<void> {
    const { topic, partition } = this.#held
    const text = 'select 1 from retries where topic = $1 and key = $2 and partition = $3 limit 1'
    const { rowCount } = await ask(this.#needs.pool, text, [topic, key, partition])
    if (rowCount === 0) this.#keys.delete(key)
  }
}

/** Takes an event out of those that wait; false if it is not there. */
async function takeAway(tx: pg.ClientBase, place: Place, { record }: Work): Promise<boolean> {
  const text =
    'delete from retries where event_id = $1 and topic = $2 and partition = $3 and record_offset = $4'
  const values = [record.event.event_id, place.topic, place.partition, record.offset]
  return (await inTime(tx.query(text, values))).rowCount === 1
}

/** Lets an event wait for its next try; false if it is not there. */
async function postpone(tx: pg.ClientBase, outcome: Extract<Outcome, { kind: 'parked' }>): Promise<boolean> {
  const { work, failure, delayMs } = outcome
  const updated = tx.query(
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
  return (await inTime(updated)).rowCount === 1
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

import { type EventLog, type LogBatch, LogError, type LogRecord } from '@pulse/log'
import { answered } from '@pulse/log/answered'
import { isControl } from '@pulse/log/control-record'
import type pg from 'pg'
import { ProblemError } from '../http/problem-error.ts'
import { processingGroup } from '../processing/processing.ts'
import { Gate } from './gate.ts'
import { limitedQuery, queryMsMax, timeOver } from './limited-query.ts'

/** A record that is kept and has no row yet. */
export type Waiting = Pick<LogBatch, 'epoch' | 'topic' | 'partition'> & {
  readonly record: LogBatch['records'][number]
}

interface Place {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

/** What is known of one partition: the ids that wait in it, with their offsets in order, and how far it was read. */
interface Ids {
  readonly offsets: Map<string, number>
  read: number
  end: number
}

interface SearchNeeds {
  readonly pool: pg.Pool
  readonly log: EventLog
  readonly topics: readonly string[]
}

const limits = {
  /** Readers at a time for all requests together: each takes a connection to the engine. */
  readersMax: 2,
  /** Ids that are held for all partitions together, about 150 bytes each. */
  idsMax: 400_000,
  answerMsMax: 1_000,
} as const

/**
 * Finds events that wait to be processed: they are in the log and in no table. Ids that clients gave are remembered
 * with their place by a log that dedupes; of the others, the waiting part of the log is read once for all who ask, and
 * each further look reads on from there. Everything ends within the time of a query.
 */
export class LogSearch {
  readonly #needs: SearchNeeds
  readonly #readers = new Gate(limits.readersMax)
  readonly #waiting = new Map<string, Ids>()
  #looking: Promise<void> | undefined
  #next: Promise<void> | undefined

  constructor(needs: SearchNeeds) {
    this.#needs = needs
  }

  /** Throws ProblemError `query_timeout`, also if the event may be behind what could be read, or `unavailable`. */
  async find(eventId: string): Promise<Waiting | undefined> {
    const signal = AbortSignal.timeout(queryMsMax)
    try {
      return await answered(this.#find(eventId.toLowerCase(), signal), queryMsMax + limits.answerMsMax)
    } catch (cause) {
      if (!(cause instanceof LogError)) throw cause
      throw new ProblemError('unavailable', 'The log does not answer.', { retryAfter: 2, cause })
    }
  }

  async #find(eventId: string, signal: AbortSignal): Promise<Waiting | undefined> {
    const { dedupe } = this.#needs.log.can
    const place = dedupe ? await this.#remembered(eventId) : undefined
    if (place) return this.#readAt(place, eventId, signal)
    // Who remembers every id that it was given can only have forgotten those that the server made, at random.
    if (dedupe && eventId[14] !== '4') return undefined
    await this.#look(signal)
    for (const [key, { offsets }] of this.#waiting) {
      const offset = offsets.get(eventId)
      if (offset !== undefined) return this.#readAt({ ...placeOf(key), offset }, eventId, signal)
    }
    if ([...this.#waiting.values()].some(({ read, end }) => read < end))
      throw timeOver('The event is not among those that could be read in time; more are waiting.')
    return undefined
  }

  async #remembered(eventId: string): Promise<Place | undefined> {
    const rows = await limitedQuery<{ topic: string; partition: number; record_offset: string }>(
      this.#needs.pool,
      `select t.name as topic, i.partition, i.record_offset from log_ids i join log_topics t on t.id = i.topic
       where i.id = $1 limit 1`,
      [eventId],
    )
    return rows[0] && { ...rows[0], offset: Number(rows[0].record_offset) }
  }

  async #readAt(place: Place, eventId: string, signal: AbortSignal): Promise<Waiting | undefined> {
    const offsets = new Map([[place.partition, place.offset]])
    return this.#readers.run(signal, async () => {
      for await (const batch of this.#batches(place.topic, offsets, signal)) {
        const record = batch.records[0]
        return record && isEvent(record, eventId) ? { ...batch, record } : undefined
      }
      if (signal.aborted) throw timeOver()
      return undefined
    })
  }

  /** Reads what has come to wait. A look that is under way may have missed it, so whoever comes then waits for the next. */
  async #look(signal: AbortSignal): Promise<void> {
    this.#next ??= (this.#looking ?? Promise.resolve())
      .catch(() => {})
      .then(() => {
        this.#looking = this.#next
        this.#next = undefined
        return this.#readers.run(AbortSignal.timeout(queryMsMax), () =>
          this.#readOn(AbortSignal.timeout(queryMsMax)),
        )
      })
    await Promise.race([this.#next, timeIsOver(signal)])
  }

  async #readOn(signal: AbortSignal): Promise<void> {
    const { pool, log, topics } = this.#needs
    const rows = await limitedQuery<{ topic: string; partition: number; next_offset: string }>(
      pool,
      'select topic, partition, next_offset from log_group_partitions where group_name = $1',
      [processingGroup],
    )
    const stored = new Map(rows.map((row) => [keyOf(row), Number(row.next_offset)]))
    const bounds = await Promise.all(topics.map((topic) => log.bounds(topic)))
    const partitions = bounds.reduce((sum, each) => sum + each.partitions.length, 0)
    const idsMax = Math.max(1, Math.floor(limits.idsMax / partitions))
    for (const { topic, partitions } of bounds) {
      const offsets = new Map<number, number>()
      for (const { partition, start, end } of partitions) {
        const key = keyOf({ topic, partition })
        const ids = this.#from(key, Math.max(start, stored.get(key) ?? start), end)
        if (ids.read < end && ids.offsets.size < idsMax) offsets.set(partition, ids.read)
      }
      if (offsets.size > 0) await this.#readTopic(topic, offsets, { idsMax, signal })
    }
  }

  /** What is known of a partition whose first waiting record is this one; what was before it waits no more. */
  #from(key: string, next: number, end: number): Ids {
    const known = this.#waiting.get(key)
    const goesOn = known !== undefined && known.read >= next && known.read <= end
    const ids = goesOn ? known : { offsets: new Map<string, number>(), read: next, end }
    ids.end = end
    for (const [id, offset] of ids.offsets) {
      if (offset >= next) break
      ids.offsets.delete(id)
    }
    this.#waiting.set(key, ids)
    return ids
  }

  async #readTopic(
    topic: string,
    offsets: ReadonlyMap<number, number>,
    { idsMax, signal }: { idsMax: number; signal: AbortSignal },
  ): Promise<void> {
    const missing = new Set(offsets.keys())
    for await (const batch of this.#batches(topic, offsets, signal)) {
      const ids = this.#waiting.get(keyOf(batch))
      if (!ids) continue
      // A log that does not dedupe may hold an id twice: the first is the event.
      for (const record of batch.records) {
        const { event, offset } = record
        if (!isControl(record) && !ids.offsets.has(event.event_id)) ids.offsets.set(event.event_id, offset)
      }
      ids.read = batch.nextOffset
      if (ids.read >= ids.end || ids.offsets.size >= idsMax) missing.delete(batch.partition)
      if (missing.size === 0) return
    }
  }

  /** Ends also where the log was trimmed or is damaged: that cannot be shown, which is no failure of the request. */
  async *#batches(
    topic: string,
    offsets: ReadonlyMap<number, number>,
    signal: AbortSignal,
  ): AsyncGenerator<LogBatch> {
    const stop = new AbortController()
    try {
      yield* this.#needs.log.read({ topic, offsets }, AbortSignal.any([signal, stop.signal]))
    } catch (error) {
      if (!(error instanceof LogError) || error.retryable) throw error
    } finally {
      stop.abort()
    }
  }
}

// The id of a control record is known like any other, and leads to no event.
const isEvent = (record: LogRecord, eventId: string) =>
  record.event.event_id === eventId && !isControl(record)

const keyOf = ({ topic, partition }: { topic: string; partition: number }) => `${partition}/${topic}`

function placeOf(key: string): { topic: string; partition: number } {
  const slash = key.indexOf('/')
  return { partition: Number(key.slice(0, slash)), topic: key.slice(slash + 1) }
}

const timeIsOver = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => {
    const over = () => reject(timeOver())
    if (signal.aborted) over()
    signal.addEventListener('abort', over, { once: true })
  })

import assert from 'node:assert/strict'
import { createHash, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AppendOutcome, EventLog, LogBatch, LogRecord, NewRecord, RecordPosition } from './log.ts'
import { LogError, type LogErrorCode } from './log.ts'

/** Nothing in the suite may wait longer than this for something that is promised to happen. */
export const promisedWithinMs = 15_000

/** A topic name that no other test has. */
export const freshTopic = (): string => `suite.${randomUUID()}`

/** Now in microseconds, to the microsecond, so that a driver that keeps only milliseconds is found out. */
export const nowMicros = (): number => Math.trunc((performance.timeOrigin + performance.now()) * 1000)

/** What stands for an event as submitted. */
export const fingerprintOf = (text: string): string => createHash('md5').update(text).digest('hex')

/** A record whose event is made to fit; `properties` tells it from others. An id is remembered unless told otherwise. */
export function aRecord(
  topic: string,
  key: string,
  more: Partial<Omit<NewRecord, 'fingerprint'>> & { properties?: unknown; remembered?: boolean } = {},
): NewRecord {
  const { properties = {}, remembered = true, ...given } = more
  const id = given.id ?? randomUUID()
  const receivedAt = given.receivedAt ?? nowMicros()
  const event = {
    event_id: id,
    event_type: 'suite.happened',
    user_id: key,
    timestamp: new Date(receivedAt / 1000).toISOString(),
    properties,
    source: null,
    schema_version: 1,
  }
  const value = given.value ?? JSON.stringify(event)
  const record = { topic, key, type: 'suite.happened', value, receivedAt, id, ...given }
  return remembered ? { ...record, fingerprint: fingerprintOf(value) } : record
}

/** Appends and expects every record to be appended; returns the positions in the records' order. */
export async function appendAll(log: EventLog, records: readonly NewRecord[]): Promise<RecordPosition[]> {
  const outcomes = await log.append(records)
  assert.equal(outcomes.length, records.length)
  return outcomes.map(positionOfAppended)
}

/** The position of an outcome that must be `appended`. */
export function positionOfAppended(outcome: AppendOutcome): RecordPosition {
  if ('error' in outcome) throw outcome.error
  assert.equal(outcome.kind, 'appended')
  return outcome.position
}

/**
 * Reads from the offsets until each partition's reader stands at its `until`, and checks on the way what holds for
 * every batch: no gap, no repeat, offsets that fit. Returns the batches. Fails if that takes too long.
 */
export async function readUntil(
  log: EventLog,
  topic: string,
  from: ReadonlyMap<number, number>,
  until: ReadonlyMap<number, number>,
): Promise<LogBatch[]> {
  const next = new Map(from)
  const wanted = () => [...until].some(([partition, offset]) => (next.get(partition) ?? 0) < offset)
  const batches: LogBatch[] = []
  if (!wanted()) return batches
  const stop = new AbortController()
  const timer = setTimeout(() => stop.abort(), promisedWithinMs)
  for await (const batch of log.read({ topic, offsets: from }, stop.signal)) {
    checkBatch(batch, topic, next)
    batches.push(batch)
    if (!wanted()) break
  }
  clearTimeout(timer)
  stop.abort()
  assert.ok(
    !wanted(),
    `the reader stopped at ${JSON.stringify([...next])} before ${JSON.stringify([...until])}`,
  )
  return batches
}

function checkBatch(batch: LogBatch, topic: string, next: Map<number, number>): void {
  assert.equal(batch.topic, topic)
  const expected = next.get(batch.partition)
  assert.notEqual(expected, undefined, `partition ${batch.partition} was not asked for`)
  for (const [index, record] of batch.records.entries())
    assert.equal(record.offset, (expected ?? 0) + index, `partition ${batch.partition} has a gap or a repeat`)
  assert.equal(batch.nextOffset, (expected ?? 0) + batch.records.length)
  next.set(batch.partition, batch.nextOffset)
}

/** All records of all partitions that the topic holds now, by partition. */
export async function readAll(log: EventLog, topic: string): Promise<Map<number, LogRecord[]>> {
  const { partitions } = await log.bounds(topic)
  const from = new Map(partitions.map(({ partition, start }) => [partition, start]))
  const until = new Map(partitions.map(({ partition, end }) => [partition, end]))
  const records = new Map<number, LogRecord[]>(partitions.map(({ partition }) => [partition, []]))
  for (const batch of await readUntil(log, topic, from, until))
    records.get(batch.partition)?.push(...batch.records)
  return records
}

/** The next batch of a reader; fails if none comes in time. */
export async function nextBatch(batches: AsyncIterator<LogBatch>): Promise<LogBatch> {
  const next = await inTime(batches.next(), 'the next batch')
  assert.ok(next.done !== true, 'the read returned instead of waiting')
  return next.value
}

/** The promise's value; fails if it takes longer than what is promised. */
export async function inTime<Value>(promise: PromiseLike<Value>, what: string): Promise<Value> {
  const late = new AbortController()
  const deadline = sleep(promisedWithinMs, undefined, { signal: late.signal }).then(() =>
    assert.fail(`${what} did not come within ${promisedWithinMs} ms`),
  )
  try {
    return await Promise.race([promise, deadline])
  } finally {
    late.abort()
    deadline.catch(() => undefined)
  }
}

/**
 * The middle one of an odd number of times. A machine that stands still for a moment is late once or twice; what is late
 * by itself is late each time.
 */
export function middleOf(timesMs: readonly number[]): number {
  return timesMs.toSorted((a, b) => a - b)[(timesMs.length - 1) / 2] ?? Number.NaN
}

/** Looks again and again for so many milliseconds whether something holds, and fails at once when it does not. */
export async function holdsFor(
  ms: number,
  what: string,
  holds: () => Promise<boolean> | boolean,
): Promise<void> {
  const end = performance.now() + ms
  do {
    assert.ok(await holds(), what)
    await sleep(20)
  } while (performance.now() < end)
}

/** For `assert.rejects`: a LogError with this code. */
export const logError = (code: LogErrorCode) => (error: unknown) => {
  assert.ok(error instanceof LogError, `LogError ${code} expected, not ${String(error)}`)
  assert.equal(error.code, code)
  return true
}

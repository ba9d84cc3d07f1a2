import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SuiteEngine } from './log.suite.ts'
import type { AppendOutcome, EventLog, LogBatch, NewRecord } from './log.ts'
import { LogError } from './log.ts'
import {
  appendAll,
  aRecord,
  freshTopic,
  inTime,
  logError,
  nextBatch,
  promisedWithinMs,
  readAll,
} from './suite-records.ts'

/** The engine stopped, killed, damaged or emptied under an open log. */
export function outageSuite(engineOf: () => SuiteEngine): void {
  awayTests(engineOf)
  crashTests(engineOf)
  damageTests(engineOf)
}

function awayTests(engineOf: () => SuiteEngine): void {
  test('without the engine everything is unavailable, appends settle, and the same log works again after it', async () => {
    const engine = engineOf()
    await using log = await engine.open()
    const topic = freshTopic()
    await log.declare([{ name: topic, partitions: 2 }])
    const before = aRecord(topic, 'a')
    await appendAll(log, [before])
    const offsets = new Map(
      (await log.bounds(topic)).partitions.map(({ partition, end }) => [partition, end]),
    )
    const follower = log.read({ topic, offsets }, new AbortController().signal)[Symbol.asyncIterator]()
    const first = follower.next()
    await appendAll(log, [aRecord(topic, 'a')])
    assert.equal((await inTime(first, 'the first batch')).done, false)
    // It stands at the end now and waits there.
    const followed = assert.rejects(inTime(follower.next(), 'the end of the read'), logError('unavailable'))

    await engine.stop('clean')
    await followed
    const away = logError('unavailable')
    await assert.rejects(inTime(log.bounds(topic), 'bounds'), away)
    await assert.rejects(inTime(log.declare([{ name: freshTopic(), partitions: 1 }]), 'declare'), away)
    await assert.rejects(inTime(log.trim(topic, new Map([[0, 0]])), 'trim'), away)
    const lost = aRecord(topic, 'b')
    const [outcome] = await inTime(log.append([lost]), 'the append')
    assert.ok(outcome && 'error' in outcome, `an append without an engine was ${outcome?.kind}`)
    assert.equal(outcome.error.code, 'unavailable')
    assert.ok(outcome.error.retryable)

    await engine.start()
    const bounds = await untilAvailable(() => log.bounds(topic))
    assert.equal(
      bounds.partitions.reduce((sum, { end }) => sum + end, 0),
      2,
      'a failed append must not appear later',
    )
    const after = aRecord(topic, 'a')
    await appendUntilThere(log, after)
    const ids = [...(await readAll(log, topic)).values()].flat().map(({ event }) => event.event_id)
    assert.ok(ids.includes(before.id) && ids.includes(after.id))
  })
}

function crashTests(engineOf: () => SuiteEngine): void {
  test('what was acknowledged survives a crash of the engine in the middle of appending, at its offset', async () => {
    const engine = engineOf()
    await using log = await engine.open()
    const topic = freshTopic()
    await log.declare([{ name: topic, partitions: 2 }])
    await appendAll(log, [aRecord(topic, 'a')])
    const settled: { record: NewRecord; outcome: AppendOutcome }[] = []
    let going = true
    const write = async (writer: number) => {
      for (let index = 0; going; index++) {
        const record = aRecord(topic, `writer ${writer}`, { properties: { index } })
        for (const outcome of await log.append([record])) settled.push({ record, outcome })
      }
    }
    const writers = Array.from({ length: 8 }, (_, writer) => write(writer))
    while (settled.length < 200) await sleep(5)
    await engine.stop('kill')
    await engine.start()
    const acknowledged = settled.length
    const deadline = Date.now() + promisedWithinMs
    const recovered = () => settled.slice(acknowledged).some(({ outcome }) => outcome.kind === 'appended')
    while (!recovered() && Date.now() < deadline) await sleep(20)
    going = false
    await inTime(Promise.all(writers), 'the writers')
    assert.ok(recovered(), 'the log did not append again after the engine came back')
    await checkAgainst(log, topic, settled)
  })

  test('a follower that begins again where it stood misses nothing over a crash', async () => {
    const engine = engineOf()
    await using log = await engine.open()
    const topic = freshTopic()
    await log.declare([{ name: topic, partitions: 1 }])
    await appendAll(log, [aRecord(topic, 'a'), aRecord(topic, 'a')])
    const stop = new AbortController()
    const read = (offset: number) =>
      log.read({ topic, offsets: new Map([[0, offset]]) }, stop.signal)[Symbol.asyncIterator]()
    let next = (await nextBatch(read(0))).nextOffset
    await engine.stop('kill')
    await engine.start()
    const record = aRecord(topic, 'a')
    const end = await appendUntilThere(log, record)
    let last: LogBatch | undefined
    while (next <= end) {
      last = await untilAvailable(() => nextBatch(read(next)))
      assert.equal(last.records[0]?.offset, next)
      next = last.nextOffset
    }
    assert.equal(last?.records.at(-1)?.event.event_id, record.id)
    stop.abort()
  })
}

function damageTests(engineOf: () => SuiteEngine): void {
  test('a damaged batch throws corrupt with its place; what is before it is served, and nothing of it', async () => {
    const engine = engineOf()
    await using log = await engine.open()
    const topic = freshTopic()
    await log.declare([{ name: topic, partitions: 1 }])
    for (let index = 0; index < 3; index++)
      await appendAll(
        log,
        [1, 2, 3].map((text) => aRecord(topic, 'a', { properties: { text: `${text}`.repeat(200) } })),
      )
    await engine.corrupt(topic, 0, 4)
    const stop = new AbortController()
    const seen: number[] = []
    const error = await inTime(readToError(log, topic, stop.signal, seen), 'the error')
    logError('corrupt')(error)
    assert.deepEqual(seen, [0, 1, 2])
    assert.equal(error.partition, 0)
    assert.ok(error.offset !== undefined && error.offset >= 3 && error.offset <= 5, `offset ${error.offset}`)
    stop.abort()
    const rest = log
      .read({ topic, offsets: new Map([[0, 6]]) }, new AbortController().signal)
      [Symbol.asyncIterator]()
    assert.equal((await nextBatch(rest)).nextOffset, 9, 'what is behind it is still there')
    await rest.return?.()
  })

  test('a topic that was made anew has another epoch', async (t) => {
    const engine = engineOf()
    if (!engine.recreate) return t.skip('this engine has no way to make a topic anew')
    await using log = await engine.open()
    const topic = { name: freshTopic(), partitions: 2 }
    await log.declare([topic])
    await appendAll(log, [aRecord(topic.name, 'a')])
    const before = await log.bounds(topic.name)
    await engine.recreate(topic)
    await using other = await engine.open()
    for (const one of [other, log]) {
      const after = await untilAvailable(() => one.bounds(topic.name))
      assert.notEqual(after.epoch, before.epoch)
      assert.ok(Number.isSafeInteger(after.epoch))
      assert.deepEqual(
        after.partitions.map(({ end }) => end),
        [0, 0],
      )
    }
    const [position] = await appendAll(log, [aRecord(topic.name, 'a')])
    assert.equal(position?.epoch, (await other.bounds(topic.name)).epoch)
  })
}

async function readToError(
  log: EventLog,
  topic: string,
  signal: AbortSignal,
  seen: number[],
): Promise<LogError> {
  try {
    for await (const batch of log.read({ topic, offsets: new Map([[0, 0]]) }, signal))
      seen.push(...batch.records.map(({ offset }) => offset))
  } catch (error) {
    if (error instanceof LogError) return error
    throw error
  }
  return assert.fail('the read returned')
}

/** Tries again while the log is unavailable, as the contract says is safe. */
async function untilAvailable<Value>(work: () => Promise<Value>): Promise<Value> {
  const deadline = Date.now() + promisedWithinMs
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof LogError) || !error.retryable || Date.now() > deadline) throw error
    }
    await sleep(20)
  }
}

/** Appends until it is acknowledged; returns the offset. */
async function appendUntilThere(log: EventLog, record: NewRecord): Promise<number> {
  return untilAvailable(async () => {
    const [outcome] = await log.append([record])
    assert.ok(outcome)
    if ('error' in outcome) throw outcome.error
    return outcome.position.offset
  })
}

async function checkAgainst(
  log: EventLog,
  topic: string,
  settled: readonly { record: NewRecord; outcome: AppendOutcome }[],
): Promise<void> {
  const stored = await readAll(log, topic) // fails at a gap
  const times = new Map<string, number>()
  for (const { event } of [...stored.values()].flat())
    times.set(event.event_id, (times.get(event.event_id) ?? 0) + 1)
  for (const { record, outcome } of settled) {
    const count = times.get(record.id) ?? 0
    if (outcome.kind === 'failed') assert.equal(count, 0, 'a failed record is in the log')
    if (outcome.kind === 'unknown') assert.ok(count <= 1, 'an unknown record is in the log twice')
    if (!('position' in outcome)) continue
    assert.equal(count, 1, `an acknowledged record is ${count} times in the log`)
    const { partition, offset } = outcome.position
    const start = stored.get(partition)?.[0]?.offset ?? 0
    assert.equal(stored.get(partition)?.[offset - start]?.event.event_id, record.id)
  }
  for (const [writer, records] of Map.groupBy(
    [...stored.values()].flat(),
    ({ event }) => event.user_id ?? '',
  )) {
    if (!writer.startsWith('writer')) continue
    const indexes = records.map(({ event }) => Number(event.properties.index))
    assert.deepEqual(
      indexes,
      [...indexes].sort((a, b) => a - b),
      `${writer} is out of order`,
    )
  }
}

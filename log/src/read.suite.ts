import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { EventLog } from './log.ts'
import {
  appendAll,
  aRecord,
  freshTopic,
  inTime,
  logError,
  middleOf,
  nextBatch,
  readAll,
  readUntil,
} from './suite-records.ts'

const numbered = (topic: string, count: number, key = 'a') =>
  Array.from({ length: count }, (_, index) => aRecord(topic, key, { properties: { index } }))

async function oneTopic(log: EventLog, partitions = 1): Promise<string> {
  const name = freshTopic()
  await log.declare([{ name, partitions }])
  return name
}

/** `read`: positions, order, the tail, abort, the range. */
export function readSuite(open: () => Promise<EventLog>): void {
  positionTests(open)
  tailTests(open)
  leavingTests(open)
  rangeTests(open)
  flowTests(open)
}

function positionTests(open: () => Promise<EventLog>): void {
  test('a read begins at any offset, also in the middle of what one call appended', async () => {
    await using log = await open()
    const topic = await oneTopic(log)
    await appendAll(log, numbered(topic, 7))
    await appendAll(log, numbered(topic, 5))
    const all = (await readAll(log, topic)).get(0) ?? []
    assert.equal(all.length, 12)
    for (let offset = 0; offset < 12; offset++) {
      const batches = await readUntil(log, topic, new Map([[0, offset]]), new Map([[0, 12]]))
      const values = batches.flatMap(({ records }) => records.map(({ value }) => value))
      assert.deepEqual(
        values,
        all.slice(offset).map(({ value }) => value),
      )
    }
  })

  test('only the named partitions are read', async () => {
    await using log = await open()
    const topic = await oneTopic(log, 3)
    await appendAll(
      log,
      Array.from({ length: 60 }, (_, index) => aRecord(topic, `user ${index}`)),
    )
    const ends = new Map((await log.bounds(topic)).partitions.map(({ partition, end }) => [partition, end]))
    assert.ok([...ends.values()].every((end) => end > 0))
    const wanted = new Map([0, 2].map((partition) => [partition, ends.get(partition) ?? 0]))
    // readUntil fails at a batch of a partition that was not asked for.
    await readUntil(log, topic, new Map([...wanted.keys()].map((partition) => [partition, 0])), wanted)
  })
}

function tailTests(open: () => Promise<EventLog>): void {
  test('a reader that waits at the end gets what is appended next, within half a second', async () => {
    await using log = await open()
    await using other = await open()
    const topic = await oneTopic(log, 2)
    await appendAll(log, numbered(topic, 3))
    const offsets = new Map(
      (await log.bounds(topic)).partitions.map(({ partition, end }) => [partition, end]),
    )
    const stop = new AbortController()
    const read = log.read({ topic, offsets }, stop.signal)[Symbol.asyncIterator]()
    const lateMs: { by: EventLog; ms: number }[] = []
    for (const [index, by] of [log, other, log, other, log, other, log, other, log, other].entries()) {
      const next = nextBatch(read)
      await sleep(50) // so that the reader does wait at the end, which cannot be seen from outside
      const record = aRecord(topic, `user ${index}`)
      await appendAll(by, [record])
      const ackedAt = performance.now()
      assert.equal((await next).records[0]?.value, record.value)
      lateMs.push({ by, ms: performance.now() - ackedAt })
    }
    for (const writer of [log, other]) {
      const times = lateMs.filter(({ by }) => by === writer).map(({ ms }) => ms)
      assert.ok(middleOf(times) < 500, `the reader got it so many ms after the acknowledgement: ${times}`)
    }
    stop.abort()
    assert.deepEqual(await inTime(read.next(), 'the end of the read'), { done: true, value: undefined })
  })

  test('a read returns when its signal aborts: while it waits, between batches, and if it was aborted before', async () => {
    await using log = await open()
    const topic = await oneTopic(log)
    await appendAll(log, numbered(topic, 3))
    const done = { done: true, value: undefined }
    const read = (signal: AbortSignal, offset: number) =>
      log.read({ topic, offsets: new Map([[0, offset]]) }, signal)[Symbol.asyncIterator]()

    const endMs: number[] = []
    while (endMs.length < 5) {
      const waiting = new AbortController()
      const reader = read(waiting.signal, 2)
      assert.equal((await inTime(reader.next(), 'the last batch')).done, false)
      const waits = reader.next()
      await sleep(50) // as above
      const from = performance.now()
      waiting.abort()
      assert.deepEqual(await inTime(waits, 'the end of the read'), done)
      endMs.push(performance.now() - from)
    }
    assert.ok(middleOf(endMs) < 300, `an abort must not wait for a poll to end: ${endMs} ms`)

    const between = new AbortController()
    const batches = read(between.signal, 0)
    await nextBatch(batches)
    between.abort()
    assert.deepEqual(await inTime(batches.next(), 'the end of the read'), done)
    assert.deepEqual(await inTime(read(AbortSignal.abort(), 0).next(), 'the end of the read'), done)
  })
}

function leavingTests(open: () => Promise<EventLog>): void {
  test('readers that stop in the middle leave nothing behind that keeps others from reading', async () => {
    await using log = await open()
    const topic = await oneTopic(log)
    await appendAll(log, numbered(topic, 10))
    for (let index = 0; index < 30; index++)
      for await (const batch of log.read(
        { topic, offsets: new Map([[0, 0]]) },
        new AbortController().signal,
      )) {
        assert.equal(batch.records[0]?.offset, 0)
        break
      }
    await inTime(readAll(log, topic), 'reading all')
  })
}

function rangeTests(open: () => Promise<EventLog>): void {
  test('a position beyond the end is out of range', async () => {
    await using log = await open()
    const topic = await oneTopic(log, 2)
    await appendAll(log, numbered(topic, 3))
    const partition = (await log.bounds(topic)).partitions.find(({ end }) => end === 3)?.partition ?? -1
    const read = (offset: number) =>
      log
        .read({ topic, offsets: new Map([[partition, offset]]) }, new AbortController().signal)
        [Symbol.asyncIterator]()
        .next()
    await assert.rejects(inTime(read(4), 'the refusal'), logError('out-of-range'))
    await assert.rejects(inTime(read(1_000_000), 'the refusal'), logError('out-of-range'))
  })

  test('a position of another epoch is out of range, wherever its offset lies', async () => {
    await using log = await open()
    const topic = await oneTopic(log)
    await appendAll(log, numbered(topic, 3))
    const { epoch } = await log.bounds(topic)
    const stop = new AbortController()
    const read = (of: number) => log.read({ topic, epoch: of, offsets: new Map([[0, 1]]) }, stop.signal)
    for await (const batch of read(epoch)) {
      assert.equal(batch.epoch, epoch)
      break
    }
    const refused = read(epoch - 1)[Symbol.asyncIterator]()
    await assert.rejects(inTime(refused.next(), 'the refusal'), logError('out-of-range'))
    stop.abort()
  })

  test('a position below the start is out of range, with its partition, and never moved to the start', async (t) => {
    await using log = await open()
    if (!log.can.trim) return t.skip('this log does not trim')
    const topic = await oneTopic(log)
    for (let index = 0; index < 3; index++) await appendAll(log, numbered(topic, 2))
    const start = (await log.trim(topic, new Map([[0, 4]]))).get(0) ?? 0
    const read = log.read({ topic, offsets: new Map([[0, start - 1]]) }, new AbortController().signal)
    await assert.rejects(inTime(read[Symbol.asyncIterator]().next(), 'the refusal'), (error: unknown) => {
      logError('out-of-range')(error)
      return Object.is(Reflect.get(Object(error), 'partition'), 0)
    })
  })
}

function flowTests(open: () => Promise<EventLog>): void {
  test('what becomes visible while others append has no gap: a reader behind the writers sees each offset once', async () => {
    await using log = await open()
    await using other = await open()
    const topic = await oneTopic(log, 2)
    const calls = 100
    const writing = Promise.all(
      Array.from({ length: calls }, (_, call) =>
        (call % 2 === 0 ? log : other).append([
          aRecord(topic, 'a'),
          aRecord(topic, 'b'),
          aRecord(topic, 'c'),
        ]),
      ),
    )
    const stop = new AbortController()
    const next = new Map([
      [0, 0],
      [1, 0],
    ])
    for await (const batch of log.read({ topic, offsets: new Map(next) }, stop.signal)) {
      for (const [index, record] of batch.records.entries())
        assert.equal(record.offset, (next.get(batch.partition) ?? 0) + index)
      next.set(batch.partition, batch.nextOffset)
      const seen = [...next.values()].reduce((sum, offset) => sum + offset, 0)
      if (seen >= calls * 3) break
    }
    stop.abort()
    await writing
  })

  test('a slow reader gets everything, and does not make the log hold it all in memory', async () => {
    await using log = await open()
    const topic = await oneTopic(log, 2)
    const properties = { text: 'x'.repeat(1_000) }
    for (let round = 0; round < 4; round++)
      await appendAll(
        log,
        Array.from({ length: 5_000 }, (_, index) => aRecord(topic, `u${index}`, { properties })),
      )
    const offsets = new Map([0, 1].map((partition) => [partition, 0]))
    const stop = new AbortController()
    let seen = 0
    for await (const batch of log.read({ topic, offsets }, stop.signal)) {
      if (seen === 0) await sleep(300)
      seen += batch.records.length
      assert.ok(batch.records.length <= 20_000)
      if (seen === 20_000) break
    }
    assert.equal(seen, 20_000)
  })
}

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import type { AppendOutcome, EventLog, LogRecord, NewRecord } from './log.ts'
import { partitionOf } from './murmur2.ts'
import {
  appendAll,
  aRecord,
  fingerprintOf,
  freshTopic,
  positionOfAppended,
  readAll,
} from './suite-records.ts'

const kinds = (outcomes: readonly AppendOutcome[]) => outcomes.map(({ kind }) => kind)

const found = (records: ReadonlyMap<number, readonly LogRecord[]>, id: string) =>
  [...records.values()].flat().filter(({ event }) => event.event_id === id)

/** `append`: partitions, order, offsets, outcomes; repeats, or that they are not found. */
export function appendSuite(open: () => Promise<EventLog>): void {
  placeTests(open)
  orderTests(open)
  contentTests(open)
  repeatTests(open)
  repeatPlaceTests(open)
}

function placeTests(open: () => Promise<EventLog>): void {
  test('every record is settled on its own and in the order given, over topics and partitions', async () => {
    await using log = await open()
    const topics = [freshTopic(), freshTopic()]
    await log.declare(topics.map((name) => ({ name, partitions: 4 })))
    const records = Array.from({ length: 40 }, (_, index) =>
      aRecord(topics[index % 2] ?? '', `user ${index % 13}`, { properties: { index } }),
    )
    const positions = await appendAll(log, records)
    const read = new Map(
      await Promise.all(topics.map(async (topic) => [topic, await readAll(log, topic)] as const)),
    )
    for (const [index, record] of records.entries()) {
      const { topic, partition, offset } = positions[index] ?? assert.fail('a position is missing')
      assert.equal(topic, record.topic)
      const there = read.get(topic)?.get(partition)?.[offset]
      assert.equal(there?.value, record.value)
      assert.equal(there?.receivedAt, record.receivedAt, 'microseconds must be kept')
    }
    assert.deepEqual(await log.append([]), [])
  })

  test('a key goes to the partition that Kafka’s murmur2 gives it', async () => {
    await using log = await open()
    const topic = freshTopic()
    await log.declare([{ name: topic, partitions: 4 }])
    // From the hashes that Kafka's own tests name; the others are from the function, which has tests of its own.
    const known = { '21': 0, foobar: 2, abc: 3 }
    for (const [key, partition] of Object.entries(known)) assert.equal(partitionOf(key, 4), partition, key)
    const keys = [...Object.keys(known), '', 'ключ', '🙂', 'x'.repeat(2_000)]
    const positions = await appendAll(
      log,
      keys.map((key) => aRecord(topic, key)),
    )
    assert.deepEqual(
      positions.map(({ partition }) => partition),
      keys.map((key) => partitionOf(key, 4)),
    )
  })
}

function orderTests(open: () => Promise<EventLog>): void {
  test('records of one key stand in the order in which append was called, with many calls at the same time', async () => {
    await using log = await open()
    const topic = freshTopic()
    await log.declare([{ name: topic, partitions: 3 }])
    const keys = ['ada', 'ben', 'cleo', 'dan', 'eve']
    const calls = Array.from({ length: 200 }, (_, call) =>
      log.append(keys.map((key) => aRecord(topic, key, { properties: { call } }))),
    )
    for (const outcomes of await Promise.all(calls)) outcomes.forEach(positionOfAppended)
    const records = [...(await readAll(log, topic)).values()].flat()
    for (const key of keys) {
      const seen = records
        .filter(({ event }) => event.user_id === key)
        .map(({ event }) => event.properties.call)
      assert.deepEqual(
        seen,
        Array.from({ length: 200 }, (_, call) => call),
      )
    }
  })

  test('the order of calls holds also for the first calls of a log that did not know the topic', async () => {
    await using other = await open()
    await using log = await open()
    const [topic, unrelated] = [freshTopic(), freshTopic()]
    await log.declare([
      { name: topic, partitions: 2 },
      { name: unrelated, partitions: 1 },
    ])
    const calls = Array.from({ length: 100 }, (_, call) =>
      other.append([
        aRecord(topic, 'ada', { properties: { call } }),
        ...(call % 3 === 0 ? [aRecord(unrelated, 'ben')] : []),
      ]),
    )
    for (const outcomes of await Promise.all(calls)) outcomes.forEach(positionOfAppended)
    const seen = [...(await readAll(log, topic)).values()].flat().map(({ event }) => event.properties.call)
    assert.deepEqual(seen, Array.from(calls.keys()))
  })

  test('offsets have no gap and no repeat when several processes append at the same time', async () => {
    await using one = await open()
    await using two = await open()
    const topic = freshTopic()
    await one.declare([{ name: topic, partitions: 2 }])
    const calls = Array.from({ length: 60 }, (_, call) =>
      (call % 2 === 0 ? one : two).append(['a', 'b', 'c'].map((key) => aRecord(topic, key))),
    )
    const positions = (await Promise.all(calls)).flat().map(positionOfAppended)
    for (const { partition, end } of (await one.bounds(topic)).partitions) {
      const offsets = positions
        .filter((position) => position.partition === partition)
        .map(({ offset }) => offset)
      assert.deepEqual(
        offsets.sort((a, b) => a - b),
        Array.from({ length: end }, (_, offset) => offset),
      )
    }
    assert.equal(positions.length, 180)
    await readAll(two, topic) // fails at a gap
  })
}

function contentTests(open: () => Promise<EventLog>): void {
  test('text of any script and size comes back as it was, to the byte', async () => {
    await using log = await open()
    const topic = freshTopic()
    await log.declare([{ name: topic, partitions: 1 }])
    const texts = ['', '\u2028\u0000\\n"', '漢字🙂\ud83d', 'é'.repeat(30_000), randomUUID().repeat(1_700)]
    const records = texts.map((text) => aRecord(topic, 'a', { properties: { text } }))
    await appendAll(log, records)
    const read = (await readAll(log, topic)).get(0) ?? []
    assert.deepEqual(
      read.map(({ value }) => value),
      records.map(({ value }) => value),
    )
    assert.deepEqual(
      read.map(({ event }) => event),
      records.map(({ value }) => JSON.parse(value)),
    )
    assert.equal(read[0]?.event, read[0]?.event, 'an event is parsed once')
  })

  test('one call takes thousands of records and megabytes', async () => {
    await using log = await open()
    const topic = freshTopic()
    await log.declare([{ name: topic, partitions: 2 }])
    const properties = { text: randomUUID().repeat(20) }
    const records = Array.from({ length: 5_000 }, (_, index) =>
      aRecord(topic, `user ${index % 50}`, { properties }),
    )
    assert.equal(
      new Set((await appendAll(log, records)).map(({ partition, offset }) => `${partition}.${offset}`)).size,
      5_000,
    )
    const read = [...(await readAll(log, topic)).values()].flat()
    assert.equal(new Set(read.map(({ event }) => event.event_id)).size, 5_000)
  })
}

function repeatTests(open: () => Promise<EventLog>): void {
  test('the same id sent again is found, or is appended again by a log that cannot tell', async () => {
    await using log = await open()
    const topic = freshTopic()
    await log.declare([{ name: topic, partitions: 2 }])
    const record = aRecord(topic, 'a')
    const [first] = await log.append([record])
    const [again] = await log.append([{ ...record, receivedAt: record.receivedAt + 1_000 }])
    assert.ok(first && again)
    const stored = found(await readAll(log, topic), record.id)
    if (log.can.dedupe) {
      assert.equal(again.kind, 'repeat')
      assert.deepEqual({ ...again, kind: 'appended' }, first, 'a repeat has the first position and time')
      assert.equal(stored.length, 1)
    } else {
      assert.equal(positionOfAppended(again).offset, positionOfAppended(first).offset + 1)
      assert.equal(stored.length, 2)
    }
  })

  test('an id with another fingerprint is a conflict that changes nothing, or is appended by a log that cannot tell', async () => {
    await using log = await open()
    const topic = freshTopic()
    await log.declare([{ name: topic, partitions: 2 }])
    const record = aRecord(topic, 'a')
    const [first] = await log.append([record])
    const altered: NewRecord = {
      ...aRecord(topic, 'b', { id: record.id }),
      fingerprint: fingerprintOf('another'),
    }
    const [conflict] = await log.append([altered])
    assert.ok(first && conflict)
    if (log.can.dedupe) {
      assert.deepEqual({ ...conflict, kind: 'appended' }, first)
      assert.equal(conflict.kind, 'conflict')
    } else positionOfAppended(conflict)
    assert.equal(found(await readAll(log, topic), record.id).length, log.can.dedupe ? 1 : 2)
  })
}

function repeatPlaceTests(open: () => Promise<EventLog>): void {
  test('repeats inside one call, in calls at the same time and from another process have one effect if repeats are found', async () => {
    await using one = await open()
    await using two = await open()
    const topic = freshTopic()
    await one.declare([{ name: topic, partitions: 3 }])
    const record = aRecord(topic, 'a')
    const other = aRecord(topic, 'b')
    const calls = [
      one.append([record, other, record]),
      two.append([other, record]),
      one.append([record]),
      two.append([record]),
    ]
    const outcomes = (await Promise.all(calls)).flat()
    const effects = one.can.dedupe ? 1 : undefined
    const stored = await readAll(two, topic)
    assert.equal(found(stored, record.id).length, effects ?? 5)
    assert.equal(found(stored, other.id).length, effects ?? 2)
    if (!one.can.dedupe) return
    assert.deepEqual(kinds(outcomes).sort(), [...Array(2).fill('appended'), ...Array(5).fill('repeat')])
    const positions = outcomes.map((outcome) =>
      'position' in outcome ? outcome.position : assert.fail('failed'),
    )
    assert.equal(new Set(positions.map(({ partition, offset }) => `${partition}.${offset}`)).size, 2)
  })

  test('a repeat is found by a log that was opened later', async () => {
    const topic = freshTopic()
    const record = aRecord(topic, 'a')
    {
      await using log = await open()
      await log.declare([{ name: topic, partitions: 1 }])
      await appendAll(log, [record])
    }
    await using log = await open()
    assert.deepEqual(kinds(await log.append([record])), [log.can.dedupe ? 'repeat' : 'appended'])
  })

  test('a record without a fingerprint is not remembered: its id came from the server', async () => {
    await using log = await open()
    const topic = freshTopic()
    await log.declare([{ name: topic, partitions: 1 }])
    const record = aRecord(topic, 'a', { remembered: false })
    assert.deepEqual(kinds(await log.append([record])), ['appended'])
    assert.deepEqual(kinds(await log.append([record])), ['appended'])
  })
}

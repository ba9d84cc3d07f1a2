import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { EventLog } from './log.ts'
import { appendAll, aRecord, freshTopic, logError, nowMicros, readAll, readUntil } from './suite-records.ts'

/** `declare`, `bounds`, `trim`, and what `can` says. */
export function topicSuite(open: () => Promise<EventLog>): void {
  declareTests(open)
  unknownTopicTests(open)
  sinceTests(open)
  trimTests(open)
}

function declareTests(open: () => Promise<EventLog>): void {
  test('can is data with a name, and says a durability that exists', async () => {
    await using log = await open()
    assert.match(log.can.driver, /^[a-z]+$/)
    assert.match(log.can.durability, /^(disk|unsynced|replicas:[1-9]\d*)$/)
    for (const flag of [log.can.dedupe, log.can.trim]) assert.equal(typeof flag, 'boolean')
  })

  test('a declared topic is empty and has its partitions; declaring it again changes nothing', async () => {
    await using log = await open()
    const [name, other] = [freshTopic(), freshTopic()]
    await log.declare([
      { name, partitions: 3 },
      { name: other, partitions: 1 },
    ])
    const before = await log.bounds(name)
    assert.deepEqual(
      before.partitions,
      [0, 1, 2].map((partition) => ({ partition, start: 0, end: 0, since: 0 })),
    )
    assert.ok(Number.isSafeInteger(before.epoch) && before.epoch >= 0)
    assert.equal((await log.bounds(other)).partitions.length, 1)
    await log.declare([{ name, partitions: 7 }])
    assert.deepEqual(await log.bounds(name), before)
  })

  test('several processes may declare the same topic at the same time', async () => {
    await using one = await open()
    await using two = await open()
    const topic = { name: freshTopic(), partitions: 2 }
    await Promise.all([one.declare([topic]), two.declare([topic]), one.declare([topic])])
    assert.deepEqual(await one.bounds(topic.name), await two.bounds(topic.name))
  })
}

function unknownTopicTests(open: () => Promise<EventLog>): void {
  test('a topic that nobody declared is unknown to every member', async () => {
    await using log = await open()
    const [topic, known] = [freshTopic(), freshTopic()]
    await log.declare([{ name: known, partitions: 1 }])
    const unknown = logError('unknown-topic')
    await assert.rejects(log.bounds(topic), unknown)
    await assert.rejects(log.trim(topic, new Map([[0, 0]])), unknown)
    await assert.rejects(log.append([aRecord(known, 'a'), aRecord(topic, 'a')]), unknown)
    const read = log.read({ topic, offsets: new Map([[0, 0]]) }, new AbortController().signal)
    await assert.rejects(read[Symbol.asyncIterator]().next(), unknown)
    assert.deepEqual((await readAll(log, known)).get(0), [], 'a rejected append must not append a part')
  })

  test('the epoch and the bounds are the same for every opening, and outlive them', async () => {
    const topic = freshTopic()
    const bounds = await (async () => {
      await using log = await open()
      await log.declare([{ name: topic, partitions: 1 }])
      const [position] = await appendAll(log, [aRecord(topic, 'a')])
      const seen = await log.bounds(topic)
      assert.equal(position?.epoch, seen.epoch)
      return seen
    })()
    await using again = await open()
    assert.deepEqual(await again.bounds(topic), bounds)
    const [batch] = await readUntil(again, topic, new Map([[0, 0]]), new Map([[0, 1]]))
    assert.equal(batch?.epoch, bounds.epoch)
  })
}

function sinceTests(open: () => Promise<EventLog>): void {
  test('bounds says the first offset that was appended at or after a time', async () => {
    await using log = await open()
    const topic = freshTopic()
    await log.declare([{ name: topic, partitions: 2 }])
    const before = nowMicros() - 5_000
    for (let index = 0; index < 5; index++) {
      await appendAll(log, [aRecord(topic, 'a'), aRecord(topic, 'a')])
      // Longer than the resolution of any driver's clock, so that the groups have times of their own.
      await sleep(5)
    }
    const partition = (await log.bounds(topic)).partitions.find(({ end }) => end > 0)?.partition ?? -1
    const batches = await readUntil(log, topic, new Map([[partition, 0]]), new Map([[partition, 10]]))
    const times = batches.map(({ appendedAt, nextOffset, records }) => ({
      appendedAt,
      at: nextOffset - records.length,
    }))
    assert.ok(new Set(times.map(({ appendedAt }) => appendedAt)).size >= 5)
    for (const { appendedAt } of times) assert.ok(appendedAt >= before && appendedAt <= nowMicros() + 5_000)
    const since = async (time: number) => (await log.bounds(topic, time)).partitions[partition]?.since
    for (const time of times.flatMap(({ appendedAt }) => [appendedAt - 2_000, appendedAt, appendedAt + 1]))
      assert.equal(await since(time), times.find(({ appendedAt }) => appendedAt >= time)?.at ?? 10)
    assert.equal(await since(0), 0)
    assert.equal(await since(nowMicros() + 60_000_000), 10)
  })
}

function trimTests(open: () => Promise<EventLog>): void {
  test('trim forgets below, keeps all from there on, and offsets go on as before', async () => {
    await using log = await open()
    const topic = freshTopic()
    await log.declare([{ name: topic, partitions: 1 }])
    for (let index = 0; index < 4; index++)
      await appendAll(
        log,
        [1, 2, 3].map((text) => aRecord(topic, 'a', { properties: { text } })),
      )
    const all = (await readAll(log, topic)).get(0) ?? []
    assert.equal((await log.trim(topic, new Map())).get(0) ?? 0, 0)

    const start = (await log.trim(topic, new Map([[0, 6]]))).get(0) ?? -1
    if (log.can.trim) assert.ok(start > 0 && start <= 6, `the start is ${start}, and 6 was asked for`)
    else assert.equal(start, 0, 'a log that cannot trim must not')
    assert.equal((await log.bounds(topic)).partitions[0]?.start, start)
    assert.equal((await log.bounds(topic, 1)).partitions[0]?.since, start)
    const left = (await readAll(log, topic)).get(0) ?? []
    assert.deepEqual(
      left.map(({ value }) => value),
      all.slice(start).map(({ value }) => value),
    )

    assert.equal(
      (await log.trim(topic, new Map([[0, 2]]))).get(0),
      start,
      'a trim further down changes nothing',
    )
    const end = (await log.trim(topic, new Map([[0, 12]]))).get(0) ?? -1
    const [position] = await appendAll(log, [aRecord(topic, 'a')])
    assert.equal(position?.offset, 12)
    assert.ok(end <= 12)
    const rest = await readUntil(log, topic, new Map([[0, end]]), new Map([[0, 13]]))
    assert.equal(rest.at(-1)?.nextOffset, 13)
  })
}

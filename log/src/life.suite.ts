import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EventLog } from './log.ts'
import { aRecord, freshTopic, inTime, logError, positionOfAppended, readAll } from './suite-records.ts'

/** The rules of life, on a real driver inside `openOnce`. */
export function lifeSuite(open: () => Promise<EventLog>): void {
  test('a closed log refuses every member with closed, and closing it twice is harmless', async () => {
    const log = await open()
    const topic = freshTopic()
    await log.declare([{ name: topic, partitions: 1 }])
    await Promise.all([log[Symbol.asyncDispose](), log[Symbol.asyncDispose]()])
    await log[Symbol.asyncDispose]()
    const closed = logError('closed')
    await assert.rejects(log.append([aRecord(topic, 'a')]), closed)
    await assert.rejects(log.bounds(topic), closed)
    await assert.rejects(log.declare([]), closed)
    await assert.rejects(log.trim(topic, new Map()), closed)
    const read = log.read({ topic, offsets: new Map([[0, 0]]) }, new AbortController().signal)
    await assert.rejects(read[Symbol.asyncIterator]().next(), closed)
    assert.ok(log.can.driver)
  })

  test('closing waits for the appends that it had accepted: each is settled, and what was appended is there', async () => {
    const topic = freshTopic()
    const records = Array.from({ length: 100 }, (_, index) => aRecord(topic, `user ${index}`))
    const appends = await (async () => {
      await using log = await open()
      await log.declare([{ name: topic, partitions: 2 }])
      return records.map((record) => log.append([record]))
    })()
    // No await between: the log is closed by now, so all of them must be settled already.
    const outcomes = await inTime(Promise.all(appends), 'the accepted appends')
    outcomes.flat().forEach(positionOfAppended)
    await using log = await open()
    const ids = [...(await readAll(log, topic)).values()].flat().map(({ event }) => event.event_id)
    assert.deepEqual(ids.sort(), records.map(({ id }) => id).sort())
  })

  test('a read that waits at the end ends with closed when the log closes', async () => {
    const log = await open()
    const topic = freshTopic()
    await log.declare([{ name: topic, partitions: 1 }])
    const read = log.read({ topic, offsets: new Map([[0, 0]]) }, new AbortController().signal)
    const ended = assert.rejects(inTime(read[Symbol.asyncIterator]().next(), 'the end'), logError('closed'))
    await inTime(log[Symbol.asyncDispose](), 'closing')
    await ended
  })
}

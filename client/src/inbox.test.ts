import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SlowPolicy } from '@pulse/protocol/frames'
import { Inbox } from './inbox.ts'
import { Place } from './place.ts'
import type { ReceivedEvent, StreamItem } from './stream-item.ts'

const placeAt = (offset: number) =>
  new Place([{ topic: 'events', epoch: 1, offsets: new Map([[0, offset]]) }])

const eventAt = (offset: number, key = 'a'): ReceivedEvent => ({
  ...{ kind: 'event', matched: [], topic: 'events', partition: 0, offset },
  event: {
    event_id: `${offset}`,
    event_type: 'x',
    properties: { 'a/b': key },
  } as unknown as ReceivedEvent['event'],
})

const inboxOf = (slow: SlowPolicy, eventsMax = 4, conflateBy?: string) =>
  new Inbox({ limits: { eventsMax, charsMax: 1_000 }, slow, conflateBy }, placeAt(0))

const offsetOf = (item: StreamItem | undefined) => (item?.kind === 'event' ? item.offset : item?.kind)

/** Takes and confirms everything. */
function drain(inbox: Inbox): readonly unknown[] {
  const taken: unknown[] = []
  for (let item = inbox.take(); item; item = inbox.take()) {
    taken.push(offsetOf(item))
    inbox.confirm()
  }
  return taken
}

test('the place moves when an item is confirmed, not when it is taken', () => {
  const inbox = inboxOf('replay')
  inbox.put(eventAt(0), 1)
  inbox.put(eventAt(4), 1)
  inbox.take()
  assert.equal(inbox.place?.text, placeAt(0).text)
  assert.ok(inbox.confirm())
  assert.equal(inbox.place?.text, placeAt(1).text)
  assert.ok(!inbox.confirm())
})

test('a checkpoint moves the place at once if nothing waits, else behind what waits, and never piles up', () => {
  const inbox = inboxOf('replay')
  assert.ok(inbox.pass({ positions: placeAt(3).positions }))
  inbox.put(eventAt(5), 1)
  for (let offset = 6; offset < 100; offset++)
    assert.ok(!inbox.pass({ positions: placeAt(offset).positions }))
  assert.equal(inbox.place?.text, placeAt(3).text)
  inbox.take()
  inbox.confirm()
  assert.equal(inbox.place?.text, placeAt(99).text)
})

test('it is full by events or by characters, and has room again at half', () => {
  const inbox = inboxOf('replay')
  inbox.put(eventAt(0), 999)
  assert.ok(!inbox.isFull)
  inbox.put(eventAt(1), 1)
  assert.ok(inbox.isFull)
  assert.equal(inbox.relieve(), 'hold')
  inbox.take()
  assert.ok(inbox.hasRoom)
  assert.equal(inboxOf('close').relieve(), 'end')
})

test('drop-oldest lets the older half go and tells it as one gap in its place', () => {
  const inbox = inboxOf('drop-oldest')
  inbox.put(eventAt(0), 1)
  inbox.take()
  for (const offset of [2, 3, 5, 8]) inbox.put(eventAt(offset), 1)
  assert.equal(inbox.relieve(), 'go-on')
  for (const offset of [9, 11]) inbox.put(eventAt(offset), 1)
  assert.equal(inbox.relieve(), 'go-on')
  // What the consumer has in hand is not part of it.
  assert.equal(inbox.place?.text, placeAt(0).text)
  inbox.confirm()
  const gap = inbox.take()
  assert.deepEqual(gap, { kind: 'gap', from: placeAt(1).text, to: placeAt(9).text, reason: 'dropped' })
  inbox.confirm()
  assert.equal(inbox.place?.text, placeAt(9).text)
  assert.deepEqual(drain(inbox), [9, 11])
})

test('conflate keeps the latest of each value, at its place in the order', () => {
  const inbox = inboxOf('conflate', 6, '/properties/a~1b')
  for (const [offset, key] of ['a', 'b', 'a', 'a', 'c', 'b'].entries()) inbox.put(eventAt(offset, key), 1)
  assert.equal(inbox.relieve(), 'go-on')
  assert.deepEqual(drain(inbox), [3, 4, 5])
  assert.equal(inbox.place?.text, placeAt(6).text)

  const different = inboxOf('conflate', 2, '/properties/a~1b')
  different.put(eventAt(0, 'a'), 1)
  different.put(eventAt(1, 'b'), 1)
  assert.equal(different.relieve(), 'hold')
})

test('thousands of items go through in order', () => {
  const inbox = inboxOf('replay', 10_000)
  for (let offset = 0; offset < 5_000; offset++) inbox.put(eventAt(offset), 0)
  assert.deepEqual(
    drain(inbox),
    Array.from({ length: 5_000 }, (_, offset) => offset),
  )
  assert.equal(inbox.events, 0)
})

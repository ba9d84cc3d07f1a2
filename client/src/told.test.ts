import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Position } from '@pulse/protocol/position'
import { Place } from './place.ts'
import type { Delivery } from './server-frame.ts'
import { Told } from './told.ts'

const at = (offsets: readonly number[], epoch = 1): Position[] => [
  { topic: 'events', epoch, offsets: new Map(offsets.map((offset, partition) => [partition, offset])) },
]

const event = { event_id: 'x', event_type: 'x' } as unknown as Delivery['event']

const delivery = (partition: number, offset: number, previous: number): Delivery => ({
  ...{ topic: 'events', partition, offset, previous, matched: [], event },
})

/** A stream that was resumed at these offsets. */
function resumed(offsets: readonly number[]): Told {
  const told = new Told(new Place(at(offsets)), false)
  told.ask(at([100, 100]))
  assert.equal(told.checkpoint(at(offsets), undefined), undefined)
  return told
}

test('a delivery behind what was told is new, another one is a repeat, and one with something missing before it is neither', () => {
  const told = resumed([5, 0])
  assert.equal(told.deliver(delivery(0, 7, 4)), 'new')
  assert.equal(told.deliver(delivery(0, 7, 4)), 'repeat')
  assert.equal(told.deliver(delivery(1, 0, -1)), 'new')
  assert.deepEqual(told.deliver(delivery(0, 12, 9)), {
    topic: 'events',
    partition: 0,
    expected: 8,
    previous: 9,
  })
  assert.equal(told.deliver(delivery(0, 12, 7)), 'new')
  assert.deepEqual(told.deliver(delivery(7, 0, -1)), {
    ...{ topic: 'events', partition: 7, expected: undefined, previous: -1 },
  })
})

test('a server that goes further back than it must loses nothing: what it repeats is left out', () => {
  const told = resumed([5, 0])
  told.ask(at([100, 100]))
  assert.equal(told.checkpoint(at([2, 0]), undefined), undefined)
  assert.equal(told.deliver(delivery(0, 3, 1)), 'repeat')
  assert.equal(told.deliver(delivery(0, 6, 3)), 'new')
})

test('an answer or a checkpoint beyond what was told shows that something is missing', () => {
  const told = resumed([5, 0])
  const missing = { topic: 'events', partition: 0, expected: 5, previous: 5 }
  assert.deepEqual(told.checkpoint(at([9, 0]), at([6, 0])), missing)
  assert.equal(told.checkpoint(at([9, 0]), at([5, 0])), undefined)
  told.ask(at([100, 100]))
  assert.deepEqual(told.checkpoint(at([10, 0]), undefined), { ...missing, expected: 9, previous: 9 })
  assert.deepEqual(told.gap(at([11, 0]), at([20, 0])), { ...missing, expected: 9, previous: 10 })
})

test('another log is told by a gap and never by a checkpoint', () => {
  const told = resumed([5, 0])
  assert.equal(typeof told.checkpoint(at([0, 0], 2), undefined), 'object')
  assert.equal(told.place?.text, new Place(at([5, 0])).text)
  assert.equal(told.gap(at([5, 0]), at([3, 0], 2)), undefined)
  assert.equal(told.place?.text, new Place(at([3, 0], 2)).text)
})

test('a topic that is new to the position begins where the server says', () => {
  const told = resumed([5, 0])
  told.ask(at([100, 100]))
  const orders: Position = { topic: 'orders', epoch: 1, offsets: new Map([[0, 0]]) }
  assert.equal(told.checkpoint([...at([5, 0]), orders], undefined), undefined)
  assert.equal(told.deliver({ ...delivery(0, 3, -1), topic: 'orders' }), 'new')
})

test('it asks from now, from the start, or from where it was', () => {
  const now = at([100, 100])
  assert.deepEqual(new Told(undefined, false).ask(now), { type: 'subscribe' })
  assert.deepEqual(new Told(undefined, true).ask(now), {
    type: 'resume',
    position: new Place(at([0, 0])).text,
  })
  const told = resumed([5, 0])
  told.deliver(delivery(0, 7, 4))
  assert.deepEqual(told.ask(now), { type: 'resume', position: new Place(at([8, 0])).text })
  told.forget()
  assert.deepEqual(told.ask(now), { type: 'subscribe' })
  const started = new Told(undefined, true)
  started.ask(now)
  started.forget()
  assert.deepEqual(started.ask(now), { type: 'subscribe' })
})

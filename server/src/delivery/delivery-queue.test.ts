import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogRecord } from '@pulse/log'
import { DeliveryQueue } from './delivery-queue.ts'
import { DeliveryRecord } from './delivery-record.ts'
import { Slots } from './vector.ts'

const slots = new Slots([{ name: 'events', epoch: 1, partitions: 1 }])

/** An event of so many characters that waits. */
function queued(offset: number, chars = 872) {
  const value = 'x'.repeat(chars)
  const record = { offset, value } as unknown as LogRecord
  const delivery = new DeliveryRecord(slots, record, { slot: 0, before: new Float64Array(1) })
  return { delivery, matched: Buffer.from('[]'), ahead: undefined }
}

test('an event that was taken is not replaced by a later one of its key: the account stays true', () => {
  const queue = new DeliveryQueue()
  for (let offset = 0; offset < 4; offset++) queue.push(queued(offset), `key ${offset}`)
  assert.equal(queue.bytes, 4_000)
  const taken = queue.take(2_000)
  assert.ok(taken && 'events' in taken && taken.events.length === 2)
  queue.push(queued(4), 'key 0')
  queue.push(queued(5), 'key 1')
  assert.equal(queue.bytes, 4_000)
  assert.equal(queue.isEmpty, false)
  const rest = queue.take(1_000_000)
  assert.ok(rest && 'events' in rest)
  assert.deepEqual(
    rest.events.map(({ delivery }) => delivery.offset),
    [2, 3, 4, 5],
  )
  assert.equal(queue.bytes, 0)
  assert.equal(queue.isEmpty, true)
})

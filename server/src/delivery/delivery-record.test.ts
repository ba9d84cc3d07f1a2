import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogRecord } from '@pulse/log'
import { DeliveryRecord } from './delivery-record.ts'
import { messagesOf } from './delivery-world.ts'
import { Slots } from './vector.ts'

const slots = new Slots([{ name: 'events', epoch: 1, partitions: 1 }])

test('an event that somebody else has laid out in lines is sent as one line, on every transport', () => {
  const event = { event_type: 'laid.out', properties: { text: 'a\nb' } }
  for (const value of [
    `${JSON.stringify(event, null, 2)}\n`,
    `${JSON.stringify(event)} `,
    JSON.stringify(event),
  ]) {
    const record = { offset: 0, value, event } as unknown as LogRecord
    const delivery = new DeliveryRecord(slots, record, { slot: 0, before: new Float64Array(1) })
    const [plain] = messagesOf(delivery.plain())
    assert.deepEqual(JSON.parse(String(plain)), { ...event, position: delivery.position })
    assert.deepEqual(JSON.parse(delivery.withPosition()), { ...event, position: delivery.position })
    const [id, data, ...rest] = delivery.eventStream().toString().split('\n')
    assert.equal(id, `id: ${delivery.position}`)
    assert.deepEqual(JSON.parse(String(data).slice('data: '.length)), event)
    assert.deepEqual(rest, ['', ''])
  }
})

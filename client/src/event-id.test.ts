import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newEventId } from './event-id.ts'

test('an event id is a UUID of version 7 that holds its time', () => {
  const id = newEventId(Date.parse('2026-03-01T12:00:00.123Z'))
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  const ms = Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16)
  assert.equal(new Date(ms).toISOString(), '2026-03-01T12:00:00.123Z')
})

test('10,000 ids of one millisecond differ', () => {
  const ids = new Set(Array.from({ length: 10_000 }, () => newEventId(1)))
  assert.equal(ids.size, 10_000)
})

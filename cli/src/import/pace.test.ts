import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createPace, timeSpanOf } from './pace.ts'
import type { FileRecord } from './records.ts'

const event = (timestamp?: string) => ({ event_type: 't', ...(timestamp === undefined ? {} : { timestamp }) })
const at = (minute: number) => event(`2001-01-01T00:${String(minute).padStart(2, '0')}:00Z`)
const hour = { first: Date.parse('2001-01-01T00:00:00Z'), last: Date.parse('2001-01-01T01:00:00Z') }

test('events are due at their own distances, squeezed to the time asked for', () => {
  const pace = createPace(hour, 6_000)
  const events = [at(0), at(10), at(10), event('2001-01-01T01:00:00Z')]
  assert.deepEqual(
    events.map((one) => Math.round(pace.dueMs(one))),
    [0, 1_000, 1_000, 6_000],
  )
})

test('without a time asked for they are due as they happened', () => {
  const pace = createPace(hour, undefined)
  assert.deepEqual([pace.dueMs(at(1)), pace.dueMs(at(2))], [0, 60_000])
})

test('an event without a time, or one that is out of order, is due with those before it', () => {
  const pace = createPace(hour, 60_000)
  assert.deepEqual(
    [event(), at(10), at(30), event(), at(20), event('noon'), at(40)].map((one) => pace.dueMs(one)),
    [0, 0, 20_000, 20_000, 20_000, 20_000, 30_000],
  )
})

async function* records(...times: (string | undefined)[]): AsyncGenerator<FileRecord> {
  for (const [n, time] of times.entries()) {
    const place = { offset: 0, line: n, record: n }
    const parsed = time === undefined ? { problem: 'no' } : { values: new Map([['timestamp', time]]) }
    yield { number: n + 1, line: n, text: '', parsed, next: place }
  }
}

const toEvent = (values: ReadonlyMap<string, unknown>) => event(String(values.get('timestamp')))

test('the time of a file reaches from its earliest to its latest record, wherever they stand', async () => {
  const span = await timeSpanOf(
    records('2001-01-01T00:30:00Z', '2001-01-01T00:00:00Z', undefined, '2001-01-01T01:00:00Z'),
    toEvent,
  )
  assert.deepEqual(span, hour)
})

test('a file whose records are all of one instant cannot be replayed', async () => {
  await assert.rejects(timeSpanOf(records('2001-01-01T00:00:00Z', '2001-01-01T00:00:00Z'), toEvent), {
    name: 'CommandError',
  })
})

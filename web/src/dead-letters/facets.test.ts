import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DeadLetter } from '@pulse/client'
import { facetsOf } from './facets.ts'

const letter = (error: string, handler: string, failed_at: string): DeadLetter => ({
  id: crypto.randomUUID(),
  event_id: crypto.randomUUID(),
  event_type: 'purchase',
  user_id: null,
  event: {
    event_id: crypto.randomUUID(),
    event_type: 'purchase',
    user_id: null,
    timestamp: failed_at,
    properties: {},
    source: null,
    schema_version: 1,
  },
  error: { class: error, message: 'no' },
  handler,
  attempts: 3,
  origin: { topic: 'events', partition: 0, offset: 1 },
  received_at: failed_at,
  failed_at,
  state: 'dead',
})

test('dead letters are counted by cause and handler, the most frequent first', () => {
  const facets = facetsOf([
    letter('TypeError', 'purchase', '2026-11-21T10:00:00.000000Z'),
    letter('Timeout', 'purchase', '2026-11-21T10:00:05.000000Z'),
    letter('Timeout', 'purchase', '2026-11-21T10:00:02.000000Z'),
    letter('Timeout', 'signup', '2026-11-21T10:00:01.000000Z'),
  ])
  assert.deepEqual(
    facets.map(({ cause, handler, count }) => [cause, handler, count]),
    [
      ['Timeout', 'purchase', 2],
      ['Timeout', 'signup', 1],
      ['TypeError', 'purchase', 1],
    ],
  )
  assert.equal(facets[0]?.latest, '2026-11-21T10:00:05.000000Z')
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '@pulse/dev/services/eventually'
import { startJourney } from './journey.ts'

test('--demo sends sample events of several kinds by itself, some of which fail', async () => {
  await using journey = await startJourney({ DEMO: 'true', RETRY_BASE_MS: '10' })
  const types = await eventually(
    'purchases, page views and failing shipments',
    async () => {
      const { body } = await journey.call('GET', '/events?limit=1000')
      const seen = new Set(body.data.map((event) => event.event_type))
      return seen.has('purchase') && seen.has('page_view') && seen.has('demo.shipment') ? seen : undefined
    },
    60_000,
  )
  assert.ok(types.size >= 3)
})

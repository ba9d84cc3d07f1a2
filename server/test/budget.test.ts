import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aPurchase, startJourney } from './journey.ts'

test('a batch over the budget is let in as far as it goes; the rest is told when to come back, and may', async () => {
  await using journey = await startJourney({ INTAKE_RATE_MAX: '50' })
  const events = Array.from({ length: 60 }, () => aPurchase())
  const { status, body } = await journey.call('POST', '/events', events)
  assert.equal(status, 200)
  const throttled = body.results.filter((item) => item.status === 'throttled')
  assert.equal(body.accepted, 5, 'a tenth of a second of the budget')
  assert.deepEqual(
    throttled.map((item) => item.event_id),
    events.slice(5).map((event) => event.event_id),
  )
  // However slow the machine is: 200 requests at once are more than the bucket of 5 and what drips in meanwhile.
  const answers = await Promise.all(
    Array.from({ length: 200 }, () => journey.call('POST', '/events', aPurchase())),
  )
  const refused = answers.filter((answer) => answer.status === 429)
  assert.ok(refused.length > 0)
  for (const { body, headers } of refused) {
    assert.equal(body.code, 'over_budget')
    assert.ok(Number(headers.get('retry-after')) >= 1)
  }
})

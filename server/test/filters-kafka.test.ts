import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import { openInstallation } from '@pulse/dev/faults/installation'
import { openServices } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { freshDatabase } from '@pulse/dev/services/postgres'
import { aPurchase, callerOf } from './journey.ts'

const services = await openServices(['kafka', 'postgres'])
after(() => services[Symbol.asyncDispose]())

test('on Kafka filters are stored and changed, and their control records are passed without a trace by processing', {
  skip: services.skip('kafka', 'postgres'),
}, async () => {
  await using database = await freshDatabase(services.address('postgres'))
  const topic = `bought-${randomUUID()}`
  await using installation = await openInstallation({
    databaseUrl: database.url,
    configText: `export default { eventTypes: { purchase: { topic: '${topic}', partitions: 2 } } }`,
    settings: { LOG_DRIVER: 'kafka', KAFKA_BROKERS: services.address('kafka') },
  })
  const call = callerOf(await installation.start())
  const filter = { subscriber_id: 'user_1', event_types: ['purchase'] }
  assert.equal((await call('POST', '/filters', filter)).status, 200)
  const user = randomUUID()
  const event = aPurchase({ user_id: user })
  assert.equal((await call('POST', '/events', event)).status, 202)
  const changed = await call('PUT', '/filters/user_1', { ...filter, min_amount: 5 })
  assert.equal(changed.status, 200)
  const { effective, version } = changed.body as unknown as { effective: string; version: number }
  assert.equal(version, 2)
  assert.ok(effective.includes(topic) && effective.includes('events~'))
  const verdicts = () =>
    installation.query<{ control: number; processed: number; other: number }>(
      `select sum(control)::int as control, sum(processed)::int as processed,
         sum(repeated + dead + parked + dropped)::int as other from log_group_partitions where topic = $1`,
      [topic],
    )
  await eventually(
    'all verdicts',
    async () => (((await verdicts())[0]?.control ?? 0) >= 4 ? true : undefined),
    20_000,
  )
  await eventually(
    'its row',
    async () => ((await installation.query('select 1 from events')).length === 1 ? true : undefined),
    20_000,
  )
  assert.deepEqual(await verdicts(), [{ control: 4, processed: 1, other: 0 }])
  const tried = await call('POST', '/filters/test', { condition: { expression: `user_id = "${user}"` } })
  const { matched } = tried.body as unknown as { matched: number }
  assert.equal(matched, 1)
})

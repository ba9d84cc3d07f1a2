import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import { type Installation, openInstallation } from '@pulse/dev/faults/installation'
import { openServices } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { freshDatabase } from '@pulse/dev/services/postgres'
import { callerOf } from './journey.ts'

const services = await openServices(['kafka', 'postgres'])
after(() => services[Symbol.asyncDispose]())

// Handlers that count their runs per event, as an effect outside the database would.
const configText = (topic: string) => `
const runs = new Map()
const run = (event) => {
  runs.set(event.event_id, (runs.get(event.event_id) ?? 0) + 1)
  return runs.get(event.event_id)
}
export default {
  retryBaseMs: 20,
  retryMaxMs: 60,
  eventTypes: { 'kept.well': { topic: '${topic}' }, 'fails.first': { topic: '${topic}' } },
  handlers: {
    'kept.well': (event) => ({ enriched: { runs: run(event) } }),
    'fails.first': (event, ctx) => {
      const enriched = { runs: run(event) }
      if (ctx.attempt === 1) throw new Error('later')
      return { enriched }
    },
  },
}`

interface Counts {
  readonly processed: string
  readonly repeated: string
  readonly dead: string
}

async function countsOf(installation: Installation, topic: string): Promise<Counts | undefined> {
  const [row] = await installation.query<Counts>(
    `select sum(processed) as processed, sum(repeated) as repeated, sum(dead) as dead, sum(parked) as parked
     from log_group_partitions where topic = $1`,
    [topic],
  )
  return row
}

test('EF-29 EF-30 on Kafka the same event sent again and again is one row and one effect, another one under its id a dead letter, and the backlog is true', {
  skip: services.skip('kafka', 'postgres'),
}, async () => {
  await using database = await freshDatabase(services.address('postgres'))
  const topic = `kept-${randomUUID()}`
  await using installation = await openInstallation({
    databaseUrl: database.url,
    configText: configText(topic),
    settings: { LOG_DRIVER: 'kafka', KAFKA_BROKERS: services.address('kafka') },
  })
  const front = await installation.start({ ROLES: 'intake,query,web' })
  const call = callerOf(front)
  // Without a time of its own: each time it is kept with another one, and still it is the same event.
  const event = (type: string) => ({
    event_id: randomUUID(),
    event_type: type,
    user_id: 'user-1',
    properties: { n: 1 },
  })
  const [kept, failing] = [event('kept.well'), event('fails.first')]
  const sent = [kept, kept, failing, kept, failing]
  for (const each of sent) {
    const { status, body } = await call('POST', '/events', each)
    assert.equal(status, 202)
    assert.equal((body.receipt as { dedupe?: string }).dedupe, 'deferred')
  }
  const other = await call('POST', '/events', { ...kept, properties: { n: 2 } })
  assert.equal(other.status, 202)
  // A request may hold one twice too.
  assert.equal((await call('POST', '/events', [failing, failing])).status, 200)
  const backlog = async () => {
    const { body } = await call('GET', '/metrics/summary')
    return (body as unknown as { backlog: { events: number; seconds: number } }).backlog
  }
  const isTold = async () => ((await backlog()).events >= 8 && (await backlog()).seconds > 1) || undefined
  await eventually('the backlog is told', isTold, 10_000)

  assert.equal((await call('GET', `/events/${kept.event_id}`)).body.status, 'accepted')
  assert.equal((await call('GET', `/events/${randomUUID()}`)).status, 404)
  await installation.start({ ROLES: 'processing' })
  const counts = () => countsOf(installation, topic)
  await eventually(
    'everything has its verdict',
    async () => ((await backlog()).events === 0 ? true : undefined),
    20_000,
  )
  await eventually(
    'nothing waits',
    async () => ((await installation.query('select 1 from retries')).length === 0 ? true : undefined),
    10_000,
  )
  // Sent once more when all is done.
  for (const each of [kept, failing]) assert.equal((await call('POST', '/events', each)).status, 202)
  await eventually(
    'and again',
    async () => (Number((await counts())?.repeated) >= 7 ? true : undefined),
    10_000,
  )
  assert.deepEqual(await counts(), { processed: '1', repeated: '7', dead: '1', parked: '1' })
  const rows = await installation.query('select event_id, enriched from events order by event_type desc')
  assert.deepEqual(rows, [
    { event_id: kept.event_id, enriched: { runs: 1 } },
    { event_id: failing.event_id, enriched: { runs: 2 } },
  ])
  const letters = await installation.query('select event_id, error_class from dead_letters')
  assert.deepEqual(letters, [{ event_id: kept.event_id, error_class: 'EventIdConflict' }])
})

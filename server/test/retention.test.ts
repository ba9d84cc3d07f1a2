import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { type Installation, openInstallation } from '@pulse/dev/faults/installation'
import { openServices, type Services } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { freshDatabase } from '@pulse/dev/services/postgres'
import { openPostgresLog } from '@pulse/log/postgres'
import pg from 'pg'
import { pino } from 'pino'
import { openRetention, type RetentionResult } from '../src/operations/retention.ts'
import { aPurchase, callerOf } from './journey.ts'

const dayMs = 86_400_000

let services: Services
before(async () => {
  services = await openServices(['postgres'])
})
after(() => services[Symbol.asyncDispose]())

/** One round of retention with the defaults of the product, which its server would run within the hour. */
async function retain(databaseUrl: string): Promise<RetentionResult> {
  const connection = { connectionString: databaseUrl, options: '-c search_path=pulse,public' }
  const pool = new pg.Pool({ ...connection, max: 2 })
  await using log = await openPostgresLog({ connection, durability: 'disk' })
  const settings = { logHours: 168, rowDays: 90, deadLetterDays: 30, idWindowHours: 168 }
  const needs = { pool, log, topics: ['events'], settings, logger: pino({ level: 'silent' }) }
  const retention = await openRetention(needs)
  try {
    return await retention.run()
  } finally {
    await retention[Symbol.asyncDispose]()
    await pool.end()
  }
}

/** Puts the row of a processed event aside as one that came days ago, with the partition of that day. */
async function age(installation: Installation, eventId: string, days: number): Promise<void> {
  const day = new Date(Date.now() - days * dayMs).toISOString().slice(0, 10)
  const next = new Date(Date.parse(day) + dayMs).toISOString().slice(0, 10)
  await installation.query(
    `create table if not exists events_${day.replaceAll('-', '')} partition of events
     for values from ('${day} 00:00:00+00') to ('${next} 00:00:00+00')`,
  )
  await installation.query('update events set received_at = $2 where event_id = $1', [
    eventId,
    `${day} 12:00:00+00`,
  ])
}

test('EF-41 rows older than 90 days and dead letters older than 30 are removed; younger ones and the log they need stay', async () => {
  await using database = await freshDatabase(services.address('postgres'))
  const configText = `export default { handlers: { 'never.works': () => { throw new Error('no') } }, retryAttempts: 1 }`
  await using installation = await openInstallation({ databaseUrl: database.url, configText })
  const server = await installation.start()
  const call = callerOf(server)
  const [old, young, fresh] = [aPurchase(), aPurchase(), aPurchase()]
  const deads = [randomUUID(), randomUUID()].map((event_id) => ({ event_id, event_type: 'never.works' }))
  for (const event of [old, young, fresh, ...deads])
    assert.equal((await call('POST', '/events', event)).status, 202)
  const settled = async () => {
    const [row] = await installation.query(
      'select (select count(*) from events) + (select count(*) from dead_letters) = 5 as done',
    )
    return row?.done === true ? true : undefined
  }
  await eventually('all have their verdicts', settled, 15_000)
  await age(installation, old.event_id, 92)
  await age(installation, young.event_id, 89)
  await installation.query(
    `update dead_letters set failed_at = now() - make_interval(days => $2) where event_id = $1`,
    [deads[0]?.event_id, 31],
  )
  const result = await retain(database.url)
  assert.equal(result.deadLettersDeleted, 1)
  assert.equal(result.daysDropped.length, 1)
  const left = await installation.query('select event_id from events')
  assert.deepEqual(new Set(left.map((row) => row.event_id)), new Set([young.event_id, fresh.event_id]))
  const { body } = await call('GET', '/dead-letters')
  assert.deepEqual(
    body.data.map((letter) => letter.event_id),
    [deads[1]?.event_id],
  )
  // Another round finds nothing, and whoever asks for today is served.
  const again = await retain(database.url)
  assert.deepEqual([again.daysDropped, again.deadLettersDeleted], [[], 0])
  assert.equal((await call('GET', `/events/${fresh.event_id}`)).body.status, 'processed')
})

test('EF-40 under load many events share a write: fewer transactions than events, from the request to the row', async (t) => {
  await using database = await freshDatabase(services.address('postgres'))
  await using installation = await openInstallation({ databaseUrl: database.url })
  const server = await installation.start()
  const call = callerOf(server)
  // PostgreSQL counts what each session has reported; it reports about once a second.
  const transactions = async () => {
    const [row] = await installation.query<{ n: number }>(
      'select xact_commit::int as n from pg_stat_database where datname = current_database()',
    )
    return row?.n ?? 0
  }
  const before = await transactions()
  const count = 3_000
  let sent = 0
  const send = async () => {
    while (sent++ < count) assert.equal((await call('POST', '/events', aPurchase())).status, 202)
  }
  await Promise.all(Array.from({ length: 64 }, send))
  const processed = async () =>
    (await installation.query('select count(*)::int as n from events'))[0]?.n === count ? true : undefined
  await eventually('all are processed', processed, 30_000)
  const doneMs = performance.now()
  const reported = async () => (performance.now() - doneMs > 2_500 ? true : undefined)
  await eventually('every session has reported', reported, 3_000)
  const perEvent = ((await transactions()) - before) / count
  t.diagnostic(`${perEvent.toFixed(2)} transactions per event, those of every background watch included`)
  assert.ok(perEvent < 1, `${perEvent} transactions per event`)
})

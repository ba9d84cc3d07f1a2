import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openServices } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { migrate } from '@pulse/log/migrate'
import { openPostgresLog } from '@pulse/log/postgres'
import { freshDatabase, testOptions, withClient } from '@pulse/log/postgres/postgres-engine'
import pg from 'pg'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { Progress } from './progress.ts'
import { createWebhookReport } from './report.ts'
import type { DeadRow } from './webhook-store.ts'

const services = await openServices(['postgres'])
after(() => services[Symbol.asyncDispose]())
const skip = services.skip('postgres')
const migrations = fileURLToPath(new URL('../../migrations', import.meta.url))

/** A webhook in a database of its own, and the progress of its deliveries. */
async function openWorld() {
  const connection = await freshDatabase(services.address('postgres'))
  const log = await openPostgresLog(testOptions(connection))
  await log[Symbol.asyncDispose]()
  await withClient(connection, (client) =>
    migrate(client, [{ namespace: 'server', folders: [migrations], schema: 'pulse' }]),
  )
  const pool = new pg.Pool({ ...connection, options: '-c search_path=pulse,public', max: 2 })
  const id = randomUUID()
  await pool.query(
    `insert into webhooks (id, subscriber_id, url, secret, status, position, created_by)
     values ($1, 'one', 'https://example.com', 'secret', 'active', 'begin', 'test')`,
    [id],
  )
  const place = { now: 'begin' }
  const progress = new Progress({
    ...{ pool, fence: { id, epoch: 0 }, failures: 0 },
    ...{ position: () => place.now, waitingSince: () => undefined, stalled: () => undefined },
    fenced: () => assert.fail('it is nobody else’s'),
    report: createWebhookReport({ log: pino({ level: 'silent' }), metrics: new Registry() }),
  })
  const stored = async () => {
    const { rows } = await pool.query<{ position: string }>('select position from webhooks where id = $1', [
      id,
    ])
    return rows[0]?.position
  }
  return {
    ...{ progress, place, pool, stored },
    [Symbol.asyncDispose]: async () => {
      await progress.end()
      await pool.end()
    },
  }
}

const dead = (): DeadRow => ({
  ...{ id: randomUUID(), key: 'u', position: 'p', error_class: 'Status', error_message: 'no', attempts: 1 },
  event: { event_id: randomUUID(), event_type: 'a.type', user_id: 'u' } as DeadRow['event'],
  ...{ topic: 'events', partition: 0, record_offset: 0, log_epoch: 1, received_at: '2026-01-01T00:00:00Z' },
})

test('what a dead letter held back is stored once that is, although nothing comes after it', {
  skip,
}, async () => {
  await using world = await openWorld()
  const { progress, place, stored } = world
  await progress.bury({ first: dead(), isParked: false })
  place.now = 'behind'
  progress.moved()
  await eventually('the position moves', async () => (await stored()) === 'behind' || undefined, 10_000)
})

test('what could not be committed is not what somebody may go on from', { skip }, async () => {
  await using world = await openWorld()
  const { progress, place, pool, stored } = world
  place.now = 'before'
  progress.moved()
  await eventually('it is stored', async () => (await stored()) === 'before' || undefined, 10_000)
  await pool.query('alter table webhook_dead_letters rename to away')
  place.now = 'behind'
  const kept = progress.bury({ first: dead(), isParked: false }).then(
    () => true,
    () => false,
  )
  await progress.end()
  assert.equal(await kept, false)
  assert.deepEqual([progress.stored?.position, await stored()], ['before', 'before'])
})

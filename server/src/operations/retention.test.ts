import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openServices } from '@pulse/dev/services'
import { migrate } from '@pulse/log/migrate'
import { openPostgresLog } from '@pulse/log/postgres'
import { freshDatabase, testOptions, withClient } from '@pulse/log/postgres/postgres-engine'
import pg from 'pg'
import { pino } from 'pino'
import { openRetention } from './retention.ts'

const services = await openServices(['postgres'])
after(() => services[Symbol.asyncDispose]())
const skip = services.skip('postgres')
const dayMs = 86_400_000
const migrations = fileURLToPath(new URL('../../migrations', import.meta.url))

/**
 * A log of one partition whose 30 offsets lie in three days, 100 kB a day: 3 days ago, 2 days ago and today. None of
 * them is yesterday, which stays for an hour after midnight because it may still be written.
 */
async function openWorld() {
  const connection = await freshDatabase(services.address('postgres'))
  const filled = [3, 2, 0].map((days) => new Date(Date.now() - days * dayMs).toISOString().slice(0, 10))
  const tableOf = (day: string) => `log_batches_${day.replaceAll('-', '')}`
  const log = await openPostgresLog(testOptions(connection))
  await log.declare([{ name: 'events', partitions: 1 }])
  await withClient(connection, async (client) => {
    await migrate(client, [{ namespace: 'server', folders: [migrations], schema: 'pulse' }])
    for (const [nr, day] of filled.entries()) {
      const next = new Date(Date.parse(day) + dayMs).toISOString().slice(0, 10)
      await client.query(
        `create table if not exists ${tableOf(day)} partition of log_batches
         for values from ('${day} 00:00:00+00') to ('${next} 00:00:00+00')`,
      )
      await client.query(
        `insert into log_batches (topic, partition, base_offset, last_offset, types, appended_at, append_id, checksum, bytes)
         select 1, 0, $1::int8, $1::int8 + 9, '{}', $2, gen_random_uuid(), 0,
           string_agg(decode(md5(n::text), 'hex'), '') from generate_series(1, 6250) n`,
        [nr * 10, `${day} 00:00:01+00`],
      )
    }
    await client.query('update log_heads set next_offset = 30')
  })
  const pool = new pg.Pool({ ...connection, options: '-c search_path=pulse,public', max: 2 })
  // Which of the three there still are. Yesterday is empty, so it goes as soon as nobody can write it any more.
  const days = async () => {
    const { rows } = await pool.query<{ name: string }>(
      `select inhrelid::regclass::text as name from pg_inherits where inhparent = 'log_batches'::regclass`,
    )
    const names = new Set(rows.map(({ name }) => name))
    return filled.map((day) => names.has(tableOf(day)))
  }
  const retain = async (logBytesMax: number | undefined, logHours = 168) => {
    const settings = { logHours, rowDays: 90, deadLetterDays: 30, idWindowHours: 168 }
    const logger = pino({ level: 'silent' })
    await using retention = await openRetention({
      pool,
      log,
      topics: ['events'],
      settings,
      logger,
      logBytesMax: () => logBytesMax,
    })
    await retention.run()
    return (await log.bounds('events')).partitions[0]?.start
  }
  return {
    ...{ connection, pool, days, retain },
    [Symbol.asyncDispose]: async () => {
      await pool.end()
      await log[Symbol.asyncDispose]()
    },
  }
}

test('a log over its part of the disk loses its oldest days, and never the day that is being written', {
  skip,
}, async () => {
  await using world = await openWorld()
  assert.equal(await world.retain(undefined), 0)
  assert.equal(await world.retain(1_000_000), 0)
  const { rows } = await world.pool.query<{ bytes: string }>(
    `select sum(pg_total_relation_size(inhrelid)) as bytes from pg_inherits where inhparent = 'log_batches'::regclass`,
  )
  assert.equal(await world.retain(Number(rows[0]?.bytes) - 1), 10)
  assert.deepEqual(await world.days(), [false, true, true])
  assert.equal(await world.retain(1_000), 20)
  assert.deepEqual(await world.days(), [false, false, true])
})

test('the log is never trimmed beyond the lowest stored offset of a group, whatever the disk or the clock say', {
  skip,
}, async () => {
  await using world = await openWorld()
  await world.pool.query(
    `insert into log_group_partitions (group_name, topic, partition, log_epoch, first_offset, next_offset)
     values ('slow', 'events', 0, 1, 5, 5), ('fast', 'events', 0, 1, 25, 25)`,
  )
  assert.equal(await world.retain(1_000, 1), 5)
  assert.deepEqual(await world.days(), [true, true, true], 'a day of which one offset is needed stays')
  await world.pool.query(
    `update log_group_partitions set first_offset = 12, next_offset = 12 where group_name = 'slow'`,
  )
  assert.equal(await world.retain(1_000, 1), 12)
  assert.deepEqual(await world.days(), [false, true, true])
})

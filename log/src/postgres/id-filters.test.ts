import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, describe, test } from 'node:test'
import { openServices } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import type pg from 'pg'
import type { NewRecord } from '../log.ts'
import { aRecord, freshTopic } from '../suite-records.ts'
import { readGenerations } from './id-filters.ts'
import { openPostgresLog } from './postgres.ts'
import { freshDatabase, testOptions, withClient } from './postgres-engine.ts'

const services = await openServices(['postgres'])
after(() => services[Symbol.asyncDispose]())
const skip = services.skip('postgres')

const perSpan = 8
/** The last so many keep filters of their own. */
const singles = 16
const small = { idsPerGeneration: 10, maintenanceMs: 5 }

const kindsOf = (outcomes: readonly { readonly kind: string }[]) => [
  ...new Set(outcomes.map(({ kind }) => kind)),
]

const untilRow = (client: pg.Client, what: string, text: string) =>
  eventually(what, async () => (await client.query(text)).rows[0], 10_000)

/** Records of a topic by generation, 1 to `sealed`, once all of these are sealed and every filter is built. */
async function fill(connection: pg.ClientConfig, topic: string, sealed: number): Promise<NewRecord[][]> {
  await using log = await openPostgresLog({ ...testOptions(connection), ...small })
  await log.declare([{ name: topic, partitions: 2 }])
  const all: NewRecord[][] = []
  await withClient(connection, async (client) => {
    for (let generation = 1; generation <= sealed; generation++) {
      const records = Array.from({ length: 12 }, (_, n) => aRecord(topic, `${n}`))
      assert.deepEqual(kindsOf(await log.append(records)), ['appended'])
      all.push(records)
      const isSealed = `select 1 from log_id_generations where generation = ${generation} and filter is not null`
      await untilRow(client, `generation ${generation} is sealed`, isSealed)
    }
    const spans = Math.floor(Math.max(0, sealed - singles) / perSpan)
    const areBuilt = `select 1 from log_id_spans having count(*) = ${spans}`
    await untilRow(client, 'the spans are built', areBuilt)
  })
  return all
}

describe('filters of sealed generations on postgres', { skip }, () => {
  test('older generations share filters by eight, and every id of theirs is still a repeat', async () => {
    const connection = await freshDatabase(services.address('postgres'))
    const topic = freshTopic()
    const all = await fill(connection, topic, singles + 2 * perSpan + 1)
    const held = await withClient(connection, (client) => readGenerations(client, new Map()))
    const own = Array.from({ length: singles + 1 }, (_, n) => `${33 - n}`)
    assert.deepEqual([...held.sealed.keys()], [...own, '9-16', '1-8'])
    assert.equal(held.current, 34)
    for (const { filter } of held.sealed.values()) assert.ok(filter)
    // Another process, which has appended none of them: it knows them by the filters alone.
    await using log = await openPostgresLog({ ...testOptions(connection), maintenanceMs: 3_600_000 })
    for (const records of all) assert.deepEqual(kindsOf(await log.append(records)), ['repeat'])
    const fresh = Array.from({ length: 100 }, () => aRecord(topic, 'z'))
    assert.deepEqual(kindsOf(await log.append(fresh)), ['appended'])
  })

  test('a server that holds the filters of single generations takes their span over, and reads no filter twice', async () => {
    const connection = await freshDatabase(services.address('postgres'))
    await fill(connection, freshTopic(), singles + perSpan - 1)
    await withClient(connection, async (client) => {
      const before = await readGenerations(client, new Map())
      assert.equal(before.sealed.size, singles + perSpan - 1)
      const again = await readGenerations(client, before.sealed)
      for (const [name, { filter }] of again.sealed) assert.equal(filter, before.sealed.get(name)?.filter)
      await using log = await openPostgresLog({ ...testOptions(connection), ...small })
      const topic = freshTopic()
      await log.declare([{ name: topic, partitions: 1 }])
      await log.append(Array.from({ length: 12 }, () => aRecord(topic, 'a')))
      await untilRow(client, 'the span is built', 'select 1 from log_id_spans')
      const after = await readGenerations(client, again.sealed)
      assert.equal(after.sealed.size, singles + 1)
      assert.equal(after.sealed.get('1-8')?.generations.length, perSpan)
    })
  })

  test('a span outlives some of its generations, whose ids may be used again, and goes with the last', async () => {
    const connection = await freshDatabase(services.address('postgres'))
    const topic = freshTopic()
    const all = await fill(connection, topic, singles + perSpan)
    const age = (from: number, to: number) =>
      withClient(connection, (client) =>
        client.query(
          `update log_id_generations set sealed_at = now() - interval '8 days' where generation between $1 and $2`,
          [from, to],
        ),
      )
    await age(1, 3)
    await using log = await openPostgresLog({ ...testOptions(connection), maintenanceMs: 5 })
    await withClient(connection, async (client) => {
      const isLeft = (least: number) => `select 1 from log_id_generations having min(generation) = ${least}`
      await untilRow(client, 'three are dropped', isLeft(4))
      const held = await readGenerations(client, new Map())
      assert.deepEqual(held.sealed.get('1-8')?.generations, [8, 7, 6, 5, 4])
      assert.deepEqual(kindsOf(await log.append(all[7] as NewRecord[])), ['repeat'])
      assert.deepEqual(kindsOf(await log.append(all[0] as NewRecord[])), ['appended'])
      await age(4, 8)
      await untilRow(client, 'the span is dropped', 'select 1 from log_id_spans having count(*) = 0')
    })
  })

  test('while a filter is being built the log answers, and its end does not wait for it', async () => {
    const connection = await freshDatabase(services.address('postgres'))
    const topic = freshTopic()
    {
      await using filling = await openPostgresLog({ ...testOptions(connection), maintenanceMs: 3_600_000 })
      await filling.declare([{ name: topic, partitions: 1 }])
      await filling.append(Array.from({ length: 12 }, () => aRecord(topic, 'a')))
    }
    await withClient(connection, async (blocking) => {
      await blocking.query('begin; lock table log_ids_1 in access exclusive mode')
      const log = await openPostgresLog({ ...testOptions(connection), ...small })
      const isHeld = `select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like 'copy%'
        and datname = current_database()`
      await withClient(connection, (client) => untilRow(client, 'the filter waits for its ids', isHeld))
      assert.equal((await log.bounds(topic)).partitions[0]?.end, 12)
      await log[Symbol.asyncDispose]()
      await blocking.query('commit')
    })
    await using log = await openPostgresLog({ ...testOptions(connection), ...small })
    await withClient(connection, (client) =>
      untilRow(client, 'another life builds it', 'select 1 from log_id_generations where filter is not null'),
    )
    assert.deepEqual(kindsOf(await log.append([aRecord(topic, 'a')])), ['appended'])
  })

  test('a filter that is read in slices is what was stored', async () => {
    const connection = await freshDatabase(services.address('postgres'))
    const stored = randomBytes(2.5 * 1024 * 1024)
    const held = await withClient(connection, async (client) => {
      await client.query(
        'insert into log_id_generations (generation, sealed_at, filter) values (1, now(), $1)',
        [stored],
      )
      return readGenerations(client, new Map())
    })
    const words = held.sealed.get('1')?.filter?.words
    assert.ok(words && stored.equals(Buffer.from(words.buffer)))
  })
})

import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { openServices } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import type pg from 'pg'
import { appendAll, aRecord, freshTopic } from '../suite-records.ts'
import { connect, drop } from './connection.ts'
import { openPostgresLog } from './postgres.ts'
import { freshDatabase, testOptions, withClient } from './postgres-engine.ts'
import { lockRotation } from './remembered-ids.ts'
import { inTransaction } from './transaction.ts'

const services = await openServices(['postgres'])
after(() => services[Symbol.asyncDispose]())
const skip = services.skip('postgres')

// A server that is stopped (a frozen machine) keeps its connections, and with them the locks of its sessions.

/** A database with one topic, and a connection that takes locks and then says nothing more. */
async function openWorld() {
  const connection = await freshDatabase(services.address('postgres'))
  const topic = freshTopic()
  {
    await using log = await openPostgresLog(testOptions(connection))
    await log.declare([{ name: topic, partitions: 1 }])
  }
  const whileFrozen = (lock: string, work: () => Promise<void>) =>
    withClient(connection, async (client) => {
      await client.query(lock)
      await work()
    })
  return { connection, topic, whileFrozen }
}

const generations = async (client: pg.Client): Promise<number> =>
  (await client.query('select 1 from log_id_generations')).rowCount ?? 0

describe('the postgres log beside a server that stands still', { skip, concurrency: true }, () => {
  for (const key of ['pulse.log.ids', 'pulse.log.ids.drop', 'pulse.log.ids.filters', 'pulse.log.identity'])
    test(`another one opens, declares what is there, and appends while ${key} is held`, async () => {
      const { connection, topic, whileFrozen } = await openWorld()
      await whileFrozen(`select pg_advisory_lock(hashtextextended('${key}', 0))`, async () => {
        await using log = await openPostgresLog(testOptions(connection))
        await log.declare([{ name: topic, partitions: 1 }])
        await appendAll(log, [aRecord(topic, 'a')])
      })
    })

  test('one that stands still in the middle of a rotation loses it, and another one rotates', async () => {
    const { connection, topic } = await openWorld()
    await using log = await openPostgresLog({ ...testOptions(connection), idsPerGeneration: 10 })
    const frozen = await connect(connection, 'frozen')
    const moves = Promise.withResolvers<void>()
    const begun = Promise.withResolvers<void>()
    const rotating = inTransaction(frozen, async () => {
      await lockRotation(frozen)
      begun.resolve()
      await moves.promise
    })
    await begun.promise
    await appendAll(
      log,
      Array.from({ length: 12 }, () => aRecord(topic, 'a')),
    )
    await withClient(connection, async (client) => {
      assert.equal(await generations(client), 1)
      const rotated = async () => ((await generations(client)) > 1 ? true : undefined)
      await eventually('another server rotates', rotated, 15_000)
    })
    moves.resolve()
    await assert.rejects(rotating)
    drop(frozen)
  })

  test('two servers that make the same topic at once make it once, in the generation that is current', async () => {
    const { connection } = await openWorld()
    await using one = await openPostgresLog(testOptions(connection))
    await using other = await openPostgresLog(testOptions(connection))
    const name = freshTopic()
    await Promise.all([one, other].map((log) => log.declare([{ name, partitions: 3 }])))
    assert.equal((await other.bounds(name)).partitions.length, 3)
    await appendAll(other, [aRecord(name, 'a')])
  })
})

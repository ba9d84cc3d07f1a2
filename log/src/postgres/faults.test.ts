import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { openServices } from '@pulse/dev/services'
import type pg from 'pg'
import { joinGroup } from '../groups.ts'
import type { EventLog, NewRecord } from '../log.ts'
import { partitionOf } from '../murmur2.ts'
import { aRecord, freshTopic, positionOfAppended, readAll } from '../suite-records.ts'
import { startCutProxy } from './cut-proxy.ts'
import { openPostgresLog } from './postgres.ts'
import { freshDatabase, testOptions, withClient } from './postgres-engine.ts'

const services = await openServices(['postgres'])
after(() => services[Symbol.asyncDispose]())
const skip = services.skip('postgres')

/** A log behind a proxy, and a way around the proxy. */
async function openWorld() {
  const direct = await freshDatabase(services.address('postgres'))
  const url = new URL(direct.connectionString ?? '')
  const proxy = await startCutProxy({ host: url.hostname, port: Number(url.port) })
  url.port = String(proxy.port)
  const log = await openPostgresLog({ ...testOptions({ connectionString: url.href }), lanes: 1 })
  const topic = freshTopic()
  await log.declare([{ name: topic, partitions: 2 }])
  return {
    log,
    proxy,
    topic,
    direct,
    [Symbol.asyncDispose]: async () => {
      await log[Symbol.asyncDispose]()
      await proxy[Symbol.asyncDispose]()
    },
  }
}

/** Waits until the query gives a row; fails after ten seconds. */
async function untilRow(client: pg.Client, text: string, values: unknown[] = []): Promise<void> {
  const deadline = performance.now() + 10_000
  while ((await client.query(text, values)).rowCount === 0) {
    if (performance.now() > deadline) assert.fail(`never true: ${text}`)
    await delay(10)
  }
}

async function eventIdsIn(log: EventLog, topic: string): Promise<string[]> {
  const records = await readAll(log, topic)
  return [...records.values()]
    .flat()
    .map((record) => record.event.event_id)
    .sort()
}

const keyOf = (partition: number) => {
  for (let n = 0; ; n++) if (partitionOf(`key-${n}`, 2) === partition) return `key-${n}`
}

const waiting = `select pid from pg_stat_activity where wait_event_type = 'Lock' and query like '%log_heads%'
  and datname = current_database() and pid <> pg_backend_pid()`

describe('the postgres log when connections break in the middle of an append', { skip }, () => {
  for (const remembered of [true, false])
    test(`a commit whose answer is lost is found and reported once (${remembered ? 'client' : 'server'} made id)`, async () => {
      await using world = await openWorld()
      const { log, topic, proxy } = world
      await log.append([aRecord(topic, 'warm')])
      const record = aRecord(topic, 'a', { remembered })
      proxy.swallowAnswers()
      const answer = log.append([record])
      await withClient(world.direct, (client) =>
        untilRow(client, 'select 1 from log_batches where bytes::text like $1', [
          `%${Buffer.from(record.id).toString('hex')}%`,
        ]),
      )
      proxy.cut()
      const [outcome] = await answer
      const position = positionOfAppended(outcome ?? assert.fail())
      const found = (await readAll(log, topic)).get(position.partition)?.[position.offset]
      assert.equal(found?.event.event_id, record.id)
      assert.equal((await eventIdsIn(log, topic)).filter((id) => id === record.id).length, 1)
    })

  test('a backend that outlives its connection is ended before anything is sent again, so nothing is kept twice', async () => {
    await using world = await openWorld()
    const { log, topic, proxy } = world
    await log.append([aRecord(topic, 'warm')])
    const records = [aRecord(topic, 'a'), aRecord(topic, 'b', { remembered: false })]
    await withClient(world.direct, async (client) => {
      await client.query('begin; select 1 from log_heads for update')
      const answer = log.append(records)
      await untilRow(client, waiting)
      const zombie = (await client.query<{ pid: number }>(waiting)).rows[0]?.pid
      proxy.cut() // the zombie now waits for the lock, with the whole group in its hands
      // Asked from outside of the transaction, which sees the same list of sessions to its end.
      const gone = 'select 1 where not exists (select 1 from pg_stat_activity where pid = $1)'
      await withClient(world.direct, (outside) => untilRow(outside, gone, [zombie]))
      await client.query('commit')
      for (const outcome of await answer) positionOfAppended(outcome)
    })
    const ids = await eventIdsIn(log, topic)
    for (const record of records) assert.equal(ids.filter((id) => id === record.id).length, 1)
  })

  test('what comes after a group of unknown fate waits for it: the order of a key survives', async () => {
    await using world = await openWorld()
    const { log, topic, proxy } = world
    await log.append([aRecord(topic, 'warm')])
    const key = keyOf(1)
    const sent: NewRecord[] = []
    const answers: Promise<unknown>[] = []
    for (let n = 0; n < 60; n++) {
      const record = aRecord(topic, key, { properties: { n } })
      sent.push(record)
      answers.push(log.append([record]).then(([outcome]) => positionOfAppended(outcome ?? assert.fail())))
      if (n % 20 === 10) {
        proxy.swallowAnswers()
        await delay(5)
        proxy.cut()
      }
      await delay(1)
    }
    await Promise.all(answers)
    const kept = (await readAll(log, topic)).get(1)?.map((record) => record.event.properties.n)
    assert.deepEqual(
      kept?.filter((n) => n !== undefined),
      [...sent.keys()],
    )
  })

  test('a deadlock with another session is tried again and keeps everything once', async () => {
    await using world = await openWorld()
    const { log, topic } = world
    await log.append([aRecord(topic, keyOf(0)), aRecord(topic, keyOf(1))])
    await withClient(world.direct, async (client) => {
      // The other session is patient, so the log's own backend is the one that finds the deadlock and is refused.
      await client.query(`set deadlock_timeout = '60s'`)
      await client.query('begin; select 1 from log_heads where partition = 1 for update')
      const records = [aRecord(topic, keyOf(0)), aRecord(topic, keyOf(1))]
      const answer = log.append(records)
      await untilRow(client, waiting)
      await client.query('select 1 from log_heads where partition = 0 for update')
      const { rows } = await client.query(
        'select sum(deadlocks)::int as count from pg_stat_database where datname = current_database()',
      )
      await client.query('commit')
      for (const outcome of await answer) positionOfAppended(outcome)
      assert.ok(rows.length === 1)
      const ids = await eventIdsIn(log, topic)
      for (const record of records) assert.equal(ids.filter((id) => id === record.id).length, 1)
    })
  })
})

describe('generations of remembered ids on postgres', { skip }, () => {
  test('a server that has missed a rotation still finds a repeat in the generation that was sealed', async () => {
    const connection = await freshDatabase(services.address('postgres'))
    await using rotating = await openPostgresLog({ ...testOptions(connection), idsPerGeneration: 10 })
    // This one never looks after generations by itself: it learns of the rotation only from its own refused append.
    await using sleeping = await openPostgresLog({
      ...testOptions(connection),
      lanes: 1,
      maintenanceMs: 3_600_000,
    })
    const topic = freshTopic()
    await rotating.declare([{ name: topic, partitions: 2 }])
    const first = aRecord(topic, 'a')
    await sleeping.append([aRecord(topic, 'b')])
    const [appended] = await rotating.append([first])
    await rotating.append(Array.from({ length: 20 }, () => aRecord(topic, 'c')))
    await withClient(connection, (client) =>
      untilRow(client, 'select 1 from log_id_generations where sealed_at is not null and filter is not null'),
    )
    // Were this one remembered in the sealed generation, whose filter is made, nobody else would ever find it.
    const late = aRecord(topic, 'd')
    await sleeping.append([late])
    assert.equal((await rotating.append([late]))[0]?.kind, 'repeat')
    const [again] = await sleeping.append([first])
    assert.deepEqual(again, { ...appended, kind: 'repeat' })
    const [other] = await sleeping.append([{ ...first, fingerprint: '0'.repeat(32) }])
    assert.equal(other?.kind, 'conflict')
  })

  test('a generation beyond the id window is dropped whole, and its ids may be used again', async () => {
    const connection = await freshDatabase(services.address('postgres'))
    const topic = freshTopic()
    const record = aRecord(topic, 'a')
    {
      await using log = await openPostgresLog({ ...testOptions(connection), idsPerGeneration: 10 })
      await log.declare([{ name: topic, partitions: 1 }])
      await log.append([record, ...Array.from({ length: 12 }, () => aRecord(topic, 'b'))])
      await withClient(connection, (client) =>
        untilRow(
          client,
          'select 1 from log_id_generations where sealed_at is not null and filter is not null',
        ),
      )
    }
    await using log = await openPostgresLog({
      ...testOptions(connection),
      idsPerGeneration: 10,
      idWindowMs: 1,
    })
    await withClient(connection, async (client) => {
      await untilRow(client, `select 1 where to_regclass('log_ids_1') is null`)
      assert.equal((await client.query('select 1 from log_ids where id = $1', [record.id])).rowCount, 0)
    })
    const [again] = await log.append([record])
    assert.equal(again?.kind, 'appended')
  })
})

describe('the epoch on postgres', { skip }, () => {
  test('a database that begins another life gives its topics a new epoch; the offsets of groups move with it', async () => {
    const connection = await freshDatabase(services.address('postgres'))
    const topic = freshTopic()
    const openLog = () => openPostgresLog(testOptions(connection))
    const epochs: number[] = []
    for (const life of ['first', 'same', 'restored']) {
      // A restore to a point in time or a promotion goes on in another timeline than the one that was noted.
      if (life === 'restored')
        await withClient(connection, (client) =>
          client.query('update log_identity set timeline = timeline + 1'),
        )
      await using log = await openLog()
      await log.declare([{ name: topic, partitions: 1 }])
      await using group = await joinGroup({
        name: 'g',
        log,
        connection,
        topics: [topic],
        work: async () => {},
      })
      assert.equal(group.held().length, 1)
      epochs.push((await log.bounds(topic)).epoch)
    }
    assert.equal(epochs[1], epochs[0])
    assert.ok((epochs[2] ?? 0) > (epochs[1] ?? 0))
    const { rows } = await withClient(connection, (client) =>
      client.query('select log_epoch from log_group_partitions'),
    )
    assert.equal(Number(rows[0]?.log_epoch), epochs[2])
  })
})

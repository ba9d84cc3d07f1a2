import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { openServices } from '@pulse/dev/services'
import type pg from 'pg'
import { joinGroup } from '../groups.ts'
import { appendAll, aRecord, freshTopic, holdsFor, nextBatch } from '../suite-records.ts'
import { hadNoEffect } from './connection.ts'
import { startCutProxy } from './cut-proxy.ts'
import { daysBefore, dropPartition, ensureDay } from './day-partitions.ts'
import { openPostgresLog } from './postgres.ts'
import { freshDatabase, testOptions, withClient } from './postgres-engine.ts'

const services = await openServices(['postgres'])
after(() => services[Symbol.asyncDispose]())
const skip = services.skip('postgres')

async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + 15_000
  while (!(await holds())) {
    if (performance.now() > deadline) assert.fail(`never true: ${what}`)
    await delay(20)
  }
}

const hasRow = async (client: pg.Client, text: string, values: unknown[] = []) =>
  (await client.query(text, values)).rowCount !== 0

describe('races in the postgres log', { skip }, () => {
  test('a rotation between asking for known ids and appending does not let a repeat in', async () => {
    const connection = await freshDatabase(services.address('postgres'))
    const topic = freshTopic()
    const old = aRecord(topic, 'a')
    const openRotating = () => openPostgresLog({ ...testOptions(connection), idsPerGeneration: 10 })
    await withClient(connection, async (client) => {
      const generation = (n: number) => () =>
        hasRow(client, 'select 1 from log_id_generations where generation = $1 and filter is not null', [n])
      {
        await using filling = await openRotating()
        await filling.declare([{ name: topic, partitions: 1 }])
        await appendAll(filling, [old, ...Array.from({ length: 12 }, () => aRecord(topic, 'b'))])
        await until('the first generation is sealed', generation(1))
      }
      // Opened now it has the filter, and does not ask the table that will be locked.
      await using rotating = await openRotating()
      // It knows no id by itself; which generations there are it reads every 20 ms.
      await using log = await openPostgresLog({ ...testOptions(connection), lanes: 1, maintenanceMs: 20 })
      const current = aRecord(topic, 'c')
      await appendAll(rotating, [current])
      await client.query('begin; lock table log_ids_1 in access exclusive mode')
      const answer = log.append([old, current])
      await withClient(connection, (other) =>
        until('the question waits', () =>
          hasRow(
            other,
            `select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%log_ids%'
             and datname = current_database()`,
          ),
        ),
      )
      await appendAll(
        rotating,
        Array.from({ length: 12 }, () => aRecord(topic, 'd')),
      )
      await withClient(connection, (other) =>
        until('the second generation is sealed', () =>
          hasRow(other, 'select 1 from log_id_generations where generation = 2 and filter is not null'),
        ),
      )
      // The log reads the generations meanwhile.
      let settled = false
      answer.finally(() => {
        settled = true
      })
      await holdsFor(300, 'the append waits for the lock', () => !settled)
      await client.query('commit')
      assert.deepEqual(
        (await answer).map(({ kind }) => kind),
        ['repeat', 'repeat'],
      )
    })
  })

  test('a reader of several partitions leaves none out whose batches are older than those of another', async () => {
    const connection = await freshDatabase(services.address('postgres'))
    await using log = await openPostgresLog(testOptions(connection))
    const topic = freshTopic()
    await log.declare([{ name: topic, partitions: 2 }])
    // 250 batches in each, more than a page; those of one partition are an hour older.
    for (let n = 0; n < 250; n++)
      await log.append([aRecord(topic, 'key-0'), aRecord(topic, 'key-1'), aRecord(topic, 'a')])
    await withClient(connection, async (client) => {
      await ensureDay(client, 'log_batches', Math.floor(Date.now() / 86_400_000) * 86_400_000 - 86_400_000)
      await client.query(
        `update log_batches set appended_at = appended_at - interval '1 hour' where partition = 0`,
      )
    })
    const ends = new Map((await log.bounds(topic)).partitions.map(({ partition, end }) => [partition, end]))
    assert.ok([...ends.values()].every((end) => end >= 250))
    const next = new Map([...ends.keys()].map((partition) => [partition, 0]))
    const stop = new AbortController()
    for await (const batch of log.read({ topic, offsets: new Map(next) }, stop.signal)) {
      next.set(batch.partition, batch.nextOffset)
      if ([...ends].every(([partition, end]) => next.get(partition) === end)) break
    }
    assert.deepEqual(next, ends)
  })

  test('a day whose detaching was given up half-way is dropped by the next round', async () => {
    const connection = await freshDatabase(services.address('postgres'))
    const day = Date.UTC(2020, 0, 1)
    await withClient(connection, async (client) => {
      await ensureDay(client, 'log_batches', day)
      await ensureDay(client, 'log_batches', day + 86_400_000)
      await withClient(connection, async (reader) => {
        await reader.query('begin; select count(*) from log_batches')
        await assert.rejects(dropPartition(client, 'log_batches', 'log_batches_20200101'), { code: '55P03' })
        await reader.query('commit')
      })
      const old = () => daysBefore(client, 'log_batches', Date.UTC(2021, 0, 1))
      for (const name of await old()) await dropPartition(client, 'log_batches', name)
      assert.deepEqual(await old(), [])
      assert.equal(
        await hasRow(client, `select 1 where to_regclass('log_batches_20200101') is not null`),
        false,
      )
    })
  })

  test('a generation whose detaching was given up half-way is dropped by a later round', async () => {
    const connection = await freshDatabase(services.address('postgres'))
    const topic = freshTopic()
    const gone = (client: pg.Client) => () =>
      hasRow(client, `select 1 where to_regclass('log_ids_1') is null`)
    const troubles: unknown[] = []
    {
      await using log = await openPostgresLog({ ...testOptions(connection), idsPerGeneration: 10 })
      await log.declare([{ name: topic, partitions: 1 }])
      await appendAll(
        log,
        Array.from({ length: 12 }, () => aRecord(topic, 'b')),
      )
      await withClient(connection, (client) =>
        until('sealed', () => hasRow(client, 'select 1 from log_id_generations where filter is not null')),
      )
    }
    await withClient(connection, async (reader) => {
      await reader.query('begin; select count(*) from log_ids')
      await using _log = await openPostgresLog({
        ...testOptions(connection),
        idWindowMs: 1,
        troubled: (error) => troubles.push(error),
      })
      await until('a round gave up', () => troubles.length > 0)
      await reader.query('commit')
      await until('the generation is dropped', gone(reader))
      await until(
        'nobody asks it any more',
        async () => !(await hasRow(reader, 'select 1 from log_id_generations where generation = 1')),
      )
    })
  })

  test('a database that is slow to answer is not given one more listening connection with every look', async () => {
    const direct = await freshDatabase(services.address('postgres'))
    const url = new URL(direct.connectionString ?? '')
    await using proxy = await startCutProxy({ host: url.hostname, port: Number(url.port) })
    url.port = String(proxy.port)
    const listening = async (client: pg.Client): Promise<number[]> => {
      const { rows } = await client.query(
        `select pid from pg_stat_activity
         where application_name = 'pulse log tail' and datname = current_database() and query ilike '%listen%'`,
      )
      return rows.map(({ pid }) => pid)
    }
    await using _log = await openPostgresLog(testOptions({ connectionString: url.href }))
    await withClient(direct, async (client) => {
      // The server keeps its side of a connection that was cut, so what listened before is left out of the count.
      const before = await listening(client)
      assert.equal(before.length, 1)
      const young = async () => (await listening(client)).filter((pid) => !before.includes(pid)).length
      proxy.hold()
      proxy.cut()
      // Long enough for six looks of half a second.
      await holdsFor(3_000, 'nobody listens while connections are held', async () => (await young()) === 0)
      proxy.release()
      await until('it listens again', async () => (await young()) > 0)
      await holdsFor(1_500, 'one connection listens', async () => (await young()) === 1)
    })
  })

  test('a batch says whether the reader had come to the end with it', async () => {
    const connection = await freshDatabase(services.address('postgres'))
    await using log = await openPostgresLog(testOptions(connection))
    const topic = freshTopic()
    await log.declare([{ name: topic, partitions: 1 }])
    for (let n = 0; n < 3; n++) await appendAll(log, [aRecord(topic, 'a')])
    const stop = new AbortController()
    const batches = log.read({ topic, offsets: new Map([[0, 0]]) }, stop.signal)[Symbol.asyncIterator]()
    const said: boolean[] = []
    for (let n = 0; n < 3; n++) said.push((await nextBatch(batches)).caughtUp === true)
    assert.deepEqual(said, [false, false, true])
    await appendAll(log, [aRecord(topic, 'a')])
    assert.equal((await nextBatch(batches)).caughtUp, true)
    stop.abort()
    await batches.return?.()
  })

  test('a broken pipe is no answer of the database', () => {
    assert.equal(hadNoEffect(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })), false)
    assert.equal(hadNoEffect(Object.assign(new Error('duplicate'), { code: '23505' })), true)
  })
})

// Each of them has a database of its own, and waits for leases.
describe('groups on postgres', { skip, concurrency: true }, () => {
  test('work that takes long to give a partition up does not cost the member its other ones', async () => {
    const connection = await freshDatabase(services.address('postgres'))
    await using log = await openPostgresLog(testOptions(connection))
    const topic = freshTopic()
    await log.declare([{ name: topic, partitions: 4 }])
    const taken: boolean[] = []
    const join = (holdMs: number) =>
      joinGroup({
        name: topic,
        log,
        connection,
        topics: [topic],
        leaseMs: 2_500,
        heartbeatMs: 100,
        work: async (held) => {
          taken.push(held.clean)
          await new Promise((resolve) => held.signal.addEventListener('abort', resolve))
          await delay(holdMs)
        },
      })
    await using first = await join(6_000)
    await until('all are held', () => first.held().length === 4)
    await using second = await join(0)
    await until('two each', () => second.held().length === 2 && taken.length >= 6)
    assert.equal(first.held().length, 2)
    assert.deepEqual(
      taken,
      Array.from({ length: 6 }, () => true),
    )
  })

  test('a member that takes up again what it had lost in an outage blames no event for it', async () => {
    const direct = await freshDatabase(services.address('postgres'))
    const url = new URL(direct.connectionString ?? '')
    await using proxy = await startCutProxy({ host: url.hostname, port: Number(url.port) })
    url.port = String(proxy.port)
    {
      await using log = await openPostgresLog(testOptions(direct))
      const topic = freshTopic()
      await log.declare([{ name: topic, partitions: 1 }])
      const taken: { clean: boolean; crashes: number }[] = []
      let working = 0
      await using _group = await joinGroup({
        name: topic,
        log,
        connection: { connectionString: url.href },
        topics: [topic],
        leaseMs: 300,
        heartbeatMs: 100,
        work: async (held) => {
          taken.push({ clean: held.clean, crashes: held.crashes })
          await held.mark(0)
          working++
          await new Promise((resolve) => held.signal.addEventListener('abort', resolve))
          working--
        },
      })
      for (let outage = 0; outage < 2; outage++) {
        await until('it works', () => working === 1)
        proxy.hold()
        proxy.cut()
        await until('it has lost its partition', () => working === 0)
        proxy.release()
      }
      await until('it works again', () => working === 1)
      assert.deepEqual(
        taken,
        Array.from({ length: 3 }, () => ({ clean: true, crashes: 0 })),
      )
    }
  })

  test('a member whose old session lives on without it, behind a cut cable, works on at once', async () => {
    const direct = await freshDatabase(services.address('postgres'))
    const url = new URL(direct.connectionString ?? '')
    await using proxy = await startCutProxy({ host: url.hostname, port: Number(url.port) })
    url.port = String(proxy.port)
    {
      await using log = await openPostgresLog(testOptions(direct))
      const topic = freshTopic()
      await log.declare([{ name: topic, partitions: 1 }])
      let working = 0
      await using _group = await joinGroup({
        name: topic,
        log,
        connection: { connectionString: url.href },
        topics: [topic],
        leaseMs: 500,
        heartbeatMs: 100,
        work: async ({ signal }) => {
          working++
          await new Promise((resolve) => signal.addEventListener('abort', resolve))
          working--
        },
      })
      await until('it works', () => working === 1)
      proxy.hold() // so that it stays away for longer than its lease
      proxy.cut()
      await until('it has lost its partition', () => working === 0)
      proxy.release()
      await until('it works again', () => working === 1)
    }
  })
})

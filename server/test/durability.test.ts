import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { Client } from 'pg'
import { pino } from 'pino'
import { openApp } from '../src/app.ts'
import { readConfig } from '../src/config/config.ts'
import { acknowledge, missingStrace, openTracedDatabase, openUntraced } from './traced-database.ts'
import { readWalCalls, withoutSync } from './wal-trace.ts'

const skip = missingStrace() ?? false
const count = 1_000

/** Commits one row after the other and returns how many were acknowledged without a sync of the log. */
async function commitsWithoutSync(planted: readonly string[]): Promise<number> {
  await using traced = await openTracedDatabase(async (database) => {
    const client = new Client(database.client('prepare'))
    await client.connect()
    await client.query('create table kept (x int)')
    for (const setting of planted) await client.query(`alter system set ${setting}`)
    await client.end()
  })
  await using database = await openUntraced(traced.data)
  assert.equal(database.describe().adopted, true)
  assert.equal(database.durability, planted.length === 0 ? 'disk' : 'unsynced')
  const client = new Client(database.client('commits'))
  await client.connect()
  const acks = await acknowledge(count, async (index) => {
    await client.query('insert into kept values ($1)', [index])
  })
  await client.end()
  await database[Symbol.asyncDispose]()
  return withoutSync(await traced.finish(), acks).length
}

test('between each of 1,000 commits and its acknowledgement a sync of the log completes', {
  skip,
}, async () => {
  assert.equal(await commitsWithoutSync([]), 0)
})

test('a planted fsync=off is found out: not one commit is synced', { skip }, async () => {
  assert.equal(await commitsWithoutSync(['fsync = off']), count)
})

test('a planted synchronous_commit=off is found out, although the log is synced now and then', {
  skip,
}, async () => {
  assert.ok((await commitsWithoutSync(['synchronous_commit = off'])) > count / 2)
})

/** Posts one event after the other to a whole server and returns how many 202 came without a sync of the log. */
async function answersWithoutSync(planted: readonly string[]): Promise<number> {
  await using traced = await openTracedDatabase(async (database) => {
    const client = new Client(database.client('prepare'))
    await client.connect()
    for (const setting of planted) await client.query(`alter system set ${setting}`)
    await client.end()
  })
  // Only intake, so that no sync of something else can stand in for the one that is missing.
  const env = {
    DATA: traced.data,
    PORT: '0',
    OPEN: 'true',
    ROLES: 'intake',
    RATE_LIMIT_ADDRESS: '',
    ALLOW_UNSYNCED: String(planted.length > 0),
  }
  const config = await readConfig({ env, cwd: traced.data })
  await using app = await openApp({ config, version: '0.0.0', log: pino({ level: 'silent' }) })
  const acks = await acknowledge(count, async (index) => {
    const event = {
      event_id: randomUUID(),
      event_type: 'order.placed',
      user_id: `u${index}`,
      properties: { index },
    }
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(`${app.url}/events`, { method: 'POST', headers, body: JSON.stringify(event) })
    const receipt = (await answer.json()) as { receipt?: { durability?: string } }
    assert.equal(answer.status, 202)
    assert.equal(receipt.receipt?.durability, planted.length > 0 ? 'unsynced' : 'disk')
  })
  await app[Symbol.asyncDispose]()
  return withoutSync(await traced.finish(), acks).length
}

test('between each of 1,000 events and its 202 a sync of the log completes', { skip }, async () => {
  assert.equal(await answersWithoutSync([]), 0)
})

test('a server whose database has a planted fsync=off answers without a sync, and is found out', {
  skip,
}, async () => {
  assert.equal(await answersWithoutSync(['fsync = off']), count)
})

test('with open_datasync the write itself is the sync, and is seen as one', { skip }, async () => {
  await using traced = await openTracedDatabase(async (database) => {
    const client = new Client(database.client('prepare'))
    await client.connect()
    await client.query('create table kept (x int)')
    await client.query('alter system set wal_sync_method = open_datasync')
    await client.end()
  })
  await using database = await openUntraced(traced.data)
  const client = new Client(database.client('commits'))
  await client.connect()
  const acks = await acknowledge(100, async (index) => {
    await client.query('insert into kept values ($1)', [index])
  })
  await client.end()
  await database[Symbol.asyncDispose]()
  assert.deepEqual(withoutSync(await traced.finish(), acks), [])
})

const wal = '/d/pg_wal/000000010000000000000001'

test('a trace is read: split calls are joined, failed ones and other files do not count', () => {
  const calls = readWalCalls(`7 100.000100 pwrite64(5<${wal}>, "..."..., 8192, 0) = 8192 <0.000050>
7 100.000200 fdatasync(5<${wal}> <unfinished ...>
8 100.000250 fdatasync(9</d/base/1/2>) = 0 <0.000100>
8 100.000300 fdatasync(6<${wal}>) = -1 EIO (Input/output error) <0.000100>
7 100.000900 <... fdatasync resumed>)      = 0 <0.000700>
7 101.000000 +++ exited with 0 +++
`)
  const rounded = calls.map((call) => [call.kind, call.startedMs.toFixed(2), call.endedMs.toFixed(2)])
  assert.deepEqual(rounded, [
    ['write', '100000.10', '100000.15'],
    ['sync', '100000.20', '100000.90'],
  ])
})

test('an acknowledgement counts only with a sync that begins after its write and ends before it', () => {
  const write = { kind: 'write', startedMs: 10, endedMs: 11 } as const
  const sync = { kind: 'sync', startedMs: 12, endedMs: 15 } as const
  const ack = { sentMs: 9, ackedMs: 16 }
  assert.deepEqual(withoutSync([write, sync], [ack]), [])
  assert.deepEqual(
    withoutSync([write, sync], [{ ...ack, ackedMs: 14 }]),
    [0],
    'acknowledged before the end of the sync',
  )
  assert.deepEqual(
    withoutSync([write, sync], [{ ...ack, sentMs: 10.5 }]),
    [0],
    'the write was that of another',
  )
  assert.deepEqual(
    withoutSync([write, { ...sync, startedMs: 10.5 }], [ack]),
    [0],
    'the sync began before the write',
  )
  assert.deepEqual(withoutSync([write], [ack]), [0])
  assert.deepEqual(withoutSync([{ ...write, kind: 'synced-write' }], [ack]), [])
})

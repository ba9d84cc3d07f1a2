import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { openServices, type Services } from '@pulse/dev/services'
import { Client } from 'pg'
import { MigrationError, type MigrationErrorCode, migrate } from './migrate.ts'

let services: Services
before(async () => {
  services = await openServices(['postgres'])
})
after(() => services[Symbol.asyncDispose]())

interface World extends AsyncDisposable {
  connect(): Promise<Client>
  /** Writes files into a new folder. */
  folder(files: Record<string, string>): Promise<string>
  one(client: Client, sql: string): Promise<unknown>
}

async function openWorld(): Promise<World> {
  const stack = new AsyncDisposableStack()
  const name = `migrate_${randomBytes(6).toString('hex')}`
  const admin = new Client(services.address('postgres'))
  await admin.connect()
  stack.defer(() => admin.end())
  await admin.query(`create database ${name}`)
  stack.defer(async () => void (await admin.query(`drop database ${name} with (force)`)))
  const address = new URL(services.address('postgres'))
  address.pathname = `/${name}`
  return {
    async connect() {
      const client = new Client(address.href)
      client.on('error', () => {})
      await client.connect()
      stack.defer(() => client.end())
      return client
    },
    async folder(files) {
      const path = await mkdtemp(join(tmpdir(), 'pulse-migrate-'))
      stack.defer(() => rm(path, { recursive: true }))
      for (const [file, sql] of Object.entries(files)) await writeFile(join(path, file), sql)
      return path
    },
    async one(client, sql) {
      const { rows } = await client.query({ text: sql, rowMode: 'array' })
      return rows[0]?.[0]
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

const log = (...folders: string[]) => ({ namespace: 'log', folders, schema: 'pulse' })
const app = (...folders: string[]) => ({ namespace: 'app', folders, schema: 'public' })

async function refused(
  migration: Promise<unknown>,
  code: MigrationErrorCode,
  message: RegExp,
): Promise<void> {
  await assert.rejects(migration, (error) => {
    assert.ok(error instanceof MigrationError, String(error))
    assert.equal(error.code, code)
    assert.match(error.message, message)
    return true
  })
}

test('files are applied in order, each set in its schema, and only once', async () => {
  await using world = await openWorld()
  const client = await world.connect()
  const ours = await world.folder({
    '0002_b.sql': 'insert into a values (2)',
    '0001_a.sql': 'create table a (x int)',
    'README.md': '',
  })
  const theirs = await world.folder({ '0001_orders.sql': 'create table orders (id int)' })
  const applied = await migrate(client, [log(ours), app(theirs)])
  assert.deepEqual(
    applied.map(({ namespace, file }) => `${namespace} ${file}`),
    ['log 0001_a', 'log 0002_b', 'app 0001_orders'],
  )
  assert.equal(await world.one(client, 'select x from pulse.a'), 2)
  assert.equal(await world.one(client, 'select count(*)::int from public.orders'), 0)
  assert.deepEqual(await migrate(client, [log(ours), app(theirs)]), [])
  assert.equal(await world.one(client, 'show search_path'), '"$user", public')
})

test('a later version adds its files to what is there', async () => {
  await using world = await openWorld()
  const client = await world.connect()
  const first = { '0001_a.sql': 'create table a (x int)' }
  await migrate(client, [log(await world.folder(first))])
  const second = await world.folder({ ...first, '0002_b.sql': 'alter table a add y int' })
  assert.deepEqual(
    (await migrate(client, [log(second)])).map((one) => one.file),
    ['0002_b'],
  )
})

test('two servers that start together take turns, and every file is applied once', async () => {
  await using world = await openWorld()
  const folder = await world.folder({
    '0001_a.sql': 'create table a (x int); select pg_sleep(0.3)',
    '0002_b.sql': 'insert into a values (1)',
  })
  const clients = await Promise.all([world.connect(), world.connect(), world.connect()])
  const results = await Promise.all(clients.map((client) => migrate(client, [log(folder)])))
  assert.deepEqual(results.map((applied) => applied.length).sort(), [0, 0, 2])
  assert.equal(await world.one(await world.connect(), 'select count(*)::int from pulse.a'), 1)
})

test('where nothing is missing nobody waits for a server that was stopped with the lock in its hands', async () => {
  await using world = await openWorld()
  const [first, frozen] = [await world.connect(), await world.connect()]
  // The file itself notes the lock under which it is applied.
  const noting = `create table noted as select classid::int8::int as a, objid::int8::int as b from pg_locks
    where locktype = 'advisory' and granted and pid = pg_backend_pid()`
  const files = { '0001_a.sql': noting }
  await migrate(first, [log(await world.folder(files))])
  assert.equal(await world.one(frozen, 'select count(pg_advisory_lock(a, b))::int from pulse.noted'), 1)
  const starting = await world.connect()
  assert.deepEqual(await migrate(starting, [log(await world.folder(files))]), [])
  const more = await world.folder({ ...files, '0002_b.sql': 'create table b (x int)' })
  const migrating = migrate(starting, [log(more)])
  const waits = `select count(*)::int from pg_locks where locktype = 'advisory' and not granted
    and database = (select oid from pg_database where datname = current_database())`
  const deadline = Date.now() + 10_000
  while ((await world.one(first, waits)) !== 1)
    assert.ok(Date.now() < deadline, 'it should wait for its turn')
  await frozen.query('select pg_advisory_unlock_all()')
  assert.equal((await migrating).length, 1)
})

test('a file that fails leaves nothing of itself, names its line, and what came before stays', async () => {
  await using world = await openWorld()
  const client = await world.connect()
  const bad = 'create table b (x int);\n\ninsert into nowhere values (1);\n'
  const folder = await world.folder({ '0001_a.sql': 'create table a (x int)', '0002_b.sql': bad })
  await refused(
    migrate(client, [log(folder)]),
    'failed',
    /0002_b\.sql:3 failed and nothing of it was applied: relation "nowhere"/,
  )
  assert.equal(await world.one(client, "select to_regclass('pulse.b') is null"), true)
  assert.equal(await world.one(client, "select to_regclass('pulse.a') is null"), false)
  await writeFile(join(folder, '0002_b.sql'), 'create table b (x int)')
  assert.deepEqual(
    (await migrate(client, [log(folder)])).map((one) => one.file),
    ['0002_b'],
  )
})

test('a database that a newer version wrote is refused before anything is changed', async () => {
  await using world = await openWorld()
  const client = await world.connect()
  const newer = await world.folder({
    '0001_a.sql': 'create table a (x int)',
    '0002_b.sql': 'create table b (x int)',
  })
  await migrate(client, [app(newer)])
  const older = await world.folder({ '0001_a.sql': 'create table a (x int)' })
  await refused(
    migrate(client, [log(newer), app(older)]),
    'newer',
    /team's migration 0002_b.*newest file here is 0001/,
  )
  assert.equal(await world.one(client, "select to_regclass('pulse.a') is null"), true)
  await migrate(client, [log(newer)])
  await refused(
    migrate(client, [log(older)]),
    'newer',
    /written by a newer Pulse \(log migration 0002_b; .* 0001\); start that version/,
  )
})

test('a file that was changed, removed or slipped in after the fact is refused', async () => {
  await using world = await openWorld()
  const client = await world.connect()
  const a = 'create table a (x int);\n'
  const c = 'create table c (x int);\n'
  await migrate(client, [log(await world.folder({ '0001_a.sql': a, '0003_c.sql': c }))])
  const changed = await world.folder({ '0001_a.sql': 'create table a (x bigint);\n', '0003_c.sql': c })
  await refused(
    migrate(client, [log(changed)]),
    'changed',
    /0001_a\.sql was changed after it had been applied/,
  )
  const removed = await world.folder({ '0003_c.sql': c })
  await refused(migrate(client, [log(removed)]), 'changed', /0001_a was applied .* file is gone/)
  const slipped = await world.folder({ '0001_a.sql': a, '0002_b.sql': '', '0003_c.sql': c })
  await refused(migrate(client, [log(slipped)]), 'changed', /0002_b\.sql comes before 0003_c/)
  const windows = await world.folder({ '0001_a.sql': a.replaceAll('\n', '\r\n'), '0003_c.sql': c })
  assert.deepEqual(await migrate(client, [log(windows)]), [])
})

test('files without a good name, with the same number, or that end their transaction are refused', async () => {
  await using world = await openWorld()
  const client = await world.connect()
  const unnamed = await world.folder({ '1_a.sql': '' })
  await refused(
    migrate(client, [app(unnamed)]),
    'invalid',
    /1_a\.sql is not named like 0001_what_it_does\.sql/,
  )
  const one = await world.folder({ '0001_a.sql': '' })
  const other = await world.folder({ '0001_b.sql': '' })
  await refused(migrate(client, [app(one, other)]), 'invalid', /have the same number/)
  const committing = await world.folder({ '0001_a.sql': 'create table a (x int); commit; begin;' })
  await refused(migrate(client, [app(committing)]), 'invalid', /ends the transaction in which it runs/)
  await refused(migrate(client, [app('/nowhere')]), 'invalid', /\/nowhere cannot be read/)
})

test('a server that dies while it migrates leaves the way free for the next', async () => {
  await using world = await openWorld()
  const [dying, next] = [await world.connect(), await world.connect()]
  const folder = await world.folder({ '0001_a.sql': 'create table a (x int); select pg_sleep(60)' })
  const pid = await world.one(dying, 'select pg_backend_pid()')
  const first = migrate(dying, [log(folder)]).catch((error: unknown) => error)
  const sleeping = `select count(*)::int from pg_stat_activity where pid = ${Number(pid)} and wait_event = 'PgSleep'`
  const deadline = Date.now() + 10_000
  while ((await world.one(next, sleeping)) !== 1) assert.ok(Date.now() < deadline, 'it should be in its file')
  await next.query('select pg_terminate_backend($1)', [pid])
  assert.ok((await first) instanceof MigrationError)
  await writeFile(join(folder, '0001_a.sql'), 'create table a (x int)')
  assert.equal((await migrate(next, [log(folder)])).length, 1)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Client } from 'pg'
import { Registry } from 'prom-client'
import { ConfigError } from '../config/config.ts'
import { connectionOf } from './connection.ts'
import { DatabaseError, type DatabaseNeeds } from './database.ts'
import { ask, openTrial, until } from './database-trial.ts'

async function refused(opening: Promise<unknown>, message: RegExp): Promise<void> {
  await assert.rejects(opening, (error) => {
    assert.ok(error instanceof ConfigError, String(error))
    assert.match(error.message, message)
    return true
  })
}

for (const name of ['fsync', 'full_page_writes', 'synchronous_commit'])
  test(`a database with ${name} off is refused with the way out, and with ALLOW_UNSYNCED says so`, async () => {
    await using trial = await openTrial()
    {
      await using database = await trial.open()
      await ask(database, `alter system set ${name} = off`)
    }
    await refused(
      trial.open(),
      new RegExp(`ALLOW_UNSYNCED: the database has ${name} off.*alter system set ${name} = on`),
    )
    assert.equal(await trial.postmaster(), 0, 'what was refused does not run on')
    const database = await trial.open({ allowUnsynced: true })
    assert.equal(database.durability, 'unsynced')
    await ask(database, `alter system reset ${name}`)
    await database[Symbol.asyncDispose]()
    assert.equal((await trial.open()).durability, 'disk')
  })

test('a role that switches synchronous_commit off for itself is found out too', async () => {
  await using trial = await openTrial()
  const database = await trial.open()
  await ask(database, "create role careless login superuser password 'x'")
  await ask(database, 'alter role careless set synchronous_commit = off')
  const url = new URL(database.url())
  url.searchParams.set('user', 'careless')
  url.searchParams.set('password', 'x')
  await refused(trial.open({ url: url.href }), /synchronous_commit off/)
})

test('a DATABASE_URL is used instead of our own, by several servers at once', async () => {
  await using trial = await openTrial()
  const owner = await trial.open()
  const changes: Partial<DatabaseNeeds> = { url: owner.url(), data: '/nowhere' }
  const [first, second] = await Promise.all([trial.open(changes), trial.open(changes)])
  assert.equal(first.describe().kind, 'external')
  assert.match(first.describe().version, /^18\./)
  assert.equal(first.describe().location.includes(':5432/pulse'), true)
  await ask(first, 'create table shared as select 1 as x')
  assert.deepEqual(await ask(second, 'select x from shared'), [{ x: 1 }])
  await first[Symbol.asyncDispose]()
  assert.equal(owner.status().kind, 'up', 'closing a server does not stop a database that is not its own')
})

test('an outside database that goes away is noticed, and so is its return', async () => {
  await using trial = await openTrial()
  const owner = await trial.open()
  const outside = await trial.open({ url: owner.url() })
  const seen: string[] = []
  outside.news.on('status', (status) => seen.push(status.kind))
  process.kill(await trial.postmaster(), 'SIGKILL')
  await until('down and up', () => seen.join(' ') === 'down up', 10_000)
  assert.deepEqual(await ask(outside, 'select 1 as x'), [{ x: 1 }])
})

test('pools carry the name of their module, survive the loss of idle connections, are counted, and end with the database', async () => {
  await using trial = await openTrial()
  const metrics = new Registry()
  const database = await trial.open({ metrics })
  const pool = database.pool('rows', { max: 3 })
  const names = await Promise.all(
    [1, 2, 3].map(() =>
      pool.query(
        "select current_setting('application_name') as name, current_setting('search_path') as path",
      ),
    ),
  )
  assert.deepEqual(
    names.map(({ rows }) => rows[0]),
    Array(3).fill({ name: 'pulse rows', path: 'pulse,public' }),
  )
  const text = await metrics.metrics()
  assert.match(text, /pulse_database_connections\{pool="rows",state="idle"\} 3/)
  assert.match(text, /pulse_database_up 1/)
  await ask(
    database,
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pulse rows'",
  )
  await until('the pool has let them go', () => pool.totalCount === 0)
  assert.equal((await pool.query('select 1 as x')).rows.length, 1)
  await database[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
  assert.equal(pool.ended, true)
})

test('a database that is not there, or refuses, is told apart and never shows the password', async () => {
  await using trial = await openTrial()
  const owner = await trial.open()
  const url = new URL(owner.url())
  const change = (name: string, value: string) => {
    const changed = new URL(url)
    changed.searchParams.set(name, value)
    return changed.href
  }
  await assert.rejects(trial.open({ url: 'postgres://pulse:hunter2@127.0.0.1:1/pulse' }), (error) => {
    assert.ok(error instanceof DatabaseError)
    assert.equal(error.retryable, true)
    assert.match(error.message, /127\.0\.0\.1:1\/pulse does not answer: .*ECONNREFUSED/)
    assert.equal(error.message.includes('hunter2'), false)
    return true
  })
  await refused(trial.open({ url: change('password', 'hunter2') }), /refuses user or password/)
  await refused(
    trial.open({ url: change('dbname', 'nothing') }),
    /database "nothing" does not exist; make it/,
  )
  await refused(trial.open({ url: change('target', 'x') }), /its parameter target is not known/)
  await refused(
    trial.open({ url: change('sslmode', 'prefer') }),
    /sslmode prefer is not supported; use disable, require/,
  )
})

test('an address is read like PostgreSQL reads it, and nothing comes from the environment', async () => {
  const plain = connectionOf('postgres://us%40er:p%3Aw@db.example:6543/my%20db?sslmode=disable')
  assert.deepEqual(
    [plain.host, plain.port, plain.user, plain.password, plain.database, plain.ssl],
    ['db.example', 6543, 'us@er', 'p:w', 'my db', false],
  )
  assert.equal(connectionOf('postgres://u@h/').database, 'u')
  assert.equal(connectionOf('postgres://u@[::1]:1/d').host, '::1')
  assert.equal(connectionOf('postgres://u@localhost/d').ssl, false, 'plain on this machine')
  assert.notEqual(connectionOf('postgres://u@db.example/d').ssl, false, 'TLS elsewhere')
  assert.throws(() => connectionOf('postgres://db.example/d'), /names no user/)
  const client = new Client({ ...connectionOf('postgres://u@localhost/d'), password: '' })
  assert.equal(client.user, 'u')
})

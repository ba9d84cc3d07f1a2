import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import { test } from 'node:test'
import pg from 'pg'
import { findPostgres, freshDatabase, startPostgres } from './postgres.ts'
import { openServices, ServiceError } from './services.ts'

const ask = async (url: string, statement: string): Promise<unknown[]> => {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query({ text: statement, rowMode: 'array' })).rows.flat()
  } finally {
    await client.end()
  }
}

const opens = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 2_000 }, () => resolve(true))
    socket.once('error', () => resolve(false)).once('timeout', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })

const bin = await findPostgres()

test('PostgreSQL runs with fsync on, on loopback only, and keeps its data over a crash', async (t) => {
  if (bin === undefined) return t.skip('PostgreSQL is missing')
  await using postgres = await startPostgres(bin)
  const shows = "select current_setting(name) from unnest(array['fsync', 'synchronous_commit']) name"
  assert.deepEqual(await ask(postgres.address, shows), ['on', 'on'])

  const port = Number(new URL(postgres.address).port)
  const outside = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4')
  assert.equal(await opens('127.0.0.1', port), true)
  if (outside) assert.equal(await opens(outside.address, port), false)

  await ask(postgres.address, 'create table kept as select 42 as answer')
  await postgres.stop('crash')
  assert.equal(await opens('127.0.0.1', port), false)
  await postgres.start()
  assert.deepEqual(await ask(postgres.address, 'select answer from kept'), [42])
})

test('PostgreSQL is not run as root, and its folder is gone when it is disposed', async (t) => {
  if (bin === undefined) return t.skip('PostgreSQL is missing')
  let folder = ''
  {
    await using postgres = await startPostgres(bin)
    folder = postgres.dataFolder
    assert.notEqual((await stat(`${folder}/postmaster.pid`)).uid, 0)
  }
  await assert.rejects(stat(folder), { code: 'ENOENT' })
})

test('a fresh database is empty and is dropped even while somebody is connected', async () => {
  await using services = await openServices(['postgres'])
  if (services.skip('postgres')) return
  const address = services.address('postgres')
  const database = await freshDatabase(address)
  const name = new URL(database.url).pathname.slice(1)
  const tables = `select count(*)::int from pg_tables where schemaname = 'public'`
  assert.deepEqual(await ask(database.url, tables), [0])
  const guest = new pg.Client({ connectionString: database.url })
  guest.on('error', () => undefined)
  await guest.connect()
  await database[Symbol.asyncDispose]()
  const left = await ask(address, `select count(*)::int from pg_database where datname = '${name}'`)
  assert.deepEqual(left, [0])
  await guest.end().catch(() => undefined)
})

test('an address in the environment is used as it is', async () => {
  await withEnvironment({ TEST_REDIS_URL: 'redis://elsewhere:1' }, async () => {
    await using services = await openServices(['redis'])
    assert.equal(services.address('redis'), 'redis://elsewhere:1')
    assert.equal(services.skip('redis'), false)
  })
})

test('a missing service is a skip with its reason, and a failure if REQUIRE names it', async () => {
  await withEnvironment(
    { TEST_REDIS_URL: '', REDIS_URL: '', PATH: '/nowhere', REQUIRE: 'kafka' },
    async () => {
      await using services = await openServices(['redis'])
      assert.match(String(services.skip('redis')), /redis is missing: there is no redis-server on PATH/)
      assert.throws(() => services.address('redis'), ServiceError)
    },
  )
  await withEnvironment(
    { TEST_REDIS_URL: '', REDIS_URL: '', PATH: '/nowhere', REQUIRE: 'kafka, redis' },
    async () => {
      await assert.rejects(openServices(['redis']), /redis is missing.*REQUIRE names it/)
    },
  )
})

async function withEnvironment(values: Record<string, string>, run: () => Promise<void>): Promise<void> {
  const before = Object.keys(values).map((name) => [name, process.env[name]] as const)
  Object.assign(process.env, values)
  try {
    await run()
  } finally {
    for (const [name, value] of before)
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
  }
}

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { signalTree } from '@pulse/dev/faults/process-tree'
import { findPostgres, freshDatabase, type Postgres, startPostgres } from '@pulse/dev/services/postgres'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { createAccountStore } from './account-store.ts'
import { openAccountsWorld } from './accounts-world.ts'
import { openDirectory } from './directory.ts'
import { createAccountsReport } from './report.ts'
import { digestOf, newKey } from './secrets.ts'

let postgres: Postgres
before(async () => {
  const folder = await findPostgres()
  assert.ok(folder, 'PostgreSQL is missing')
  postgres = await startPostgres(folder)
})
after(() => postgres[Symbol.asyncDispose]())

test('a key made on one server works on another in the same moment, however lately that one looked', async () => {
  await using database = await freshDatabase(postgres.address)
  await using here = await openAccountsWorld(database.url)
  await using there = await openAccountsWorld(database.url)
  for (let round = 0; round < 5; round += 1) {
    assert.equal((await there.fetch('/events', { key: newKey() })).status, 401, 'that one has just looked')
    const { key } = await here.makeKey(['events:read'])
    assert.equal((await there.fetch('/events', { key })).status, 200)
  }
})

test('a key that is revoked while credentials are read stays revoked', async () => {
  await using database = await freshDatabase(postgres.address)
  await using world = await openAccountsWorld(database.url)
  const store = createAccountStore(world.pool)
  const read = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  let reads = 0
  const slow = {
    ...store,
    credentials: async () => {
      const rows = await store.credentials()
      reads += 1
      if (reads === 2) {
        read.resolve()
        await goOn.promise
      }
      return rows
    },
  }
  const secret = newKey()
  const report = createAccountsReport({ log: pino({ level: 'silent' }), metrics: new Registry() })
  await using directory = await openDirectory({ store: slow, report, now: Date.now })
  const { id } = await store.addKey({
    name: 'test',
    digest: digestOf(secret),
    scopes: ['events:read'],
    rateLimit: null,
    subscribers: null,
    createdBy: 'test',
  })
  const refreshed = directory.refresh()
  await read.promise
  await store.revokeKey(id)
  directory.forget(id)
  goOn.resolve()
  await refreshed
  assert.equal(directory.key(digestOf(secret)), undefined)
})

test('a database that hangs holds up no request for ever, and those that need it are 503', async () => {
  const folder = await findPostgres()
  assert.ok(folder)
  await using own = await startPostgres(folder)
  await using database = await freshDatabase(own.address)
  await using world = await openAccountsWorld(database.url)
  const pid = Number((await readFile(join(own.dataFolder, 'postmaster.pid'), 'utf8')).split('\n', 1)[0])
  const ask = async (path: string, options: Parameters<typeof world.fetch>[1]) =>
    (await world.fetch(path, { ...options, signal: AbortSignal.timeout(20_000) })).status
  await signalTree(pid, 'SIGSTOP')
  try {
    const asked = [
      ask('/tickets', { method: 'POST', key: world.key }),
      ask('/tickets', { method: 'POST', key: world.key }),
      ask('/events', { key: newKey() }),
    ]
    assert.deepEqual(await Promise.all(asked), [503, 503, 401])
    assert.equal(await ask('/events', { key: world.key }), 200, 'what is known needs no database')
  } finally {
    await signalTree(pid, 'SIGCONT')
  }
  assert.equal(await ask('/tickets', { method: 'POST', key: world.key }), 201)
})

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { findPostgres, freshDatabase, type Postgres, startPostgres } from '@pulse/dev/services/postgres'
import { openAccountsWorld } from './accounts-world.ts'

let postgres: Postgres
before(async () => {
  const folder = await findPostgres()
  assert.ok(folder, 'PostgreSQL is missing')
  postgres = await startPostgres(folder)
})
after(async () => {
  await postgres[Symbol.asyncDispose]()
})

const json = { 'content-type': 'application/json' }

test('EF-32 POST /events without a key is 401, with a key that may write it is 202', async () => {
  await using database = await freshDatabase(postgres.address)
  await using world = await openAccountsWorld(database.url)
  const none = await world.fetch('/events', { method: 'POST', body: '{}', headers: json })
  assert.equal(none.status, 401)
  assert.equal(none.headers.get('www-authenticate'), 'Bearer')
  assert.equal(((await none.json()) as { code: string }).code, 'unauthenticated')
  const { key } = await world.makeKey(['events:write'])
  assert.match(key, /^pulse_[0-9A-Za-z]{43}$/)
  const good = await world.fetch('/events', { method: 'POST', key, body: '{}', headers: json })
  assert.equal(good.status, 202)
})

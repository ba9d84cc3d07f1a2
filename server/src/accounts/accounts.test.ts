import assert from 'node:assert/strict'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { eventually } from '@pulse/dev/services/eventually'
import { findPostgres, freshDatabase, type Postgres, startPostgres } from '@pulse/dev/services/postgres'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { openAccounts } from './accounts.ts'
import { type AccountsWorld, openAccountsWorld } from './accounts-world.ts'

let postgres: Postgres
before(async () => {
  const folder = await findPostgres()
  assert.ok(folder, 'PostgreSQL is missing')
  postgres = await startPostgres(folder)
})
after(() => postgres[Symbol.asyncDispose]())

const json = { 'content-type': 'application/json' }

/** A world on a database of its own. */
async function openWorld(options: Parameters<typeof openAccountsWorld>[1] = {}): Promise<AccountsWorld> {
  const database = await freshDatabase(postgres.address)
  const world = await openAccountsWorld(database.url, options)
  return {
    ...world,
    [Symbol.asyncDispose]: async () => {
      await world[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    },
  }
}

const post = (
  world: AccountsWorld,
  path: string,
  body: object,
  more: Parameters<AccountsWorld['fetch']>[1] = {},
) =>
  world.fetch(path, {
    method: 'POST',
    body: JSON.stringify(body),
    ...more,
    headers: { ...json, ...more.headers },
  })

const problemOf = async (answer: Response) => {
  const { code, detail, status } = (await answer.json()) as { code: string; detail: string; status: number }
  return { code, detail, status }
}

test('EF-32 POST /events without a key is 401, with a key that may write it is 202', async () => {
  await using world = await openWorld()
  const none = await post(world, '/events', {})
  assert.equal(none.status, 401)
  assert.equal(none.headers.get('www-authenticate'), 'Bearer')
  assert.equal((await problemOf(none)).code, 'unauthenticated')
  const { key } = await world.makeKey(['events:write'])
  assert.match(key, /^pulse_[0-9A-Za-z]{43}$/)
  assert.equal((await post(world, '/events', {}, { key })).status, 202)
  const read = await world.fetch('/events', { key })
  assert.deepEqual(await problemOf(read), {
    code: 'forbidden',
    detail: 'The credential lacks the scope events:read.',
    status: 403,
  })
})

test('EF-33 a key limited to 100/1m gets 429 for request 101 within the minute, and is served again after it', async () => {
  await using world = await openWorld()
  const limited = await world.makeKey(['events:write'], { rate_limit: '100/1m' })
  const other = await world.makeKey(['events:write'])
  for (let count = 1; count <= 100; count += 1) {
    const answer = await post(world, '/events', {}, { key: limited.key })
    assert.equal(answer.status, 202, `request ${count}`)
    assert.equal(answer.headers.get('ratelimit-policy'), '"key";q=100;w=60')
    assert.match(answer.headers.get('ratelimit') ?? '', new RegExp(`^"key";r=${100 - count};t=\\d+$`))
  }
  world.turnClock(30_000)
  const over = await post(world, '/events', {}, { key: limited.key })
  assert.equal(over.status, 429)
  assert.equal((await problemOf(over)).code, 'rate_limited')
  const seconds = Number(over.headers.get('retry-after'))
  assert.ok(seconds > 0 && seconds <= 30, `Retry-After ${seconds}`)
  assert.match(over.headers.get('ratelimit') ?? '', /^"key";r=0;t=\d+$/)
  assert.equal(
    (await post(world, '/events', {}, { key: other.key })).status,
    202,
    'another key has its own budget',
  )
  world.turnClock(seconds * 1_000)
  assert.equal((await post(world, '/events', {}, { key: limited.key })).status, 202)
})

test('the default limit holds for keys without one of their own, and by person for tokens', async () => {
  await using world = await openWorld({ settings: { rateLimitKey: { count: 3, windowMs: 60_000 } } })
  const own = await world.makeKey(['events:write'], { rate_limit: '5/1m' })
  const statuses = async (key: string, times: number) =>
    Promise.all(Array.from({ length: times }, async () => (await post(world, '/events', {}, { key })).status))
  assert.equal((await statuses(own.key, 6)).filter((status) => status === 429).length, 1)
  const issue = async () => {
    const answer = await post(
      world,
      '/auth/tokens',
      { sub: 'anna', scopes: ['events:write'] },
      { key: world.key },
    )
    return ((await answer.json()) as { token: string }).token
  }
  const [first, second] = [await issue(), await issue()]
  assert.deepEqual(await statuses(first, 2), [202, 202])
  assert.deepEqual((await statuses(second, 2)).sort(), [202, 429])
})

test('requests without a valid credential are limited by address, those with one are not', async () => {
  const settings = { rateLimitAddress: { count: 5, windowMs: 60_000 } }
  await using world = await openWorld({ settings })
  const answers = await Promise.all(Array.from({ length: 7 }, () => post(world, '/events', {})))
  assert.deepEqual(answers.map(({ status }) => status).sort(), [401, 401, 401, 401, 401, 429, 429])
  assert.equal((await world.fetch('/nothing')).status, 429, 'addresses that do not exist count too')
  assert.equal((await world.fetch('/auth/session', { key: world.key })).status, 200)
  assert.equal(
    (await world.fetch('/docs/problems')).status,
    200,
    'pages of the public list that cost nothing do not count',
  )
  world.turnClock(60_000)
  assert.equal((await post(world, '/events', {})).status, 401)
})

test('many wrong credentials from one address are answered 429, and no secret is ever logged', async () => {
  await using world = await openWorld()
  const wrong = `pulse_${'A'.repeat(43)}`
  const ask = async () => (await world.fetch('/events', { key: wrong })).status
  assert.deepEqual(new Set(await Promise.all(Array.from({ length: 60 }, ask))), new Set([401]))
  assert.equal(await ask(), 429)
  assert.equal((await world.fetch('/events', { key: world.key })).status, 200, 'a good key still opens')
  const failures = world.lines.filter(({ audit, msg }) => audit === true && msg === 'credential not valid')
  assert.equal(failures.length, 60)
  const logged = JSON.stringify(world.lines)
  for (const secret of [wrong, world.key]) assert.ok(!logged.includes(secret))
})

test('unknown, revoked and malformed keys get the same answer', async () => {
  await using world = await openWorld()
  const { id, key } = await world.makeKey(['events:read'])
  assert.equal((await world.fetch('/events', { key })).status, 200)
  const revoked = await world.fetch(`/admin/keys/${id}`, { method: 'DELETE', key: world.key })
  assert.equal(revoked.status, 204)
  const answers = new Set<string>()
  const sent = [
    `Bearer ${key}`,
    `Bearer pulse_${'x'.repeat(43)}`,
    'Bearer pulse_short',
    'Bearer',
    'Basic YTpi',
    'Bearer a.b.c',
    '',
  ]
  for (const authorization of sent) {
    const answer = await world.fetch('/events', { headers: { authorization } })
    answers.add(JSON.stringify([answer.status, await problemOf(answer)]))
  }
  assert.equal(answers.size, 1)
})

test('a revocation takes effect at once here and within two seconds on another server', async () => {
  await using database = await freshDatabase(postgres.address)
  await using here = await openAccountsWorld(database.url)
  await using there = await openAccountsWorld(database.url)
  const revoke = async (): Promise<number> => {
    const { id, key } = await here.makeKey(['events:read'])
    assert.equal((await there.fetch('/events', { key })).status, 200, 'a new key is known there at once')
    await here.fetch(`/admin/keys/${id}`, { method: 'DELETE', key: here.key })
    const revokedMs = performance.now()
    assert.equal((await here.fetch('/events', { key })).status, 401)
    const isRefused = async () => (await there.fetch('/events', { key })).status === 401 || undefined
    await eventually('it is refused there', isRefused, 20_000)
    return performance.now() - revokedMs
  }
  // A machine that stands still is late once. A server that looks too seldom is late each time: all but the first of
  // these begin just after it has looked.
  const lateMs = [await revoke(), await revoke(), await revoke()]
  assert.ok(Math.min(...lateMs) < 2_000, `within two seconds: ${lateMs}`)
})

test('keys are listed newest first in pages, without secrets, with their last use', async () => {
  await using world = await openWorld()
  const made = []
  for (let count = 0; count < 5; count += 1) made.push((await world.makeKey(['events:read'])).id)
  const seen: string[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const query: string = cursor === '' ? 'limit=2' : `limit=2&cursor=${cursor}`
    const answer = await world.fetch(`/admin/keys?${query}`, { key: world.key })
    const page = (await answer.json()) as {
      data: Record<string, unknown>[]
      cursor: string | null
      has_more: boolean
    }
    for (const row of page.data) {
      assert.deepEqual(Object.keys(row).sort(), [
        'created_at',
        'id',
        'last_used_at',
        'name',
        'rate_limit',
        'revoked_at',
        'scopes',
        'subscribers',
      ])
      seen.push(String(row.id))
    }
    assert.equal(page.has_more, page.cursor !== null)
    cursor = page.cursor
  }
  assert.deepEqual(seen.slice(0, 5), made.toReversed())
  assert.equal(new Set(seen).size, 6, 'the five and the local one')
  const bad = await world.fetch('/admin/keys?cursor=zzz', { key: world.key })
  assert.equal(bad.status, 400)
  const { rows } = await world.pool.query(`select * from pulse.account_keys`)
  assert.ok(!JSON.stringify(rows).includes(world.key))
})

test('a key with a name, scope or limit that does not exist is not made', async () => {
  await using world = await openWorld()
  const bodies = [
    [{ name: '', scopes: ['events:read'] }, '/name'],
    [{ name: 'a', scopes: [] }, '/scopes'],
    [{ name: 'a', scopes: ['everything'] }, '/scopes/0'],
    [{ name: 'a', scopes: ['names'], rate_limit: '0/1m' }, '/rate_limit'],
    [{ name: 'a', scopes: ['names'], id: 'mine' }, '/id'],
    [{ name: 'a', scopes: ['stream:read'], subscribers: 'user *' }, '/subscribers'],
    [{ name: 'a', scopes: ['stream:read'], subscribers: '' }, '/subscribers'],
    [{ name: 'a', scopes: ['stream:read', 'admin'], subscribers: 'user_*' }, '/subscribers'],
  ] as const
  for (const [body, pointer] of bodies) {
    const answer = await post(world, '/admin/keys', body, { key: world.key })
    const { errors } = (await answer.json()) as { errors: { pointer: string }[] }
    assert.equal(answer.status, 400)
    assert.equal(errors[0]?.pointer, pointer)
  }
  const { key } = await world.makeKey(['events:read', 'events:write'])
  assert.equal((await post(world, '/admin/keys', { name: 'a', scopes: ['admin'] }, { key })).status, 403)
})

test('the first start makes a local admin key that only its owner can read, and a revoked one is replaced', async () => {
  await using database = await freshDatabase(postgres.address)
  await using world = await openAccountsWorld(database.url)
  for (const name of ['key', 'jwt-secret']) {
    assert.equal((await stat(join(world.data, name))).mode & 0o777, 0o600, name)
  }
  const session = await world.fetch('/auth/session', { key: world.key })
  const me = (await session.json()) as { id: string; kind: string; scopes: string[] }
  assert.equal(me.kind, 'key')
  assert.ok(me.scopes.includes('admin') && me.scopes.includes('events:write'))
  {
    await using again = await openAccountsWorld(database.url, { settings: { data: world.data } })
    assert.equal(
      (await again.fetch('/auth/session', { key: world.key })).status,
      200,
      'the same key after a restart',
    )
  }
  await world.fetch(`/admin/keys/${me.id}`, { method: 'DELETE', key: world.key })
  await using third = await openAccountsWorld(database.url, { settings: { data: world.data } })
  const replaced = (await readFile(third.accounts.localKeyPath, 'utf8')).trim()
  assert.notEqual(replaced, world.key)
  assert.equal((await third.fetch('/auth/session', { key: replaced })).status, 200)
  assert.equal((await third.fetch('/auth/session', { key: world.key })).status, 401)
})

test('servers that start together on one folder and a new database share one local key', async () => {
  await using database = await freshDatabase(postgres.address)
  await using world = await openAccountsWorld(database.url)
  await world.pool.query('delete from pulse.account_keys')
  await using together = new AsyncDisposableStack()
  const settings = { data: world.data, open: false, rateLimitKey: null, rateLimitAddress: null }
  const open = async () => {
    const needs = { pool: world.pool, settings, baseUrl: () => world.url, log: pino({ level: 'silent' }) }
    return together.use(await openAccounts({ ...needs, checkFilter: () => {}, metrics: new Registry() }))
  }
  // Connections that are open already let all four look before the first has written.
  await Promise.all(Array.from({ length: 4 }, () => world.pool.query('select pg_sleep(0.05)')))
  await Promise.all([open(), open(), open(), open()])
  const { rows } = await world.pool.query(`select name from pulse.account_keys`)
  assert.deepEqual(rows, [{ name: 'local' }])
})

test('known keys, tokens and sessions work on while the database is away; what needs it is 503 with Retry-After', async () => {
  const folder = await findPostgres()
  assert.ok(folder)
  await using own = await startPostgres(folder)
  await using database = await freshDatabase(own.address)
  await using world = await openAccountsWorld(database.url)
  const { key } = await world.makeKey(['events:write'])
  const answer = await post(world, '/auth/tokens', { sub: 'a', scopes: ['events:write'] }, { key: world.key })
  const { token } = (await answer.json()) as { token: string }
  await own.stop()
  assert.equal((await post(world, '/events', {}, { key })).status, 202)
  assert.equal((await post(world, '/events', {}, { key: token })).status, 202)
  assert.equal((await post(world, '/events', {}, { key: `pulse_${'b'.repeat(43)}` })).status, 401)
  const away = await post(world, '/tickets', {}, { key })
  assert.equal(away.status, 503)
  assert.ok(Number(away.headers.get('retry-after')) > 0)
  assert.equal((await problemOf(away)).code, 'unavailable')
  await own.start()
  assert.equal((await post(world, '/tickets', {}, { key })).status, 201)
})

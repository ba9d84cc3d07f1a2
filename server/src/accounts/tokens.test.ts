import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { freshDatabase } from '@pulse/dev/services/postgres'
import { openServices, type Services } from '@pulse/dev/services/services'
import { type AccountsWorld, openAccountsWorld } from './accounts-world.ts'

let services: Services
before(async () => {
  services = await openServices(['postgres'])
})
after(() => services[Symbol.asyncDispose]())

type Claims = Readonly<Record<string, unknown>>
const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const good = { alg: 'HS256', typ: 'at+jwt' }

function claims(changes: Claims = {}): Claims {
  const now = Math.floor(Date.now() / 1_000)
  const base = {
    iss: 'pulse',
    aud: 'pulse',
    sub: 'eve',
    scope: 'events:read',
    jti: randomUUID(),
    iat: now,
    exp: now + 600,
  }
  return { ...base, ...changes }
}

/** A token made by hand, so that a library cannot refuse to make a wrong one. */
function forge(header: Claims, body: Claims, secret: string, hash = 'sha256'): string {
  const signed = `${part(header)}.${part(body)}`
  return `${signed}.${createHmac(hash, secret).update(signed).digest('base64url')}`
}

async function openWorld(): Promise<{ world: AccountsWorld; secret: string; stack: AsyncDisposable }> {
  const stack = new AsyncDisposableStack()
  const database = stack.use(await freshDatabase(services.address('postgres')))
  const world = stack.use(await openAccountsWorld(database.url))
  const secret = (await readFile(join(world.data, 'jwt-secret'), 'utf8')).trim()
  return { world, secret, stack: { [Symbol.asyncDispose]: () => stack.disposeAsync() } }
}

test('a token that is forged, foreign, expired, early or incomplete is 401, whatever is wrong with it', async () => {
  const { world, secret, stack } = await openWorld()
  await using _ = stack
  const now = Math.floor(Date.now() / 1_000)
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 })
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const byRsa = `${part({ ...good, alg: 'RS256' })}.${part(claims())}`
  const [head = '', body = '', mac = ''] = forge(good, claims(), secret).split('.')
  const without = (name: string) =>
    Object.fromEntries(Object.entries(claims()).filter(([claim]) => claim !== name))
  const attacks: Readonly<Record<string, string>> = {
    'alg none, no signature': `${part({ ...good, alg: 'none' })}.${part(claims())}.`,
    'alg none, kept signature': `${part({ ...good, alg: 'none' })}.${body}.${mac}`,
    'alg NoNe': `${part({ ...good, alg: 'NoNe' })}.${part(claims())}.AA`,
    'another secret': forge(good, claims(), 'x'.repeat(48)),
    'an empty secret': forge(good, claims(), ''),
    'a public key as the secret': forge(good, claims(), pem),
    RS256: `${byRsa}.${sign('sha256', Buffer.from(byRsa), privateKey).toString('base64url')}`,
    'the right secret, another algorithm': forge({ ...good, alg: 'HS512' }, claims(), secret, 'sha512'),
    'its own key in the header': forge(
      { ...good, jwk: { kty: 'oct', k: 'AAAA' }, jku: 'http://evil' },
      claims(),
      'AAAA',
    ),
    'an unknown critical member': forge({ ...good, crit: ['x'], x: 1 }, claims(), secret),
    'another type': forge({ ...good, typ: 'JWT' }, claims(), secret),
    'no type': forge({ alg: 'HS256' }, claims(), secret),
    'another issuer': forge(good, claims({ iss: 'https://evil' }), secret),
    'another audience': forge(good, claims({ aud: 'other' }), secret),
    expired: forge(good, claims({ exp: now - 1 }), secret),
    'expired long ago, as text': forge(good, claims({ exp: '9999999999' }), secret),
    'not yet valid': forge(good, claims({ nbf: now + 60 }), secret),
    'issued without end': forge(good, without('exp'), secret),
    'without the time of issue': forge(good, without('iat'), secret),
    'without an id': forge(good, without('jti'), secret),
    'without scopes': forge(good, without('scope'), secret),
    'without a subject': forge(good, without('sub'), secret),
    'a changed body': `${head}.${part(claims({ scope: 'admin' }))}.${mac}`,
    'a cut signature': `${head}.${body}.${mac.slice(0, -4)}`,
    'no signature': `${head}.${body}.`,
  }
  for (const [name, token] of Object.entries(attacks)) {
    assert.equal((await world.fetch('/events', { key: token })).status, 401, name)
  }
  assert.equal(
    (await world.fetch('/events', { key: forge(good, claims(), secret) })).status,
    200,
    'the unchanged one opens',
  )
})

test('a token does what its scopes say until it ends, also when it was seen before', async () => {
  const { world, stack } = await openWorld()
  await using _ = stack
  const { token } = await issue(world, { sub: 'anna', scopes: ['events:read'], expires_in_seconds: 60 })
  const me = (await (await world.fetch('/auth/session', { key: token })).json()) as Record<string, unknown>
  assert.deepEqual([me.kind, me.name, me.scopes, me.role], ['token', 'anna', ['events:read'], null])
  assert.equal((await world.fetch('/events', { method: 'POST', key: token })).status, 403)
  assert.equal((await world.fetch('/admin/keys', { key: token })).status, 403)
  world.turnClock(59_000)
  assert.equal((await world.fetch('/events', { key: token })).status, 200)
  world.turnClock(1_000)
  assert.equal((await world.fetch('/events', { key: token })).status, 401)
})

test('a revoked token is refused at once, also when it was seen before', async () => {
  const { world, stack } = await openWorld()
  await using _ = stack
  const { token, id } = await issue(world, { sub: 'anna', scopes: ['events:read'] })
  assert.equal((await world.fetch('/events', { key: token })).status, 200)
  assert.equal((await world.fetch(`/auth/tokens/${id}`, { method: 'DELETE', key: world.key })).status, 204)
  assert.equal((await world.fetch('/events', { key: token })).status, 401)
  assert.equal((await world.fetch(`/auth/tokens/${id}`, { method: 'DELETE', key: world.key })).status, 204)
})

test('a token cannot live longer than a day, and a short secret stops the start', async () => {
  const { world, stack } = await openWorld()
  await using _ = stack
  const body = JSON.stringify({ sub: 'a', scopes: ['names'], expires_in_seconds: 86_401 })
  const answer = await world.fetch('/auth/tokens', {
    method: 'POST',
    key: world.key,
    body,
    headers: { 'content-type': 'application/json' },
  })
  assert.equal(answer.status, 400)
  await using database = await freshDatabase(services.address('postgres'))
  await assert.rejects(
    openAccountsWorld(database.url, { settings: { jwtSecret: 'too short' } }),
    /at least 32 bytes/,
  )
})

async function issue(world: AccountsWorld, token: object): Promise<{ token: string; id: string }> {
  const headers = { 'content-type': 'application/json' }
  const answer = await world.fetch('/auth/tokens', {
    method: 'POST',
    key: world.key,
    body: JSON.stringify(token),
    headers,
  })
  assert.equal(answer.status, 201)
  return (await answer.json()) as { token: string; id: string }
}

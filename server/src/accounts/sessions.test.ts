import assert from 'node:assert/strict'
import { request } from 'node:http'
import { after, before, test } from 'node:test'
import { eventually } from '@pulse/dev/services/eventually'
import { freshDatabase } from '@pulse/dev/services/postgres'
import { openServices, type Services } from '@pulse/dev/services/services'
import { type AccountsWorld, openAccountsWorld } from './accounts-world.ts'

let services: Services
before(async () => {
  services = await openServices(['postgres'])
})
after(() => services[Symbol.asyncDispose]())

const json = { 'content-type': 'application/json' }

async function openWorld(options: Parameters<typeof openAccountsWorld>[1] = {}): Promise<AccountsWorld> {
  const database = await freshDatabase(services.address('postgres'))
  const world = await openAccountsWorld(database.url, options)
  return {
    ...world,
    [Symbol.asyncDispose]: async () => {
      await world[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    },
  }
}

const signIn = (world: AccountsWorld, token: string, headers: Record<string, string> = {}) =>
  world.fetch('/auth/sign-in', {
    method: 'POST',
    body: JSON.stringify({ token }),
    headers: { ...json, ...headers },
  })

const tokenOf = (url: string) => new URL(url).hash.slice(1)

async function cookieFor(world: AccountsWorld, role: 'viewer' | 'operator' | 'admin'): Promise<string> {
  const answer = await signIn(world, tokenOf((await world.accounts.mintSignInLink(role)).url))
  assert.equal(answer.status, 200)
  return (answer.headers.get('set-cookie') ?? '').split(';', 1)[0] ?? ''
}

test('a sign-in link carries its secret in the fragment, works once, and opens a session for its role', async () => {
  await using world = await openWorld()
  const { url, expiresAt } = await world.accounts.mintSignInLink('operator')
  assert.ok(url.startsWith(`${world.url}/ui/sign-in#`))
  const minutes = (expiresAt.getTime() - Date.now()) / 60_000
  assert.ok(minutes > 29 && minutes < 31)
  const first = await signIn(world, tokenOf(url))
  assert.equal(first.status, 200)
  assert.equal(((await first.json()) as { role: string }).role, 'operator')
  const cookie = first.headers.get('set-cookie') ?? ''
  assert.match(cookie, /^pulse_session=[0-9A-Za-z]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=43200$/)
  assert.equal((await signIn(world, tokenOf(url))).status, 401, 'used up')
  const headers = { cookie: cookie.split(';', 1)[0] ?? '' }
  const me = (await (await world.fetch('/auth/session', { headers })).json()) as Record<string, unknown>
  assert.deepEqual([me.kind, me.role], ['session', 'operator'])
  assert.equal((await world.fetch('/events', { headers })).status, 200)
  assert.equal((await world.fetch('/admin/keys', { headers })).status, 403)
})

test('of many sign-ins at once with one link, one succeeds', async () => {
  await using world = await openWorld()
  const token = tokenOf((await world.accounts.mintSignInLink('viewer')).url)
  const answers = await Promise.all(Array.from({ length: 20 }, () => signIn(world, token)))
  assert.equal(answers.filter(({ status }) => status === 200).length, 1)
  const { rows } = await world.pool.query('select 1 from pulse.account_sessions')
  assert.equal(rows.length, 1)
})

test('an expired link and an unknown one get the same answer', async () => {
  await using world = await openWorld()
  const { url } = await world.accounts.mintSignInLink('viewer')
  await world.pool.query(`update pulse.account_sign_in_links set expires_at = now() - interval '1 second'`)
  const [expired, unknown] = [await signIn(world, tokenOf(url)), await signIn(world, 'never-made')]
  const shape = async (answer: Response) => ({
    ...((await answer.json()) as object),
    request_id: '',
    timestamp: '',
  })
  assert.equal(expired.status, 401)
  assert.deepEqual(await shape(expired), await shape(unknown))
})

test('links are made by admins only, through the API too', async () => {
  await using world = await openWorld()
  const { key } = await world.makeKey(['events:read'])
  const ask = (as: string) =>
    world.fetch('/admin/sign-in-links', { method: 'POST', key: as, body: '{"role":"viewer"}', headers: json })
  assert.equal((await ask(key)).status, 403)
  const { url } = (await (await ask(world.key)).json()) as { url: string }
  assert.equal((await signIn(world, tokenOf(url))).status, 200)
})

test('changes with a session are taken from our own pages only', async () => {
  await using world = await openWorld({ http: { corsOrigins: ['https://app.example'] } })
  const cookie = await cookieFor(world, 'admin')
  const change = async (headers: Record<string, string>) =>
    (await world.fetch('/events', { method: 'POST', headers: { cookie, ...headers } })).status
  assert.equal(await change({ origin: world.url }), 202)
  for (const origin of [
    'https://evil.example',
    'null',
    'https://app.example',
    world.url.replace('http:', 'https:'),
    `${world.url}.evil.example`,
  ]) {
    assert.equal(await change({ origin }), 403, origin)
  }
  assert.equal(await change({}), 403, 'no Origin at all')
  assert.equal(
    (await world.fetch('/events', { headers: { cookie, origin: 'https://evil.example' } })).status,
    200,
  )
  const withKey = await world.fetch('/events', {
    method: 'POST',
    key: world.key,
    headers: { cookie, origin: 'https://evil.example' },
  })
  assert.equal(withKey.status, 202, 'a key is sent on purpose, so its page does not matter')
})

test('behind https the cookie is Secure, bound to the host by its name, and no other name is believed', async () => {
  const publicUrl = 'https://pulse.example'
  await using world = await openWorld({ settings: { publicUrl } })
  const answer = await signIn(world, tokenOf((await world.accounts.mintSignInLink('viewer')).url))
  const cookie = answer.headers.get('set-cookie') ?? ''
  assert.match(cookie, /^__Host-pulse_session=.*; Path=\/; HttpOnly; SameSite=Strict; Max-Age=43200; Secure$/)
  const pair = cookie.split(';', 1)[0] ?? ''
  const status = async (sent: string) => (await world.fetch('/events', { headers: { cookie: sent } })).status
  assert.equal(await status(`a=b; ${pair}`), 200)
  assert.equal(await status(pair.replace('__Host-', '')), 401)
  const change = await world.fetch('/auth/sign-out', {
    method: 'POST',
    headers: { cookie: pair, origin: publicUrl },
  })
  assert.equal(change.status, 204)
})

test('a session ends by sign-out, by its time, and on another server too', async () => {
  await using database = await freshDatabase(services.address('postgres'))
  await using here = await openAccountsWorld(database.url)
  await using there = await openAccountsWorld(database.url)
  const cookie = await cookieFor(here, 'viewer')
  const status = async (world: AccountsWorld) =>
    (await world.fetch('/events', { headers: { cookie } })).status
  assert.equal(await status(there), 200)
  const out = await here.fetch('/auth/sign-out', { method: 'POST', headers: { cookie, origin: here.url } })
  assert.equal(out.status, 204)
  assert.match(out.headers.get('set-cookie') ?? '', /^pulse_session=; .*Max-Age=0/)
  assert.equal(await status(here), 401)
  const hasEnded = async () => (await status(there)) === 401 || undefined
  await eventually('it has ended there', hasEnded, 10_000)
  const second = await cookieFor(here, 'viewer')
  here.turnClock(12 * 3_600_000)
  assert.equal((await here.fetch('/events', { headers: { cookie: second } })).status, 401)
})

test('a ticket opens once, only where tickets are taken, for what its maker may do', async () => {
  await using world = await openWorld()
  const { id, key } = await world.makeKey(['events:read'])
  const ticketFor = async (as: string) => {
    const answer = await world.fetch('/tickets', { method: 'POST', key: as })
    assert.equal(answer.status, 201)
    return ((await answer.json()) as { ticket: string }).ticket
  }
  const use = (ticket: string) => world.fetch(`/events?ticket=${ticket}`)
  const ticket = await ticketFor(key)
  assert.equal((await world.fetch(`/auth/session?ticket=${ticket}`)).status, 401, 'this route takes none')
  const answers = await Promise.all(Array.from({ length: 10 }, () => use(ticket)))
  assert.deepEqual(answers.map(({ status }) => status).filter((status) => status === 200).length, 1)
  const opened = answers.find(({ status }) => status === 200)
  assert.deepEqual(await opened?.json(), { by: id, kind: 'key' })
  const { key: writer } = await world.makeKey(['events:write'])
  assert.equal((await use(await ticketFor(writer))).status, 403)
  const late = await ticketFor(key)
  await world.pool.query(`update pulse.account_tickets set expires_at = now() - interval '1 second'`)
  assert.equal((await use(late)).status, 401)
  const orphan = await ticketFor(key)
  await world.fetch(`/admin/keys/${id}`, { method: 'DELETE', key: world.key })
  assert.equal((await use(orphan)).status, 401, 'its key was revoked meanwhile')
})

test('a ticket does not outlive the session that asked for it', async () => {
  await using world = await openWorld()
  const headers = { cookie: await cookieFor(world, 'viewer'), origin: world.url }
  const ticketFor = async () => {
    const answer = await world.fetch('/tickets', { method: 'POST', headers })
    return ((await answer.json()) as { ticket: string }).ticket
  }
  const [early, late] = [await ticketFor(), await ticketFor()]
  assert.equal((await world.fetch(`/events?ticket=${early}`)).status, 200)
  world.turnClock(12 * 3_600_000)
  assert.equal((await world.fetch(`/events?ticket=${late}`)).status, 401)
})

test('without credentials (open) everything is allowed from this machine, and nothing to a page that rebinds its name', async () => {
  await using world = await openWorld({ settings: { open: true } })
  assert.equal((await world.fetch('/admin/keys')).status, 200)
  const me = (await (await world.fetch('/auth/session')).json()) as Record<string, unknown>
  assert.deepEqual([me.kind, me.role], ['open', 'admin'])
  const status = (method: string, headers: Record<string, string>) => sendTo(world, { method, headers })
  const { port } = new URL(world.url)
  for (const host of [`localhost:${port}`, '127.0.0.1', `[::1]:${port}`, 'pulse.localhost']) {
    assert.equal(await status('GET', { host }), 200, host)
  }
  for (const host of [
    'evil.example',
    `127.0.0.1.evil.example:${port}`,
    'localhost.evil.example',
    '10.0.0.1',
  ]) {
    assert.equal(await status('GET', { host }), 403, host)
  }
  assert.equal(await status('POST', {}), 202, 'curl sends no Origin')
  assert.equal(await status('POST', { origin: world.url }), 202)
  assert.equal(
    await status('POST', { origin: 'https://evil.example', 'content-type': 'application/json' }),
    403,
  )
  assert.equal(await status('POST', { 'sec-fetch-site': 'cross-site' }), 403)
  for (const name of ['x-forwarded-for', 'x-real-ip', 'forwarded', 'via']) {
    const said = `${name}: a proxy on this machine asks for somebody elsewhere`
    assert.equal(await status('GET', { host: `127.0.0.1:${port}`, [name]: '203.0.113.7' }), 403, said)
  }
})

/** Sends headers that `fetch` would not let us set. */
function sendTo(
  world: AccountsWorld,
  { method, headers }: { method: string; headers: Record<string, string> },
): Promise<number> {
  return new Promise((resolve, reject) => {
    const options = { method, headers, path: '/events', host: '127.0.0.1', port: new URL(world.url).port }
    request(options, (answer) => {
      answer.resume()
      resolve(answer.statusCode ?? 0)
    })
      .on('error', reject)
      .end()
  })
}

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { eventually } from '@pulse/dev/services/eventually'
import { freshDatabase } from '@pulse/dev/services/postgres'
import { openServices, type Services } from '@pulse/dev/services/services'
import { askForSocket, greet } from '@pulse/dev/services/socket-handshake'
import type { Condition } from '@pulse/protocol/filter'
import { type Caller, mayReadSubscriber } from '../http/access.ts'
import type { Http } from '../http/http.ts'
import { ProblemError } from '../http/problem-error.ts'
import { takeUpgrade } from '../http/upgrade.ts'
import { type AccountsWorld, openAccountsWorld } from './accounts-world.ts'

let services: Services
before(async () => {
  services = await openServices(['postgres'])
})
after(() => services[Symbol.asyncDispose]())

/** A server with a route for sockets, and who came through it. */
interface StreamWorld extends AccountsWorld {
  readonly callers: (Caller | undefined)[]
  /** The status of an upgrade at `/ws/user_1`; a socket that opens is closed at once. */
  open(path: string, headers?: Readonly<Record<string, string>>): Promise<number>
  issue(token: object): Promise<{ token: string; id: string; status: number; errors?: { pointer: string }[] }>
}

async function openWorld(options: Parameters<typeof openAccountsWorld>[1] = {}): Promise<StreamWorld> {
  await using stack = new AsyncDisposableStack()
  const database = stack.use(await freshDatabase(services.address('postgres')))
  const callers: (Caller | undefined)[] = []
  const routes = (http: Http) => streamRoute(http, callers)
  const world = stack.use(await openAccountsWorld(database.url, { ...options, routes }))
  const parts = stack.move()
  return {
    ...world,
    callers,
    open: async (path, headers = {}) => {
      const answer = await askForSocket(new URL(path, world.url), headers)
      if ('socket' in answer) answer.socket.end()
      return answer.status
    },
    issue: async (token) => {
      const headers = { 'content-type': 'application/json' }
      const sent = { method: 'POST', key: world.key, body: JSON.stringify(token), headers }
      const answer = await world.fetch('/auth/tokens', sent)
      return { ...((await answer.json()) as { token: string; id: string }), status: answer.status }
    },
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  }
}

function streamRoute(http: Http, callers: (Caller | undefined)[]): void {
  http.get('/ws/:subscriber', {
    config: { access: 'stream:read', ticket: true, webSocket: true, lateCredential: true },
    handler: async (request, reply) => {
      const { subscriber } = request.params as { subscriber: string }
      if (request.caller !== undefined && !mayReadSubscriber(request.caller, subscriber))
        throw new ProblemError('forbidden', 'Another subscriber’s.')
      const upgrade = takeUpgrade(request, reply)
      if (upgrade === undefined) return
      callers.push(request.caller)
      greet(upgrade, request.headers['sec-websocket-key'], 'hello')
    },
  })
}

const bearer = (secret: string) => ({ authorization: `Bearer ${secret}` })

async function cookieFor(world: AccountsWorld): Promise<string> {
  const { url } = await world.accounts.mintSignInLink('viewer')
  const answer = await world.fetch('/auth/sign-in', {
    method: 'POST',
    body: JSON.stringify({ token: new URL(url).hash.slice(1) }),
    headers: { 'content-type': 'application/json' },
  })
  return (answer.headers.get('set-cookie') ?? '').split(';', 1)[0] ?? ''
}

test('a key with a pattern reads the streams that it names and no other, and lists show the pattern', async () => {
  await using world = await openWorld()
  const bound = await world.makeKey(['stream:read'], { subscribers: 'user_*' })
  assert.equal(await world.open('/ws/user_1', bearer(bound.key)), 101)
  assert.equal(world.callers.at(-1)?.subscribers, 'user_*')
  assert.equal(await world.open('/ws/shop_1', bearer(bound.key)), 403)
  const free = await world.makeKey(['stream:read'])
  assert.equal(await world.open('/ws/shop_1', bearer(free.key)), 101)
  const blind = await world.makeKey(['events:write'])
  assert.equal(await world.open('/ws/user_1', bearer(blind.key)), 403, 'without the scope')
  const list = await (await world.fetch('/admin/keys', { key: world.key })).json()
  const shown = (list as { data: { id: string; subscribers: string | null }[] }).data
  assert.equal(shown.find(({ id }) => id === bound.id)?.subscribers, 'user_*')
  assert.equal(shown.find(({ id }) => id === free.id)?.subscribers, null)
})

test('a token for A cannot open the stream of B, and its filter comes with it', async () => {
  const checked: Condition[] = []
  await using world = await openWorld({ checkFilter: (filter) => void checked.push(filter) })
  const filter = { event_types: ['purchase'], user_tiers: null, min_amount: 10 }
  const { token } = await world.issue({ sub: 'user_1', scopes: ['stream:read'], filter })
  assert.deepEqual(checked, [filter])
  for (const round of ['first seen', 'remembered']) {
    assert.equal(await world.open('/ws/user_1', bearer(token)), 101, round)
    assert.deepEqual(world.callers.at(-1)?.filter, filter, round)
    assert.equal(await world.open('/ws/user_2', bearer(token)), 403, round)
  }
  const ticket = await ticketFor(world, bearer(token))
  assert.equal(await world.open(`/ws/user_2?ticket=${ticket}`), 403, 'a ticket is bound as its maker is')
  assert.equal(await world.open(`/ws/user_1?ticket=${await ticketFor(world, bearer(token))}`), 101)
  assert.deepEqual(world.callers.at(-1)?.filter, filter)
})

test('a filter that is none, too large, without use or refused makes no token', async () => {
  const checkFilter = () => {
    throw new ProblemError('invalid_request', 'No such operator.')
  }
  await using world = await openWorld({ checkFilter })
  const issue = async (token: object) => {
    const { status, errors } = await world.issue({ sub: 'a', scopes: ['stream:read'], ...token })
    return [status, errors?.[0]?.pointer]
  }
  assert.deepEqual(await issue({ filter: {} }), [400, '/filter'])
  assert.deepEqual(await issue({ filter: { expression: '' } }), [400, '/filter/expression'])
  assert.deepEqual(await issue({ filter: { expression: 'x'.repeat(4_096) } }), [400, '/filter'])
  const filter = { expression: 'a = 1' }
  assert.deepEqual(await issue({ filter, scopes: ['stream:read', 'events:read'] }), [400, '/filter'])
  assert.deepEqual(await issue({ filter, scopes: ['admin'] }), [400, '/filter'])
  assert.deepEqual(await issue({ filter }), [400, undefined], 'what checks filters has refused it')
})

test('a cookie opens a socket for a page of ours alone and counts for nothing elsewhere, where a ticket or key does', async () => {
  await using world = await openWorld({ http: { corsOrigins: ['https://app.example'] } })
  const cookie = await cookieFor(world)
  assert.equal(await world.open('/ws/user_1', { cookie, origin: world.url }), 101)
  assert.equal(world.callers.at(-1)?.kind, 'session')
  for (const origin of ['https://evil.example', 'https://app.example', 'null', `${world.url}.evil.example`]) {
    assert.equal(await world.open('/ws/user_1', { cookie, origin }), 101, origin)
    assert.equal(world.callers.at(-1), undefined, `${origin}: nobody, until the socket says who it is`)
  }
  assert.equal(await world.open('/ws/user_1', { cookie }), 403, 'no Origin at all')
  // The browser adds the cookie of this host to what a page on another port of it opens.
  const origin = 'http://127.0.0.1:3000'
  const ticket = await ticketFor(world, { cookie, origin: world.url })
  assert.equal(await world.open(`/ws/user_1?ticket=${ticket}`, { cookie, origin }), 101)
  assert.equal(await world.open(`/ws/user_1?ticket=${ticket}`, { cookie, origin }), 401, 'used up')
  const { key } = await world.makeKey(['stream:read'])
  assert.equal(await world.open('/ws/user_1', { ...bearer(key), cookie, origin }), 101)
})

test('behind https a page of PUBLIC_URL is ours', async () => {
  const publicUrl = 'https://pulse.example'
  await using world = await openWorld({ settings: { publicUrl } })
  const cookie = await cookieFor(world)
  assert.equal(await world.open('/ws/user_1', { cookie, origin: publicUrl }), 101)
  assert.equal(world.callers.at(-1)?.kind, 'session')
  assert.equal(await world.open('/ws/user_1', { cookie, origin: 'http://pulse.example' }), 101)
  assert.equal(world.callers.at(-1), undefined)
})

test('without credentials (open) no foreign page opens a socket', async () => {
  await using world = await openWorld({ settings: { open: true } })
  assert.equal(await world.open('/ws/user_1'), 101)
  assert.equal(await world.open('/ws/user_1', { origin: world.url }), 101)
  assert.equal(await world.open('/ws/user_1', { origin: 'https://evil.example' }), 403)
})

test('a socket may be opened without a credential, whose address pays; one that is not valid is refused', async () => {
  await using world = await openWorld({ settings: { rateLimitAddress: { count: 4, windowMs: 60_000 } } })
  assert.equal(await world.open('/ws/user_1'), 101)
  assert.deepEqual(world.callers, [undefined])
  assert.equal(await world.open('/ws/user_1', bearer(`pulse_${'x'.repeat(43)}`)), 401)
  assert.equal(await world.open('/ws/user_1', { cookie: 'pulse_session=1', origin: world.url }), 401)
  assert.equal(await world.open('/ws/user_1?ticket=unknown'), 401)
  assert.equal(await world.open('/ws/user_1'), 429)
  assert.equal(await world.open('/ws/user_1', bearer(world.key)), 101, 'a good one does not count')
})

test('a credential that comes as a message is known, limited and counted as in a header', async () => {
  await using world = await openWorld()
  const { accounts } = world
  const { id, key } = await world.makeKey(['stream:read'], { rate_limit: '2/1m', subscribers: 'user_*' })
  const first = await accounts.authenticateCredential(key, '203.0.113.7')
  assert.deepEqual([first?.id, first?.subscribers], [id, 'user_*'])
  assert.equal((await accounts.authenticateCredential(key, '203.0.113.7'))?.id, id)
  await assert.rejects(accounts.authenticateCredential(key, '203.0.113.7'), { code: 'rate_limited' })
  const { token } = await world.issue({ sub: 'user_1', scopes: ['stream:read'] })
  assert.equal((await accounts.authenticateCredential(token, '203.0.113.7'))?.name, 'user_1')
  for (const wrong of [`pulse_${'x'.repeat(43)}`, 'a.b.c', '', `Bearer ${key}`, token.slice(0, -4)])
    assert.equal(await accounts.authenticateCredential(wrong, '203.0.113.8'), undefined)
  for (let count = 5; count < 60; count += 1) await accounts.authenticateCredential('', '203.0.113.8')
  await assert.rejects(accounts.authenticateCredential('', '203.0.113.8'), { code: 'rate_limited' })
  assert.equal(await accounts.authenticateCredential('', '203.0.113.9'), undefined, 'another address')
})

test('an open stream learns that its key, token or session has ended, on another server too', async () => {
  await using database = await freshDatabase(services.address('postgres'))
  await using there = await openAccountsWorld(database.url)
  const callers: (Caller | undefined)[] = []
  await using here = await openAccountsWorld(database.url, { routes: (http) => streamRoute(http, callers) })
  const opened = async (headers: Record<string, string>): Promise<Caller> => {
    const answer = await askForSocket(`${here.url}/ws/user_1`, headers)
    if ('socket' in answer) answer.socket.end()
    const caller = callers.at(-1)
    assert.ok(answer.status === 101 && caller)
    return caller
  }
  const made = await here.makeKey(['stream:read'])
  const issue = async (seconds: number) => {
    const body = JSON.stringify({ sub: 'user_1', scopes: ['stream:read'], expires_in_seconds: seconds })
    const headers = { 'content-type': 'application/json' }
    return (await (
      await here.fetch('/auth/tokens', { method: 'POST', key: here.key, body, headers })
    ).json()) as {
      token: string
      id: string
    }
  }
  const [long, short] = [await issue(3_600), await issue(60)]
  const cookie = await cookieFor(here)
  const ofKey = await opened(bearer(made.key))
  const ofLong = await opened(bearer(long.token))
  const ofShort = await opened(bearer(short.token))
  const ofSession = await opened({ cookie, origin: here.url })
  const live = () => [ofKey, ofLong, ofShort, ofSession].map((caller) => here.accounts.isLive(caller))
  assert.deepEqual(live(), [true, true, true, true])
  here.turnClock(60_000)
  assert.deepEqual(live(), [true, true, false, true], 'the short token has expired')
  await here.fetch(`/auth/tokens/${long.id}`, { method: 'DELETE', key: here.key })
  assert.deepEqual(live(), [true, false, false, true], 'here at once')
  await there.fetch(`/admin/keys/${made.id}`, { method: 'DELETE', key: there.key })
  await there.fetch('/auth/sign-out', { method: 'POST', headers: { cookie, origin: there.url } })
  await eventually('all have ended', async () => !live().includes(true) || undefined, 10_000)
})

test('a ticket does not outlive the token that asked for it', async () => {
  await using world = await openWorld()
  const { token } = await world.issue({ sub: 'user_1', scopes: ['stream:read'], expires_in_seconds: 60 })
  const ticket = await ticketFor(world, bearer(token))
  world.turnClock(60_000)
  assert.equal(await world.open(`/ws/user_1?ticket=${ticket}`), 401)
})

async function ticketFor(world: AccountsWorld, headers: Readonly<Record<string, string>>): Promise<string> {
  const answer = await world.fetch('/tickets', { method: 'POST', headers })
  assert.equal(answer.status, 201)
  return ((await answer.json()) as { ticket: string }).ticket
}

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { askForSocket, greet, handshake } from '@pulse/dev/services/socket-handshake'
import { z } from 'zod'
import type { Caller, Gatekeeper } from './access.ts'
import type { Http } from './http.ts'
import { asWriter, type HttpWorld, openHttpWorld, openUnbound } from './http-world.ts'
import { listen } from './listen.ts'
import { ProblemError } from './problem-error.ts'
import { selfSigned } from './self-signed.ts'
import { takeUpgrade, type Upgrade } from './upgrade.ts'

/** A server with one route that takes sockets, and what was done to it. */
interface SocketWorld extends HttpWorld {
  /** Sockets that the route has taken. */
  readonly taken: Upgrade[]
  /** How often the client had gone before. */
  readonly gone: () => number
}

type Options = Parameters<typeof openHttpWorld>[0]

function socketRoutes(http: Http, taken: Upgrade[], gone: () => void): void {
  http.get('/ws/:subscriber', {
    config: { access: 'events:write', webSocket: true },
    schema: { params: z.object({ subscriber: z.string().max(20) }) },
    handler: async (request, reply) => {
      const { subscriber } = request.params
      if (subscriber === 'nobody') throw new ProblemError('not_found', 'There is no such subscriber.')
      if (subscriber === 'stuck') await new Promise(() => {})
      const upgrade = takeUpgrade(request, reply)
      if (upgrade === undefined) return gone()
      taken.push(upgrade)
      greet(
        upgrade,
        request.headers['sec-websocket-key'],
        `${request.caller?.name ?? 'nobody'} ${subscriber}`,
      )
    },
  })
  http.get('/late', {
    config: { access: 'events:write', webSocket: true, lateCredential: true },
    handler: async (request, reply) => {
      const upgrade = takeUpgrade(request, reply)
      if (upgrade === undefined) return gone()
      taken.push(upgrade)
      greet(upgrade, request.headers['sec-websocket-key'], request.caller?.name ?? 'nobody')
    },
  })
}

async function openSocketWorld(options: Options = {}): Promise<SocketWorld> {
  const taken: Upgrade[] = []
  let gone = 0
  const routes = (http: Http) =>
    socketRoutes(http, taken, () => {
      gone += 1
    })
  const world = await openHttpWorld({ ...options, routes })
  return {
    ...world,
    taken,
    gone: () => gone,
    [Symbol.asyncDispose]: async () => {
      for (const { socket } of taken) socket.destroy()
      await world[Symbol.asyncDispose]()
    },
  }
}

const head = (path: string, more = '') =>
  `GET ${path} HTTP/1.1\r\nHost: a\r\n${Object.entries(handshake)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}${more}\r\n`
const auth = 'Authorization: Bearer writer\r\n'

test('a WebSocket client is served by the ordinary route, with its caller and its parameters', async () => {
  await using world = await openSocketWorld()
  const answer = await askForSocket(`${world.url}/ws/user_1`, asWriter)
  assert.ok(answer.status === 101 && 'first' in answer)
  assert.equal(answer.first, 'writer user_1')
  answer.socket.destroy()
  const client = new WebSocket(`${world.url.replace('http', 'ws')}/late`)
  const { promise, resolve, reject } = Promise.withResolvers<unknown>()
  client.onmessage = ({ data }) => resolve(data)
  client.onerror = reject
  assert.equal(await promise, 'nobody')
  assert.match(
    await world.metrics.metrics(),
    /pulse_http_requests_total\{method="GET",route="\/ws\/:subscriber",status="1xx"\} 1/,
  )
})

test('what the client sends right behind its request reaches the handler, and nothing is read before', async () => {
  await using world = await openSocketWorld()
  const socket = await opened(world.port)
  socket.write(`${head('/ws/user_1', auth)}at once`)
  await until(() => world.taken.length === 1)
  assert.equal(world.taken[0]?.head.toString(), 'at once')
  // Node hangs the answer on the socket; it would stay in memory for as long as the socket does.
  assert.equal((world.taken[0].socket as Duplex & { _httpMessage?: unknown })._httpMessage, null)
  socket.destroy()
})

test('what an upgrade is refused for is a problem like any other, and then the connection ends', async () => {
  await using world = await openSocketWorld()
  const long = 'x'.repeat(21)
  const cases: readonly [string, Record<string, string>, number, string][] = [
    ['/ws/user_1', {}, 401, 'unauthenticated'],
    ['/ws/user_1', { authorization: 'Bearer other' }, 401, 'unauthenticated'],
    [`/ws/${long}`, asWriter, 400, 'invalid_request'],
    ['/ws/nobody', asWriter, 404, 'not_found'],
    ['/ws/user_1', { ...asWriter, 'sec-websocket-version': '8' }, 426, 'upgrade_required'],
    ['/ws/user_1', { ...asWriter, 'sec-websocket-key': 'short' }, 400, 'invalid_request'],
    [`/ws/user_1?${'x'.repeat(9_000)}`, asWriter, 414, 'uri_too_long'],
    ['/late', { authorization: 'Bearer other' }, 401, 'unauthenticated'],
  ]
  for (const [path, headers, status, code] of cases) {
    const answer = await askForSocket(world.url + path, headers)
    assert.ok('problem' in answer, path)
    assert.deepEqual([answer.status, answer.problem.code], [status, code], path)
    assert.equal(answer.headers['x-request-id'], answer.problem.request_id)
    assert.equal(answer.headers['x-content-type-options'], 'nosniff')
    if (status === 426) assert.equal(answer.headers['sec-websocket-version'], '13')
    else assert.equal(answer.headers.connection, 'close', JSON.stringify(answer))
  }
  await until(async () => (await connections(world)) === 0)
  assert.equal(world.taken.length, 0)
})

test('a route for sockets that is asked without an upgrade is 426 for those who may, and 401 for others', async () => {
  await using world = await openSocketWorld()
  for (const path of ['/ws/user_1', '/late']) {
    const answer = await world.fetch(path, { headers: asWriter })
    assert.equal(answer.status, 426)
    assert.equal(answer.headers.get('upgrade'), 'websocket')
    assert.equal(((await answer.json()) as { code: string }).code, 'upgrade_required')
    assert.equal((await world.fetch(path)).status, 401, `${path}: there is no later without a socket`)
    assert.equal((await world.fetch(path, { method: 'POST' })).headers.get('allow'), 'GET, HEAD')
  }
})

test('every route for sockets answers 401 to an upgrade without a credential, but those that take one later', async () => {
  await using world = await openSocketWorld()
  const entries = world.http.routeEntries().filter(({ webSocket, method }) => webSocket && method === 'GET')
  assert.equal(entries.length, 2)
  for (const { url } of entries) {
    const { status } = await askForSocket(world.url + url.replaceAll(/:\w+/g, 'x'))
    assert.equal(status, url === '/late' ? 101 : 401, url)
  }
})

test('an offer of another protocol, with a body or elsewhere is no upgrade but the ordinary request that it is', async () => {
  await using world = await openSocketWorld()
  const offer = (protocol: string) => `Host: a\r\n${auth}Connection: Upgrade\r\nUpgrade: ${protocol}\r\n`
  const json = 'Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{"name":"a"}'
  const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1])
  const ask = async (line: string, rest: string) =>
    statusOf(await world.raw(`${line} HTTP/1.1\r\n${rest}`, 300))
  assert.equal(await ask('POST /json/1', offer('h2c') + json), 200)
  assert.equal(await ask('POST /json/1', offer('websocket') + json), 200)
  const elsewhere = await world.raw(head('/address', auth), 300)
  assert.equal(statusOf(elsewhere), 200)
  assert.match(elsewhere, /connection: keep-alive/i)
  assert.equal(await ask('GET /nothing', `${offer('websocket')}\r\n`), 404)
  const h2c = head('/ws/user_1', auth).replace('upgrade: websocket', 'upgrade: h2c')
  assert.equal(statusOf(await world.raw(h2c, 300)), 426)
  const withBody = `${head('/ws/user_1', `${auth}Content-Length: 2\r\n`)}xx`
  assert.equal(statusOf(await world.raw(withBody, 300)), 426)
  assert.equal(await ask('POST /ws/user_1', `${offer('websocket')}\r\n`), 405)
  assert.equal(world.taken.length, 0)
})

test('a socket without a credential is paid for by its address', async () => {
  let asked = 0
  const gatekeeper: Gatekeeper = {
    authenticate: () => undefined,
    carriesCredential: () => false,
    limit: (_request, _reply, caller) => {
      assert.equal(caller, undefined)
      asked += 1
      if (asked > 2) throw new ProblemError('rate_limited', 'Enough.', { retryAfter: 9 })
    },
  }
  await using world = await openSocketWorld({ gatekeeper })
  const ask = () => askForSocket(`${world.url}/late`)
  assert.deepEqual([(await ask()).status, (await ask()).status], [101, 101])
  const refused = await ask()
  assert.ok('headers' in refused)
  assert.deepEqual([refused.status, refused.headers['retry-after']], [429, '9'])
})

test('sockets are opened over TLS too, and on every address of localhost', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'pulse-tls-'))
  const tls = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') }
  try {
    const { cert, key } = selfSigned('localhost')
    await writeFile(tls.certFile, cert)
    await writeFile(tls.keyFile, key)
    await using secure = await openSocketWorld({ settings: { tls } })
    const answer = await askForSocket(`${secure.url}/ws/user_1`, asWriter, { ca: cert })
    assert.ok('first' in answer)
    assert.equal(answer.first, 'writer user_1')
    const refused = await askForSocket(`${secure.url}/ws/user_1`, {}, { ca: cert })
    assert.equal(refused.status, 401)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  const taken: Upgrade[] = []
  await using local = await openUnbound({ routes: (http) => socketRoutes(http, taken, () => {}) })
  await listen(local.http, { host: 'localhost', port: 0 })
  for (const bound of local.http.addresses()) {
    assert.ok(typeof bound === 'object')
    const { address, family, port } = bound
    const host = family === 'IPv6' ? `[${address}]` : address
    const answer = await askForSocket(`http://${host}:${port}/ws/user_1`, asWriter)
    assert.equal(answer.status, 101, host)
  }
  for (const { socket } of taken) socket.destroy()
})

test('upgrades that break off, hang or come too early leave nothing behind', async () => {
  let waiting = 0
  let letIn = () => {}
  const opens = new Promise<void>((resolve) => {
    letIn = resolve
  })
  const writer: Caller = { kind: 'key', id: 'k', name: 'writer', scopes: new Set(['events:write']) }
  const gatekeeper: Gatekeeper = {
    authenticate: (request) => {
      if (request.headers['x-wait'] === undefined) return writer
      waiting += 1
      return opens.then(() => writer)
    },
    carriesCredential: () => true,
    limit: () => {},
  }
  await using world = await openSocketWorld({ gatekeeper, limits: { headersMsMax: 400, requestMsMax: 400 } })
  const broken = await Promise.all(Array.from({ length: 20 }, () => opened(world.port)))
  for (const socket of broken) socket.write(head('/ws/user_1', 'X-Wait: 1\r\n'))
  await until(() => waiting === 20)
  for (const socket of broken) socket.resetAndDestroy()
  await until(async () => (await connections(world)) === 0)
  letIn()
  await until(() => world.gone() === 20)
  assert.equal(world.taken.length, 0, 'nobody was handed a socket that had ended')
  // Where the handler never answers, and the client neither.
  const stuck = await opened(world.port)
  const closed = new Promise((resolve) => stuck.once('close', resolve))
  stuck.write(head('/ws/stuck'))
  await closed
  await until(async () => (await connections(world)) === 0)
  const kept = await askForSocket(`${world.url}/ws/user_1`)
  assert.ok('socket' in kept)
  await stays(600, () => !kept.socket.destroyed)
})

const atOnce = { timeout: 5_000 }
test('an upgrade sent behind a request that is not answered yet ends the connection', atOnce, async () => {
  await using world = await openSocketWorld()
  const socket = await opened(world.port)
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.write(`GET /address HTTP/1.1\r\nHost: a\r\n${auth}\r\n${head('/ws/user_1', auth)}`)
  await closed
  assert.equal(world.taken.length, 0)
})

test('closing leaves the sockets that were taken to those who took them, and takes no new ones', async () => {
  const world = await openSocketWorld()
  const answer = await askForSocket(`${world.url}/ws/user_1`, asWriter)
  assert.ok('socket' in answer)
  const [first] = world.taken
  assert.ok(first)
  const closing = world.http.close()
  const refused = await askForSocket(`${world.url}/ws/user_1`, asWriter)
  assert.ok('problem' in refused)
  assert.deepEqual([refused.status, refused.problem.code], [503, 'shutting_down'])
  // Longer than the notice and several rounds of closing idle connections.
  await stays(600, () => !answer.socket.destroyed)
  first.socket.write('bye')
  assert.equal(await text(answer.socket), 'bye')
  first.socket.end()
  const startedMs = performance.now()
  await closing
  assert.ok(performance.now() - startedMs < 1_000, 'the close went on at once')
})

test('a taken socket that nobody ends holds the close up for the drain time only', async () => {
  const world = await openSocketWorld({ drainMsMax: 500 })
  const answer = await askForSocket(`${world.url}/ws/user_1`, asWriter)
  assert.ok('socket' in answer)
  const startedMs = performance.now()
  await world.http.close()
  const tookMs = performance.now() - startedMs
  assert.ok(tookMs >= 500 && tookMs < 3_000, `${tookMs} ms`)
  await until(() => answer.socket.destroyed)
})

test('a route that takes a credential later and no sockets stops the start', async () => {
  const routes = (http: Http) =>
    void http.get('/x', { config: { access: 'events:write', lateCredential: true }, handler: async () => '' })
  await assert.rejects(openHttpWorld({ routes }), /GET \/x takes a credential later, which only a socket can/)
})

function opened(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket))
    socket.on('error', reject)
    socket.resume()
  })
}

function text(socket: Duplex): Promise<string> {
  return new Promise((resolve) => socket.once('data', (bytes: Buffer) => resolve(bytes.toString('utf8'))))
}

function connections({ http }: HttpWorld): Promise<number> {
  return new Promise((resolve, reject) => {
    http.server.getConnections((error, count) => (error ? reject(error) : resolve(count)))
  })
}

/** Looks for so long whether the condition holds all the time; throws when it does not. */
async function stays(ms: number, holds: () => boolean): Promise<void> {
  const endMs = performance.now() + ms
  while (performance.now() < endMs) {
    assert.ok(holds())
    await wait(20)
  }
}

/** Polls until the condition holds; throws after five seconds. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 5_000
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error('the condition did not come true in time')
    await wait(20)
  }
}

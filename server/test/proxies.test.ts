import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingHttpHeaders } from 'node:http'
import { request } from 'node:https'
import { type AddressInfo, connect as connectPlain, createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { eventually } from '@pulse/dev/services/eventually'
import { type ProxyKind, type ProxyProcess, proxyProgram, startProxy } from './proxy-process.ts'
import { type StartedServer, startServer } from './started-server.ts'

/** Stands between proxy and server and remembers what each of them sent, byte by byte. */
async function openTap(port: number) {
  let seen = { asked: '', answered: '' }
  const server = createServer((fromProxy) => {
    const toServer = connectPlain(port, '127.0.0.1')
    fromProxy.on('data', (chunk) => {
      seen.asked += chunk.toString('latin1')
    })
    toServer.on('data', (chunk) => {
      seen.answered += chunk.toString('latin1')
    })
    fromProxy.pipe(toServer).pipe(fromProxy)
    fromProxy.on('error', () => toServer.destroy())
    toServer.on('error', () => fromProxy.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    /** What was seen since the last call. */
    take: () => {
      const taken = seen
      seen = { asked: '', answered: '' }
      return taken
    },
    close: () => new Promise((resolve) => server.close(resolve)),
  }
}

interface Ask {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
  /** Address of this machine that the client comes from. */
  readonly from?: string
}

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** One request through the proxy, over TLS, on a connection of its own. */
async function ask(
  proxy: ProxyProcess,
  path: string,
  { from, body, method = 'GET', headers }: Ask = {},
): Promise<Answer> {
  const sent = request({
    host: '127.0.0.1',
    port: proxy.tlsPort,
    path,
    method,
    ca: proxy.ca,
    agent: false,
    headers: {
      host: 'pulse.example.com',
      ...headers,
      ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
    },
    ...(from === undefined ? {} : { localAddress: from }),
  })
  sent.end(body)
  const [answer] = await once(sent, 'response')
  return { status: answer.statusCode, headers: answer.headers, body: await text(answer) }
}

/** Sends bytes as they are and gives back everything that comes until the connection ends or falls silent. */
async function raw(proxy: ProxyProcess, bytes: string): Promise<string> {
  const socket = connectTls({ host: '127.0.0.1', port: proxy.tlsPort, ca: proxy.ca })
  await once(socket, 'secureConnect')
  let answer = ''
  socket.setEncoding('latin1').on('data', (part: string) => {
    answer += part
  })
  socket.on('error', () => undefined)
  socket.setTimeout(1_500, () => socket.destroy())
  socket.write(bytes, 'latin1')
  await once(socket, 'close')
  return answer
}

const statusLine = /^HTTP\/1\.1 \d{3}/gm
const count = (haystack: string, pattern: RegExp) => [...haystack.matchAll(pattern)].length

for (const kind of ['nginx', 'haproxy'] as const)
  describe(`behind ${kind} with the published file`, () => behind(kind))

function behind(kind: ProxyKind): void {
  let server: StartedServer
  let tap: Awaited<ReturnType<typeof openTap>>
  let proxy: ProxyProcess | undefined
  let auth: Record<string, string>

  before(async () => {
    const program = await proxyProgram(kind)
    if (program === undefined) return
    server = await startServer({
      PUBLIC_URL: 'https://pulse.example.com',
      TRUSTED_PROXIES: '127.0.0.1',
      RATE_LIMIT_ADDRESS: '1000/1m',
    })
    auth = { authorization: `Bearer ${server.key}` }
    tap = await openTap(Number(new URL(server.url).port))
    proxy = await startProxy(kind, program, tap.port)
    const through = proxy
    // HAProxy has to see /readyz answer 200 first.
    await eventually(
      'through the proxy',
      async () => ((await ask(through, '/livez')).status === 200 ? true : undefined),
      10_000,
    )
  })

  after(async () => {
    await proxy?.[Symbol.asyncDispose]()
    await server?.[Symbol.asyncDispose]()
    await tap?.close()
  })

  /** A test that is skipped, visibly, where the proxy cannot be had. */
  const it = (title: string, body: (through: ProxyProcess) => Promise<void>) =>
    test(title, async (t) => {
      if (proxy === undefined) return t.skip(`${kind} is not installed and cannot be installed by this user`)
      await body(proxy)
    })

  const post = (through: ProxyProcess, body: string, headers: Record<string, string> = {}) =>
    ask(through, '/events', {
      method: 'POST',
      body,
      headers: { ...auth, 'content-type': 'application/json', ...headers },
    })

  it('an event goes in, is processed, and is found', async (through) => {
    const event_id = randomUUID()
    const answer = await post(
      through,
      JSON.stringify({ event_id, event_type: 'page_view', user_id: 'proxied' }),
    )
    assert.equal(answer.status, 202, answer.body)
    assert.equal(JSON.parse(answer.body).event_id, event_id)
    const state = async () => {
      const found = await ask(through, `/events/${event_id}`, { headers: auth })
      return found.status === 200 && JSON.parse(found.body).status === 'processed' ? true : undefined
    }
    await eventually('processed', state, 10_000)
  })

  it('health, metrics, the API page and the dashboard come through', async (through) => {
    for (const path of ['/livez', '/readyz', '/health', '/docs', '/openapi.json', '/ui/'])
      assert.equal((await ask(through, path)).status, 200, path)
    assert.equal((await ask(through, '/metrics')).status, 401)
    assert.match((await ask(through, '/metrics', { headers: auth })).body, /^pulse_events_received_total/m)
    const front = await ask(through, '/', { headers: { accept: 'text/html' } })
    assert.deepEqual([front.status, front.headers.location], [302, '/ui/'])
    assert.match(String(front.headers['strict-transport-security']), /max-age=\d+/)
  })

  it('plain http redirects people and refuses programs', async (through) => {
    const plain = (path: string) =>
      fetch(`http://127.0.0.1:${through.plainPort}${path}`, {
        redirect: 'manual',
        headers: { host: 'pulse.example.com' },
      })
    assert.equal((await plain('/')).status, 301)
    assert.match(String((await plain('/ui/events')).headers.get('location')), /^https:\/\/.*\/ui\/events$/)
    assert.equal((await plain('/events')).status, 403)
  })

  it('the client address is the one that the proxy saw, whatever the client writes', async (through) => {
    const remaining = async (from: string, headers: Record<string, string> = {}) => {
      const answer = await ask(through, '/events', { from, headers })
      assert.equal(answer.status, 401)
      return Number(/;r=(\d+)/.exec(String(answer.headers.ratelimit))?.[1])
    }
    const first = await remaining('127.0.0.21')
    // One budget for one address: a header that claims another one does not open a new budget.
    assert.equal(await remaining('127.0.0.21', { 'x-forwarded-for': '203.0.113.9' }), first - 1)
    assert.equal(
      await remaining('127.0.0.21', { 'x-forwarded-for': '127.0.0.1', forwarded: 'for=203.0.113.9' }),
      first - 2,
    )
    assert.equal(await remaining('127.0.0.21', { 'X-Real-IP': '203.0.113.9' }), first - 3)
    // And another address has its own: the server does not take everybody for the proxy.
    assert.equal(await remaining('127.0.0.22'), first)
    tap.take()
    await remaining('127.0.0.23', { 'x-forwarded-for': '203.0.113.9' })
    assert.deepEqual(
      [...tap.take().asked.matchAll(/^x-forwarded-for: (.*)\r$/gim)].map(([, value]) => value),
      ['127.0.0.23'],
    )
  })

  it('X-Forwarded-For of somebody who is not the proxy is not believed', async () => {
    const { port } = new URL(server.url)
    const direct = async (claimed: string) => {
      const socket = connectPlain({ host: '127.0.0.1', port: Number(port), localAddress: '127.0.0.31' })
      socket.end(
        `GET /events HTTP/1.1\r\nhost: x\r\nx-forwarded-for: ${claimed}\r\nconnection: close\r\n\r\n`,
      )
      return Number(/^ratelimit: .*;r=(\d+)/im.exec(await text(socket))?.[1])
    }
    const first = await direct('203.0.113.1')
    assert.equal(await direct('203.0.113.2'), first - 1)
  })

  it('a body above the limit gets the answer of the server, one below it is taken', async (through) => {
    const events = (bytes: number) => {
      const one = { event_type: 'page_view', properties: { filler: 'x'.repeat(1_000) } }
      return JSON.stringify(
        Array.from({ length: Math.floor(bytes / (JSON.stringify(one).length + 1)) }, () => one),
      )
    }
    const taken = await post(through, events(3.9 * 1024 * 1024))
    assert.equal(taken.status, 200, taken.body.slice(0, 300))
    for (const mebibytes of [4.2, 7]) {
      const refused = await post(through, events(mebibytes * 1024 * 1024))
      assert.equal(refused.status, 413)
      assert.equal(refused.headers['content-type']?.split(';', 1)[0], 'application/problem+json')
      assert.equal(JSON.parse(refused.body).code, 'payload_too_large')
    }
  })

  it('a request with two lengths cannot smuggle a second one past the proxy', async (through) => {
    const hidden = `GET /smuggled-${randomUUID()} HTTP/1.1\r\nHost: x\r\n\r\n`
    const head = `POST /events HTTP/1.1\r\nHost: pulse.example.com\r\nAuthorization: ${auth.authorization}\r\nContent-Type: application/json\r\n`
    const chunked = `0\r\n\r\n${hidden}`
    const shapes = {
      'both lengths': `${head}Content-Length: ${chunked.length}\r\nTransfer-Encoding: chunked\r\n\r\n${chunked}`,
      'both, the other way round': `${head}Transfer-Encoding: chunked\r\nContent-Length: ${chunked.length}\r\n\r\n${chunked}`,
      'an encoding in disguise': `${head}Content-Length: ${chunked.length}\r\nTransfer-Encoding: xchunked\r\n\r\n${chunked}`,
      'a space before the colon': `${head}Content-Length: ${chunked.length}\r\nTransfer-Encoding : chunked\r\n\r\n${chunked}`,
      'two different lengths': `${head}Content-Length: 0\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`,
      'a folded header': `${head}Content-Length: ${chunked.length}\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n${chunked}`,
    }
    for (const [shape, bytes] of Object.entries(shapes)) {
      tap.take()
      const got = count(await raw(through, bytes), statusLine)
      const { asked, answered } = tap.take()
      const given = count(answered, statusLine) - count(asked, /^GET \/readyz HTTP/gm)
      // What is smuggled is a request that the server answers and that the proxy does not know of.
      assert.ok(given <= got, `${shape}: the server gave ${given} answers, the client got ${got}`)
      // A second request that the proxy does know of, because its client sent two, bears the mark of the proxy.
      const second = answered.includes('/smuggled-')
        ? asked.slice(asked.indexOf('GET /smuggled-'))
        : undefined
      assert.ok(second === undefined || /^x-forwarded-for: 127\.0\.0\.1\r$/im.test(second), shape)
    }
  })

  it('the server itself refuses a request with two lengths, should a proxy let one through', async () => {
    const socket = connectPlain({ host: '127.0.0.1', port: Number(new URL(server.url).port) })
    socket.write(
      'POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n',
    )
    const answer = await text(socket)
    assert.match(answer, /^HTTP\/1\.1 400 /)
    assert.equal(count(answer, /^HTTP\/1\.1 /gm), 1)
  })

  it('a server that is stopped is a 502 or 503 of the proxy, not a hanging request', async (through) => {
    await server[Symbol.asyncDispose]()
    const asked = performance.now()
    const answer = await ask(through, '/livez')
    assert.ok([502, 503].includes(answer.status), String(answer.status))
    assert.ok(performance.now() - asked < 10_000)
  })
}

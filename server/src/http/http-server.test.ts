import assert from 'node:assert/strict'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:https'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { problemSchema } from '@pulse/protocol/problem'
import { asWriter, openHttpWorld } from './http-world.ts'
import { selfSigned } from './self-signed.ts'

const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0)
const answersIn = (text: string) => text.match(/HTTP\/1\.1 \d{3}/g) ?? []
const auth = 'Authorization: Bearer writer\r\n'

test('a request that is not HTTP, or too large in its head, gets a problem and the connection ends', async () => {
  await using world = await openHttpWorld()
  const long = 'x'.repeat(20_000)
  const cases: readonly [string, string, number, string][] = [
    ['words', 'hello, who is there\r\n\r\n', 400, 'invalid_request'],
    ['an unknown method', 'BREW /json/1 HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'invalid_request'],
    ['a long header', `GET /json/1 HTTP/1.1\r\nHost: a\r\nX-Long: ${long}\r\n\r\n`, 431, 'too_many_headers'],
    [
      'many headers',
      `GET /json/1 HTTP/1.1\r\nHost: a\r\n${'X-A: b\r\n'.repeat(3_000)}\r\n`,
      431,
      'too_many_headers',
    ],
    ['a long address', `GET /${long} HTTP/1.1\r\nHost: a\r\n\r\n`, 414, 'uri_too_long'],
    [
      'a control character',
      'GET /json/1 HTTP/1.1\r\nHost: a\r\nX-A: b\u0000c\r\n\r\n',
      400,
      'invalid_request',
    ],
  ]
  for (const [name, bytes, status, code] of cases) {
    const answer = await world.raw(bytes)
    assert.equal(statusOf(answer), status, name)
    const [head = '', body = ''] = answer.split('\r\n\r\n')
    assert.match(head, /Content-Type: application\/problem\+json/)
    const problem = problemSchema.parse(JSON.parse(body))
    assert.equal(problem.code, code, name)
    assert.match(head, new RegExp(`X-Request-Id: ${problem.request_id}`))
  }
  assert.match(
    await world.metrics.metrics(),
    /pulse_http_client_errors_total\{code="HPE_HEADER_OVERFLOW"\} 3/,
  )
})

test('a request that two parsers could read differently is refused, so none can be smuggled behind it', async () => {
  await using world = await openHttpWorld()
  const inner = `GET /address HTTP/1.1\r\nHost: a\r\n${auth}\r\n`
  const post = `POST /raw HTTP/1.1\r\nHost: a\r\n${auth}`
  const shapes: Readonly<Record<string, string>> = {
    'both lengths': `${post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${inner}`,
    'both lengths, the other order': `${post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n${inner}`,
    'two lengths': `${post}Content-Length: 0\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`,
    'a list of lengths': `${post}Content-Length: 0, ${inner.length}\r\n\r\n${inner}`,
    'a signed length': `${post}Content-Length: +0\r\n\r\n${inner}`,
    'chunked not last': `${post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${inner}`,
    'chunked misspelt': `${post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${inner}`,
    'a space before the colon': `${post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${inner}`,
    'a folded header': `${post}X-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n`,
    'bare line feeds': `POST /raw HTTP/1.1\nHost: a\n${auth.trim()}\nContent-Length: 0\n\n${inner}`,
    'no host': `GET /address HTTP/1.1\r\n${auth}\r\n`,
  }
  for (const [name, bytes] of Object.entries(shapes)) {
    const answer = await world.raw(bytes)
    assert.deepEqual(answersIn(answer), ['HTTP/1.1 400'], `${name}: ${answer}`)
  }
})

test('slow headers and slow bodies are cut off with 408', async () => {
  const limits = { headersMsMax: 300, requestMsMax: 600, slowRequestCheckMs: 100 }
  await using world = await openHttpWorld({ limits })
  const head = await world.raw('GET /address HTTP/1.1\r\nHost: a\r\nX-Slow', 5_000)
  assert.equal(statusOf(head), 408)
  assert.match(head, /"code":"request_timeout"/)
  const startedMs = performance.now()
  const body = await world.raw(
    `POST /raw HTTP/1.1\r\nHost: a\r\n${auth}Content-Length: 100\r\n\r\nonly this`,
    5_000,
  )
  assert.equal(statusOf(body), 408)
  assert.ok(performance.now() - startedMs < 4_000)
})

test('connections over the limit are refused and counted, the others are served', async () => {
  await using world = await openHttpWorld({ limits: { connectionsMax: 2 } })
  const held = [await opened(world.port), await opened(world.port)]
  assert.equal(await world.raw(`GET /address HTTP/1.1\r\nHost: a\r\n${auth}\r\n`), '')
  assert.match(await world.metrics.metrics(), /pulse_http_connections_dropped_total 1/)
  for (const socket of held) socket.destroy()
  await until(
    async () =>
      statusOf(await world.raw(`GET /address HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${auth}\r\n`)) ===
      200,
  )
})

test('closing finishes what was begun, closes idle connections and takes no new ones', async () => {
  let release = () => {}
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  let entered = false
  const world = await openHttpWorld({
    routes: (http) =>
      void http.get('/slow', {
        config: { access: 'events:write' },
        handler: async () => {
          entered = true
          await gate
          return { done: true }
        },
      }),
  })
  const idle = await opened(world.port)
  idle.write(`GET /address HTTP/1.1\r\nHost: a\r\n${auth}\r\n`)
  const idleClosed = new Promise((resolve) => idle.once('close', resolve))
  const answer = world.fetch('/slow', { headers: asWriter })
  await until(() => entered)
  const closed = world.http.close()
  await idleClosed
  await assert.rejects(opened(world.port))
  release()
  assert.deepEqual(await (await answer).json(), { done: true })
  const startedMs = performance.now()
  await closed
  // Not the keep-alive time of the connection that had the slow answer.
  assert.ok(performance.now() - startedMs < 2_000)
})

test('closing does not wait for a connection on which nothing was ever asked', {
  timeout: 20_000,
}, async () => {
  const world = await openHttpWorld({ drainMsMax: 3_600_000 })
  const silent = await opened(world.port)
  const ended = new Promise((resolve) => silent.once('close', resolve))
  await world.http.close()
  await ended
})

test('closing cuts an answer that takes longer than the drain time', async () => {
  const world = await openHttpWorld({
    drainMsMax: 200,
    routes: (http) =>
      void http.get('/never', { config: { access: 'events:write' }, handler: () => new Promise(() => {}) }),
  })
  const answer = assert.rejects(world.fetch('/never', { headers: asWriter }))
  await until(async () => (await connections(world.http.server)) === 1)
  await world.http.close()
  await answer
})

test('EF-46 with a certificate the server speaks TLS 1.2 and newer only, and takes a renewed certificate while it runs', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'pulse-tls-'))
  const tls = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') }
  const write = async (name: string) => {
    const { cert, key } = selfSigned(name)
    // As renewal tools do it: the new file takes the old one's name.
    for (const [path, text] of [
      [tls.keyFile, key],
      [tls.certFile, cert],
    ] as const) {
      await writeFile(`${path}.new`, text, { mode: 0o600 })
      await rename(`${path}.new`, path)
    }
    return cert
  }
  try {
    const ca = await write('first')
    await using world = await openHttpWorld({ settings: { tls }, limits: { certificatePollMs: 100 } })
    assert.match(world.url, /^https:/)
    const answer = await overTls(world.port, ca)
    assert.equal(answer.status, 200)
    assert.equal(answer.headers['strict-transport-security'], 'max-age=31536000')
    assert.deepEqual(JSON.parse(answer.body), { ip: '127.0.0.1', protocol: 'https' })
    await assert.rejects(
      secured(world.port, { ca, maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' }),
    )
    assert.doesNotMatch(await world.raw(`GET /address HTTP/1.1\r\nHost: a\r\n${auth}\r\n`), /"ip"/)
    const renewed = await write('second')
    await until(async () => {
      const socket = await secured(world.port, { ca: [ca, renewed] })
      const { subject } = socket.getPeerCertificate()
      socket.destroy()
      return subject.CN === 'second'
    })
    assert.ok(world.lines.some(({ msg }) => msg === 'TLS certificate reloaded'))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

function opened(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket))
    socket.on('error', reject)
    socket.resume()
  })
}

function secured(
  port: number,
  options: { ca: string | string[]; minVersion?: 'TLSv1'; maxVersion?: 'TLSv1.1'; ciphers?: string },
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, ...options }, () => resolve(socket))
    socket.on('error', reject)
  })
}

interface TlsAnswer {
  readonly status: number | undefined
  readonly headers: NodeJS.Dict<string | string[]>
  readonly body: string
}

function overTls(port: number, ca: string): Promise<TlsAnswer> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path: '/address', headers: asWriter, agent: new Agent({ ca }) }
    request(options, (answer) => {
      let body = ''
      answer.setEncoding('utf8')
      answer.on('data', (text: string) => {
        body += text
      })
      answer.on('end', () => resolve({ status: answer.statusCode, headers: answer.headers, body }))
    })
      .on('error', reject)
      .end()
  })
}

function connections(server: {
  getConnections(done: (error: Error | null, count: number) => void): unknown
}): Promise<number> {
  return new Promise((resolve, reject) => {
    server.getConnections((error, count) => (error ? reject(error) : resolve(count)))
  })
}

/** Polls until the condition holds; throws after five seconds. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 5_000
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error('the condition did not come true in time')
    await wait(20)
  }
}

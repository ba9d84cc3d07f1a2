import { connect } from 'node:net'
import { Writable } from 'node:stream'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { z } from 'zod'
import type { Caller, Gatekeeper } from './access.ts'
import { takeRawBodies } from './bodies.ts'
import { createHttp, type Http, type HttpNeeds, type HttpSettings } from './http.ts'
import { listen } from './listen.ts'

/** A listening server with a few routes to try the layer on: for tests. */
export interface HttpWorld extends AsyncDisposable {
  readonly http: Http
  /** `http(s)://127.0.0.1:PORT`. */
  readonly url: string
  readonly port: number
  readonly metrics: Registry
  /** What was logged, one object per line. */
  readonly lines: readonly Record<string, unknown>[]
  fetch(path: string, init?: RequestInit): Promise<Response>
  /** Sends bytes as they are, and resolves with all that comes back until the server closes or `untilMs` passes. */
  raw(bytes: string | Buffer, untilMs?: number): Promise<string>
}

type WorldOptions = Partial<Omit<HttpNeeds, 'settings'>> & {
  readonly settings?: Partial<HttpSettings>
  readonly routes?: (http: Http) => void | Promise<void>
}

const writer: Caller = { kind: 'key', id: 'k1', name: 'writer', scopes: new Set(['events:write']) }

/** Knows one credential, `Bearer writer`, that may write events. */
const oneWriter: Gatekeeper = {
  authenticate: (request) => (request.headers.authorization === 'Bearer writer' ? writer : undefined),
  carriesCredential: (request) => request.headers.authorization !== undefined,
  limit: () => undefined,
}

export const asWriter = { authorization: 'Bearer writer' }
export const asJson = { ...asWriter, 'content-type': 'application/json' }

/** Opens the world on a free loopback port. */
export async function openHttpWorld(options: WorldOptions = {}): Promise<HttpWorld> {
  const { http, metrics, lines } = await openUnbound(options)
  const url = await listen(http, { host: '127.0.0.1', port: 0 })
  const port = Number(new URL(url).port)
  return {
    ...{ http, url, port, metrics, lines },
    fetch: (path, init) => fetch(new URL(path, url), init),
    raw: (bytes, untilMs = 3_000) => exchange({ port, bytes, untilMs }),
    [Symbol.asyncDispose]: () => http.close(),
  }
}

/** The same server before it listens. */
export async function openUnbound({ settings, routes, ...needs }: WorldOptions = {}) {
  const lines: Record<string, unknown>[] = []
  const log = pino({ level: 'debug' }, collect(lines))
  const metrics = new Registry()
  const http = await createHttp({
    settings: { trustedProxies: [], corsOrigins: [], bodyBytesMax: 100_000, ...settings },
    ...{ gatekeeper: oneWriter, log, metrics, version: '1.2.3' },
    ...needs,
  })
  tryRoutes(http)
  await routes?.(http)
  return { http, metrics, lines, [Symbol.asyncDispose]: () => http.close() }
}

function tryRoutes(http: Http): void {
  const access = 'events:write'
  http.post('/json/:id', {
    config: { access },
    schema: {
      params: z.object({ id: z.string() }),
      querystring: z.object({ limit: z.coerce.number().max(10).optional() }),
      body: z.strictObject({ name: z.string(), deep: z.array(z.object({ count: z.int() })).optional() }),
      response: { 200: z.object({ name: z.string() }) },
    },
    handler: async (request, reply) => reply.code(200).send({ name: request.body.name }),
  })
  http.get('/address', {
    config: { access },
    handler: async (request) => ({ ip: request.ip, protocol: request.protocol }),
  })
  http.get('/broken', {
    config: { access },
    handler: async () => {
      throw new Error('select password from secrets')
    },
  })
  http.register(async (scope) => {
    takeRawBodies(scope as unknown as Parameters<typeof takeRawBodies>[0])
    scope.post('/raw', {
      config: { access },
      handler: async (request) => {
        const body = request.body as Buffer | undefined
        return {
          bytes: body?.length ?? null,
          raw: Buffer.isBuffer(body),
          text: body?.subarray(0, 100).toString('latin1'),
        }
      },
    })
  })
}

function exchange({
  port,
  bytes,
  untilMs,
}: {
  port: number
  bytes: string | Buffer
  untilMs: number
}): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    let answer = ''
    const timer = setTimeout(() => socket.destroy(), untilMs)
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1')
    })
    // A reset after the answer is the server's right: what was sent was no proper request.
    socket.on('error', () => {})
    socket.on('close', () => {
      clearTimeout(timer)
      resolve(answer)
    })
    socket.write(bytes)
  })
}

function collect(lines: Record<string, unknown>[]): Writable {
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      for (const line of chunk.toString('utf8').split('\n')) if (line !== '') lines.push(JSON.parse(line))
      done()
    },
  })
}

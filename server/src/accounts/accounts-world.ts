import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { migrate } from '@pulse/log/migrate'
import pg from 'pg'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { createHttp, type Http, type HttpSettings } from '../http/http.ts'
import { type Accounts, type AccountsNeeds, type AccountsSettings, openAccounts } from './accounts.ts'

/** A real server with accounts and two routes to try them on, over a real database: for tests. */
export interface AccountsWorld extends AsyncDisposable {
  readonly http: Http
  readonly accounts: Accounts
  readonly pool: pg.Pool
  readonly data: string
  /** `http://127.0.0.1:PORT`. */
  readonly url: string
  /** The local admin key. */
  readonly key: string
  /** What was logged, one object per line. */
  readonly lines: readonly Record<string, unknown>[]
  /** Moves the server's clock, not the database's. */
  turnClock(ms: number): void
  fetch(path: string, options?: RequestInit & { key?: string | undefined }): Promise<Response>
  /** Makes a key through the API. */
  makeKey(
    scopes: readonly string[],
    more?: { rate_limit?: string; subscribers?: string },
  ): Promise<{ id: string; key: string }>
}

interface WorldOptions {
  readonly settings?: Partial<AccountsSettings>
  readonly http?: Partial<HttpSettings>
  /** Registers more routes before the server listens. */
  readonly routes?: (http: Http) => void | Promise<void>
  readonly host?: string
  readonly checkFilter?: AccountsNeeds['checkFilter']
}

const migrations = (room: string) => fileURLToPath(new URL(`../../../${room}/migrations`, import.meta.url))

/** Opens the world on the database at `url`, which is brought forward first. */
export async function openAccountsWorld(url: string, options: WorldOptions = {}): Promise<AccountsWorld> {
  await using stack = new AsyncDisposableStack()
  const data = await mkdtemp(join(tmpdir(), 'pulse-accounts-'))
  stack.defer(() => rm(data, { recursive: true, force: true }))
  const pool = await openPool(url)
  stack.defer(() => pool.end())
  const lines: Record<string, unknown>[] = []
  const log = pino({ level: 'debug' }, collect(lines))
  const metrics = new Registry()
  let turnedMs = 0
  let base = 'http://127.0.0.1'
  const settings: AccountsSettings = {
    data,
    open: false,
    rateLimitKey: null,
    rateLimitAddress: null,
    ...options.settings,
  }
  const now = () => Date.now() + turnedMs
  const accounts = await openAccounts({
    ...{ pool, settings, baseUrl: () => base, log, metrics, now },
    checkFilter: options.checkFilter ?? (() => {}),
  })
  stack.use(accounts)
  const httpSettings = { trustedProxies: [], corsOrigins: [], bodyBytesMax: 1_048_576, ...options.http }
  const http = await createHttp({
    settings: httpSettings,
    gatekeeper: accounts,
    log,
    metrics,
    version: '0.0.0',
  })
  stack.defer(() => http.close())
  accounts.routes(http)
  tryRoutes(http)
  await options.routes?.(http)
  base = await http.listen({ host: options.host ?? '127.0.0.1', port: 0 })
  const key = (await readFile(accounts.localKeyPath, 'utf8')).trim()
  const ask: AccountsWorld['fetch'] = (path, { key: sent, ...init } = {}) =>
    fetch(new URL(path, base), {
      ...init,
      headers: { ...(sent === undefined ? {} : { authorization: `Bearer ${sent}` }), ...init.headers },
    })
  const makeKey: AccountsWorld['makeKey'] = async (scopes, more = {}) => {
    const body = JSON.stringify({ name: 'test', scopes, ...more })
    const answer = await ask('/admin/keys', {
      method: 'POST',
      key,
      body,
      headers: { 'content-type': 'application/json' },
    })
    return (await answer.json()) as { id: string; key: string }
  }
  const turnClock = (ms: number) => {
    turnedMs += ms
  }
  const parts = stack.move()
  return {
    ...{ http, accounts, pool, data, key, lines, turnClock, makeKey },
    url: base,
    fetch: ask,
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  }
}

async function openPool(url: string): Promise<pg.Pool> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const log = { namespace: 'log', folders: [migrations('log')], schema: 'pulse' }
  const server = { namespace: 'server', folders: [migrations('server')], schema: 'pulse' }
  await migrate(client, [log, server]).finally(() => client.end())
  const pool = new pg.Pool({ connectionString: url, max: 4, connectionTimeoutMillis: 5_000 })
  // Tests stop the database under the pool; what that does to a request is theirs to see, not the process's.
  pool.on('error', () => {})
  return pool
}

function collect(lines: Record<string, unknown>[]): Writable {
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      for (const line of chunk.toString('utf8').split('\n')) if (line !== '') lines.push(JSON.parse(line))
      done()
    },
  })
}

/** The smallest routes that stand for intake and query. */
function tryRoutes(http: Http): void {
  http.post('/events', {
    config: { access: 'events:write' },
    handler: async (request, reply) => reply.code(202).send({ by: request.caller?.id }),
  })
  http.get('/events', {
    config: { access: 'events:read', ticket: true },
    handler: async (request, reply) => reply.send({ by: request.caller?.id, kind: request.caller?.kind }),
  })
}

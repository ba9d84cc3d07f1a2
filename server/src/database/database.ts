import { EventEmitter } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { type ClientConfig, Pool } from 'pg'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import { ConfigError } from '../config/config.ts'
import { connectionOf, urlOf } from './connection.ts'
import { codeOf, DatabaseError, reasonOf } from './database-error.ts'
import { checkDurability, type DatabaseDurability } from './durability.ts'
import { type Embedded, openEmbedded } from './embedded.ts'
import { type DatabaseStatus, type Keeper, openKeeper } from './keeper.ts'
import { createReport, type Report } from './report.ts'

export { DatabaseError } from './database-error.ts'
export type { DatabaseDurability } from './durability.ts'
export type { DatabaseStatus } from './keeper.ts'

export interface DatabaseNeeds {
  /** Absolute path of the data folder; unused with `url`. */
  readonly data: string
  /** True if nobody chose the folder, so that another place may be taken where it cannot work. */
  readonly dataIsDefault: boolean
  /** PostgreSQL to use instead of our own. */
  readonly url: string | undefined
  /** Allows a database that does not sync; `durability` then says so. */
  readonly allowUnsynced: boolean
  /** How long our own PostgreSQL waits for a new owner after this process was killed; default 30. */
  readonly graceSeconds?: number
  readonly log: Logger
  readonly metrics: Registry
}

/**
 * A running PostgreSQL that holds everything: our own or that of DATABASE_URL. Closing it ends the pools that it
 * gave out, and stops our own one.
 */
export interface Database extends AsyncDisposable {
  /** For modules that open a `pg.Client` of their own. */
  client(applicationName: string): ClientConfig
  /** The same as an address. It holds the password: never log it. */
  url(): string
  /** Connections that are shared, at most `max`; the name is the metrics' label. */
  pool(name: string, options: PoolOptions): Pool
  readonly durability: DatabaseDurability
  describe(): DatabaseDescription
  status(): DatabaseStatus
  /** Observations: `status` whenever the database goes away or is back. */
  readonly news: EventEmitter<{ status: [DatabaseStatus] }>
}

export interface PoolOptions {
  readonly max: number
  /** Time that the database gives a statement of the pool; none if it is not said. */
  readonly statementMsMax?: number
}

export interface DatabaseDescription {
  readonly kind: 'embedded' | 'external'
  /** For people: the folder of the files, or host, port and name; never the password. */
  readonly location: string
  /** As in `18.4`. */
  readonly version: string
  /** True if an embedded database was already running. */
  readonly adopted: boolean
  /** Where the files were expected, if they had to be put elsewhere. */
  readonly movedFrom: string | undefined
}

const defaultGraceSeconds = 30

/**
 * Starts or finds the database and waits until it answers. Throws ConfigError for what somebody has to change
 * (with the way out), DatabaseError `unavailable` if a DATABASE_URL does not answer, `start-failed` if our own one
 * does not start.
 */
export async function openDatabase(needs: DatabaseNeeds): Promise<Database> {
  const startedMs = performance.now()
  const report = createReport(needs)
  const news = new EventEmitter<{ status: [DatabaseStatus] }>()
  const graceSeconds = needs.graceSeconds ?? defaultGraceSeconds
  const embedded = needs.url === undefined ? await openEmbedded({ ...needs, graceSeconds }) : undefined
  const external = needs.url === undefined ? undefined : connectionOf(needs.url)
  const client = (): ClientConfig => ({ ...(embedded?.client() ?? external) })
  let checked: Awaited<ReturnType<typeof checkDurability>> | undefined
  const keeper = await openKeeper({
    client,
    revive: async () => await embedded?.revive(),
    async accept(connection) {
      await embedded?.own(connection)
      checked = await checkDurability(connection, needs.allowUnsynced)
    },
    onStatus: createTeller({ report, news }),
  }).catch(async (error: unknown) => {
    await embedded?.giveUp()
    throw explained(error, client())
  })
  const description = describe({ embedded, external, version: checked?.version ?? '' })
  if (description.movedFrom) report.moved({ from: description.movedFrom, to: description.location })
  if (embedded?.passwordRenewed) report.passwordRenewed(embedded.layout.passwordFile)
  if (checked && checked.off.length > 0) report.unsynced(checked.off.join(', '))
  report.started({
    location: description.location,
    tookMs: Math.round(performance.now() - startedMs),
    adopted: description.adopted,
  })
  const pools = new Set<Pool>()
  return {
    client: (applicationName) => ({ ...client(), application_name: `pulse ${applicationName}` }),
    url: () => urlOf(client()),
    pool(name, options) {
      const pool = openPool({ name, ...options, client: client(), report })
      pools.add(pool)
      return pool
    },
    get durability() {
      return checked?.durability ?? 'unsynced'
    },
    describe: () => description,
    status: () => keeper.status(),
    news,
    [Symbol.asyncDispose]: once(() => close({ pools, keeper, embedded, report })),
  }
}

/** Turns what the keeper sees into lines, numbers and news. */
function createTeller(to: {
  report: Report
  news: EventEmitter<{ status: [DatabaseStatus] }>
}): (status: DatabaseStatus) => void {
  let before: DatabaseStatus | undefined
  return (status) => {
    if (status.kind === 'down' && before?.kind === 'down') to.report.stillAway(status.reason)
    else if (status.kind === 'down') to.report.lost(status.reason)
    else if (before) to.report.back({ downMs: status.sinceMs - before.sinceMs })
    const isNews = before?.kind !== status.kind
    before = status
    if (isNews) to.news.emit('status', status)
  }
}

function openPool(from: PoolOptions & { name: string; client: ClientConfig; report: Report }): Pool {
  const pool = new Pool({
    ...from.client,
    application_name: `pulse ${from.name}`,
    max: from.max,
    ...(from.statementMsMax !== undefined && { statement_timeout: from.statementMsMax }),
    // A request that waits longer for a connection is better answered with 503.
    connectionTimeoutMillis: 5_000,
    idleTimeoutMillis: 60_000,
  })
  // The pool listens only to clients that are idle. One that is lent out and loses its server between two queries
  // would end the process; its borrower learns of the loss from the next query.
  pool.on('connect', (client) => client.on('error', () => {}))
  pool.on('error', (error) => from.report.poolLost(from.name, reasonOf(error)))
  from.report.watchPool(from.name, () => pool)
  return pool
}

function describe(from: {
  embedded: Embedded | undefined
  external: ClientConfig | undefined
  version: string
}): DatabaseDescription {
  const { embedded, external, version } = from
  if (embedded) {
    const { files, movedFrom } = embedded.layout
    return { kind: 'embedded', location: files, version, adopted: embedded.adopted, movedFrom }
  }
  const location = `${external?.host}:${external?.port}/${external?.database}`
  return { kind: 'external', location, version, adopted: false, movedFrom: undefined }
}

/** Turns what `pg` throws into what the person who set DATABASE_URL can act on. */
function explained(error: unknown, client: ClientConfig): unknown {
  if (error instanceof ConfigError || error instanceof DatabaseError) return error
  const where = `${client.host}:${client.port}/${client.database}`
  const config = (message: string) =>
    new ConfigError([{ setting: 'DATABASE_URL', message }], { cause: error })
  const reason = reasonOf(error)
  switch (codeOf(error)) {
    case '28P01':
    case '28000':
      return config(`${where} refuses user or password: ${reason}`)
    case '3D000':
      return config(`${where}: ${reason}; make it with createdb`)
  }
  if (reason.includes('does not support SSL'))
    return config(`${where} does not speak TLS; if the way to it is safe, add sslmode=disable`)
  if (/certificate|altnames|self.signed/i.test(reason))
    return config(`${where} could not prove who it is: ${reason}; see sslrootcert and sslmode`)
  return new DatabaseError('unavailable', `the database ${where} does not answer: ${reason}`, {
    cause: error,
  })
}

async function close(open: {
  pools: ReadonlySet<Pool>
  keeper: Keeper
  embedded: Embedded | undefined
  report: Report
}): Promise<void> {
  const startedMs = performance.now()
  // A connection that somebody forgot to give back must not hold up the end.
  await Promise.race([
    Promise.all([...open.pools].map((pool) => pool.end())),
    delay(5_000, undefined, { ref: false }),
  ])
  // The keeper goes first: it would start again what is stopped here.
  await open.keeper[Symbol.asyncDispose]()
  const result = (await open.embedded?.stop()) ?? { hard: false }
  open.report.stopped({ tookMs: Math.round(performance.now() - startedMs), hard: result.hard })
}

function once(action: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined
  return () => {
    done ??= action()
    return done
  }
}

import { join } from 'node:path'
import type { EventLog } from '@pulse/log'
import { openOnce } from '@pulse/log/open-once'
import { openPostgresLog } from '@pulse/log/postgres'
import type pg from 'pg'
import type { Logger } from 'pino'
import { Registry } from 'prom-client'
import { type Accounts, openAccounts } from './accounts/accounts.ts'
import type { Config } from './config/config.ts'
import { ask } from './database/ask.ts'
import { type Database, type DatabaseDescription, openDatabase } from './database/database.ts'
import { demoHandlers } from './demo/demo.ts'
import { openEndpoints } from './endpoints.ts'
import { type Foundation, hourMs, poolMax } from './foundation.ts'
import { checkPort, listen } from './http/listen.ts'
import { migrateAll } from './migrations.ts'
import { namesTopic } from './names/names.ts'
import { createObservations } from './operations/observations.ts'
import { type Operations, openOperations } from './operations/operations.ts'
import { measureDisk } from './operations/resources.ts'
import { logDiskRatioMax, openRetention } from './operations/retention.ts'
import { readBacklog } from './processing/backlog.ts'
import { checkProcessing, openProcessing } from './processing/processing.ts'
import { createProcessingReport } from './processing/report.ts'
import { createSchemas, type Schemas } from './schemas/schemas.ts'
import { replaceSecret } from './secret-files/secret-files.ts'
import { checkCondition, openSubscriptions, type Subscriptions } from './subscriptions/subscriptions.ts'

/** A running server. Disposing it takes no new work, finishes what it has accepted and lets go of everything. */
export interface App extends AsyncDisposable {
  /** Bound address, `http://127.0.0.1:8000`. */
  readonly url: string
  readonly durability: EventLog['can']['durability']
  readonly database: DatabaseDescription
  readonly keyPath: string
  /** Mints a link that signs an operator in once. */
  signInLink(): Promise<string>
}

export interface AppNeeds {
  readonly config: Config
  readonly version: string
  readonly log: Logger
}

/**
 * Starts the whole server. This is the one place that chooses drivers; modules are put together here and, where they
 * answer, in endpoints.ts. What is opened last is closed first. Rejects with ConfigError, DatabaseError, MigrationError, LogError or ListenError.
 */
export async function openApp(needs: AppNeeds): Promise<App> {
  await using opened = new AsyncDisposableStack()
  const app = await openParts(needs, opened)
  const parts = opened.move()
  return { ...app, [Symbol.asyncDispose]: () => parts.disposeAsync() }
}

async function openParts(
  needs: AppNeeds,
  opened: AsyncDisposableStack,
): Promise<Omit<App, typeof Symbol.asyncDispose>> {
  // Listening comes last; that it cannot be done is told before a database is started for nothing.
  await checkPort(needs.config.http)
  const app = await openFoundation(needs, opened)
  const accounts = await openAccess(app, opened)
  const operations = await openWatch(app, opened)
  if (app.does('processing')) await openWorkers(app, opened)
  const subscriptions = app.does('delivery') ? await openFilters(app, opened) : undefined
  const http = await openEndpoints(app, { accounts, operations, subscriptions }, opened)
  opened.defer(() => {
    app.state = 'draining'
  })
  app.baseUrl = await listen(http, app.config.http)
  await announce(app.config.data, app.baseUrl, opened)
  app.state = 'running'
  return {
    url: app.baseUrl,
    durability: app.log.can.durability,
    database: app.database.describe(),
    keyPath: accounts.localKeyPath,
    signInLink: async () => (await accounts.mintSignInLink('admin')).url,
  }
}

async function openFoundation(needs: AppNeeds, opened: AsyncDisposableStack): Promise<Foundation> {
  const { config, version } = needs
  const metrics = new Registry()
  const observations = createObservations()
  const module = (name: string) => needs.log.child({ module: name })
  const database = opened.use(await openDatabase({ ...config.database, log: module('database'), metrics }))
  await migrateAll(database, config.database.migrations)
  const schemas = createSchemas({
    eventTypes: config.intake.eventTypes,
    topics: config.log.topics,
    handled: Object.keys(config.processing.handlers),
    partitions: config.log.partitions,
    strict: config.intake.strictTypes,
  })
  const topics = schemas.topics.map(({ name }) => name)
  const committed = (records: number, ms: number) => observations.committed(records, ms)
  const log = await openLog({ config, database, schemas, committed, logger: module('log') }, opened)
  // A database elsewhere has a disk that is not ours to measure.
  const ownDisk = database.describe().kind === 'embedded'
  const logBytesMax = ownDisk ? (await measureDisk(config.data)).totalBytes * logDiskRatioMax : undefined
  const retention = await openRetention({
    pool: database.pool('background', { max: poolMax.background }),
    log,
    topics:
      config.roles.includes('all') || config.roles.includes('names') ? [...topics, namesTopic.name] : topics,
    settings: config.retention,
    logger: module('retention'),
    logBytesMax: () => logBytesMax,
  })
  opened.use(retention)
  return {
    ...{ config, version, metrics, observations, database, schemas, topics, log, module },
    handlers: config.demo ? { ...demoHandlers, ...config.processing.handlers } : config.processing.handlers,
    pool: database.pool('requests', { max: poolMax.requests }),
    does: (role) => config.roles.includes('all') || config.roles.includes(role),
    state: 'starting',
    baseUrl: '',
  }
}

async function openAccess(app: Foundation, opened: AsyncDisposableStack): Promise<Accounts> {
  const accounts = await openAccounts({
    pool: app.database.pool('accounts', { max: poolMax.accounts }),
    settings: app.config.accounts,
    baseUrl: () => app.config.http.publicUrl ?? app.baseUrl,
    checkFilter: (filter) => checkCondition(filter, '/filter'),
    log: app.module('accounts'),
    metrics: app.metrics,
  })
  return opened.use(accounts)
}

async function openWatch(app: Foundation, opened: AsyncDisposableStack): Promise<Operations> {
  const { database, log, topics } = app
  const [anyTopic = ''] = topics
  // Connections of its own: a database whose answers others wait for is busy, not down.
  const pool = database.pool('watch', { max: poolMax.watch })
  const operations = await openOperations({
    probes: {
      database: () => probe(database, pool),
      log: () => log.bounds(anyTopic).then(() => {}),
      processing: () => checkProcessing(pool),
    },
    backlog: () => readBacklog({ pool, log, topics }),
    isReady: () => (app.state === 'running' ? [] : [app.state]),
    observed: app.observations,
    dataDir: app.config.data,
    version: app.version,
    startedAt: new Date(),
    metrics: app.metrics,
    log: app.module('operations'),
  })
  return opened.use(operations)
}

async function openWorkers(app: Foundation, opened: AsyncDisposableStack): Promise<void> {
  const { config, database, log, schemas, observations } = app
  const processing = await openProcessing({
    log,
    connection: database.client('processing'),
    pool: database.pool('processing', { max: poolMax.processing }),
    schemas,
    handlers: app.handlers,
    settings: config.processing,
    idWindowMs: config.retention.idWindowHours * hourMs,
    report: createProcessingReport({ observations, log: app.module('processing') }),
  })
  opened.use(processing)
}

async function openFilters(app: Foundation, opened: AsyncDisposableStack): Promise<Subscriptions> {
  const subscriptions = await openSubscriptions({
    log: app.log,
    pool: app.database.pool('subscriptions', { max: poolMax.subscriptions }),
    topics: app.topics,
    settings: app.config.subscriptions,
    metrics: app.metrics,
    logger: app.module('subscriptions'),
  })
  return opened.use(subscriptions)
}

async function openLog(
  from: {
    config: Config
    database: Database
    schemas: Schemas
    committed: (records: number, ms: number) => void
    logger: Logger
  },
  opened: AsyncDisposableStack,
): Promise<EventLog> {
  const { config, database } = from
  const life = opened.use(
    openOnce(() =>
      config.log.driver === 'kafka'
        ? openKafka(config)
        : openPostgresLog({
            connection: database.client('log'),
            durability: database.durability,
            idWindowMs: config.retention.idWindowHours * hourMs,
            lanes: config.log.appendLanes,
            committed: from.committed,
            troubled: (error) =>
              from.logger.warn({ err: error }, 'work in the background of the log failed; it is tried again'),
          }),
    ),
  )
  const log = await life.open()
  await log.declare(from.schemas.topics)
  return log
}

/** Loaded only where it is used: its packages take as long to load as all the others together. */
async function openKafka(config: Config): Promise<EventLog> {
  const { openKafkaLog } = await import('@pulse/log/kafka')
  return await openKafkaLog({ brokers: config.log.kafkaBrokers })
}

async function probe(database: Database, pool: pg.Pool): Promise<void> {
  const status = database.status()
  if (status.kind === 'down') throw new Error(status.reason)
  // One that hangs is noticed here long before the keeper gives it up.
  await ask(pool, 'select 1')
}

/** Tells programs beside this one, such as the CLI, where the server is. */
async function announce(data: string, url: string, opened: AsyncDisposableStack): Promise<void> {
  const file = join(data, 'server.json')
  const here = { pid: process.pid, url, started_at: new Date().toISOString() }
  await replaceSecret(file, JSON.stringify(here))
  opened.defer(() => replaceSecret(file, '{}').catch(() => {}))
}

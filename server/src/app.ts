import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { EventLog } from '@pulse/log'
import { type MigrationSet, migrate } from '@pulse/log/migrate'
import { openOnce } from '@pulse/log/open-once'
import { openPostgresLog } from '@pulse/log/postgres'
import pg from 'pg'
import type { Logger } from 'pino'
import { Registry } from 'prom-client'
import { type Accounts, openAccounts } from './accounts/accounts.ts'
import type { Config } from './config/config.ts'
import { ask } from './database/ask.ts'
import { type Database, type DatabaseDescription, openDatabase } from './database/database.ts'
import { openDelivery } from './delivery/delivery.ts'
import { deliveryRoutes } from './delivery/delivery-routes.ts'
import { insightRoutes } from './delivery/insight-routes.ts'
import { positionRoute } from './delivery/position-route.ts'
import { demoHandlers, startDemo } from './demo/demo.ts'
import { dashboard } from './http/dashboard.ts'
import { createHttp, type Http } from './http/http.ts'
import { httpLimits } from './http/http-server.ts'
import { checkPort, listen } from './http/listen.ts'
import { createIntake, type Intake } from './intake/intake.ts'
import { intakeRoutes } from './intake/intake-routes.ts'
import { createIntakeReport } from './intake/report.ts'
import { docsPage } from './operations/docs-page.ts'
import { createObservations } from './operations/observations.ts'
import { type Operations, openOperations } from './operations/operations.ts'
import { operationsRoutes } from './operations/operations-routes.ts'
import { measureDisk } from './operations/resources.ts'
import { logDiskRatioMax, openRetention } from './operations/retention.ts'
import { readBacklog } from './processing/backlog.ts'
import { HandlerRegistry } from './processing/handler-registry.ts'
import { checkProcessing, openProcessing } from './processing/processing.ts'
import { createProcessingReport } from './processing/report.ts'
import { openQuery, type Query } from './query/query.ts'
import { queryRoutes } from './query/query-routes.ts'
import { createSchemas, type Schemas } from './schemas/schemas.ts'
import { replaceSecret } from './secret-files/secret-files.ts'
import {
  checkCondition,
  openSubscriptions,
  type Subscriptions,
  treeOf,
} from './subscriptions/subscriptions.ts'
import { openWebhooks } from './webhooks/webhooks.ts'

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

const hourMs = 3_600_000
const poolMax = {
  requests: 10,
  processing: 4,
  subscriptions: 4,
  accounts: 2,
  background: 2,
  watch: 3,
  webhooks: 2,
} as const
const folder = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/**
 * Starts the whole server. This is the one place where drivers and modules are put together; what is opened last is
 * closed first. Rejects with ConfigError, DatabaseError, MigrationError, LogError or ListenError.
 */
export async function openApp(needs: AppNeeds): Promise<App> {
  await using opened = new AsyncDisposableStack()
  const app = await openParts(needs, opened)
  const parts = opened.move()
  return { ...app, [Symbol.asyncDispose]: () => parts.disposeAsync() }
}

type State = 'starting' | 'running' | 'draining'

/** What every step of the start hands to the next. */
interface Foundation {
  readonly config: Config
  readonly version: string
  readonly metrics: Registry
  readonly observations: ReturnType<typeof createObservations>
  readonly database: Database
  readonly schemas: Schemas
  readonly log: EventLog
  /** Connections for requests. */
  readonly pool: pg.Pool
  /** The logger of a module. */
  module(name: string): Logger
  /** Whether this process has a role. */
  does(role: 'intake' | 'processing' | 'delivery' | 'query' | 'web'): boolean
  state: State
  baseUrl: string
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
  const http = await openHttp(app, { accounts, operations, subscriptions }, opened)
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
  const committed = (records: number, ms: number) => observations.committed(records, ms)
  const log = await openLog({ config, database, schemas, committed, logger: module('log') }, opened)
  // A database elsewhere has a disk that is not ours to measure.
  const ownDisk = database.describe().kind === 'embedded'
  const logBytesMax = ownDisk ? (await measureDisk(config.data)).totalBytes * logDiskRatioMax : undefined
  const retention = await openRetention({
    pool: database.pool('background', { max: poolMax.background }),
    log,
    topics: schemas.topics.map((topic) => topic.name),
    settings: config.retention,
    logger: module('retention'),
    logBytesMax: () => logBytesMax,
  })
  opened.use(retention)
  return {
    ...{ config, version, metrics, observations, database, schemas, log, module },
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
  const { database, log, schemas } = app
  const anyTopic = schemas.topics[0]?.name ?? ''
  // Connections of its own: a database whose answers others wait for is busy, not down.
  const pool = database.pool('watch', { max: poolMax.watch })
  const operations = await openOperations({
    probes: {
      database: () => probe(database, pool),
      log: () => log.bounds(anyTopic).then(() => {}),
      processing: () => checkProcessing(pool),
    },
    backlog: () => readBacklog({ pool, log, topics: schemas.topics.map(({ name }) => name) }),
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
    handlers: handlersOf(config),
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
    topics: app.schemas.topics.map(({ name }) => name),
    settings: app.config.subscriptions,
    metrics: app.metrics,
    logger: app.module('subscriptions'),
  })
  return opened.use(subscriptions)
}

/** A team's own handlers; in demo mode also the one that fails. */
function handlersOf(config: Config): Config['processing']['handlers'] {
  return config.demo ? { ...demoHandlers, ...config.processing.handlers } : config.processing.handlers
}

async function openHttp(
  app: Foundation,
  modules: {
    readonly accounts: Accounts
    readonly operations: Operations
    readonly subscriptions: Subscriptions | undefined
  },
  opened: AsyncDisposableStack,
): Promise<Http> {
  const { config, version } = app
  const http = await createHttp({
    settings: config.http,
    gatekeeper: modules.accounts,
    log: app.module('http'),
    metrics: app.metrics,
    version,
    drainMsMax: config.operations.drainMsMax,
    // Streams must not starve the requests.
    limits: { connectionsMax: httpLimits.connectionsMax + config.delivery.connectionsMax },
  })
  opened.defer(() => http.close())
  await registerRoutes(http, { ...modules, config, version })
  if (app.does('intake')) {
    const intake = openDoor(app, http, modules.operations)
    if (config.demo) opened.use(startDemo({ intake }))
  }
  const query = app.does('query') || modules.subscriptions ? await openQueries(app) : undefined
  if (query && app.does('query')) queryRoutes(http, query)
  if (query && modules.subscriptions)
    openStreams(app, { ...modules, subscriptions: modules.subscriptions, query, http }, opened)
  if (app.does('web')) await dashboard(http, folder('../../web/dist'))
  return http
}

function openDoor(app: Foundation, http: Http, operations: Operations): Intake {
  const { config, log, pool, schemas } = app
  const report = createIntakeReport({ observations: app.observations, log: app.module('intake') })
  const intake = createIntake({
    log,
    pool,
    schemas,
    limits: config.intake,
    idWindowMs: config.retention.idWindowHours * hourMs,
    diskUsedRatio: () => operations.disk()?.usedRatio,
    backlogSeconds: () => operations.backlog()?.seconds,
    draining: () => app.state === 'draining',
    report,
  })
  intakeRoutes(http, { intake, report })
  return intake
}

async function registerRoutes(
  http: Http,
  from: { config: Config; accounts: Accounts; operations: Operations; version: string },
): Promise<void> {
  from.accounts.routes(http)
  operationsRoutes(http, from)
  await docsPage(http)
}

/** Opened after HTTP, so that a stop sends the streams away while other requests are still answered. */
function openStreams(
  app: Foundation,
  from: { accounts: Accounts; subscriptions: Subscriptions; query: Query; http: Http },
  opened: AsyncDisposableStack,
): void {
  const { accounts, subscriptions, query, http } = from
  const topics = app.schemas.topics.map(({ name }) => name)
  const delivery = opened.use(
    openDelivery({
      log: app.log,
      topics,
      subscriptions,
      isLive: (caller) => accounts.isLive(caller),
      settings: app.config.delivery,
      logger: app.module('delivery'),
      metrics: app.metrics,
    }),
  )
  subscriptions.routes(http)
  deliveryRoutes(http, {
    delivery,
    compile: (condition) => subscriptions.compile(condition),
    enforce: treeOf,
    authenticate: (credential, address) => accounts.authenticateCredential(credential, address),
  })
  insightRoutes(http, { log: app.log, delivery, subscriptions, findEvent: (id) => query.life(id) })
  positionRoute(http, { log: app.log, topics })
  // Opened last, so that a stop lets go of webhooks while the streams that feed them still stand.
  const webhooks = opened.use(
    openWebhooks({
      ...{ delivery, log: app.log, topics, version: app.version, metrics: app.metrics },
      pool: app.database.pool('webhooks', { max: poolMax.webhooks }),
      keyOf: (event) => app.schemas.keyOf(event),
      compile: (condition) => subscriptions.compile(condition),
      settings: app.config.webhooks,
      logger: app.module('webhooks'),
    }),
  )
  webhooks.routes(http)
}

async function openQueries(from: Pick<Foundation, 'config' | 'log' | 'pool' | 'schemas'>): Promise<Query> {
  const handlers = new HandlerRegistry(handlersOf(from.config))
  return await openQuery({
    pool: from.pool,
    log: from.log,
    schemas: from.schemas,
    eventTypes: from.config.intake.eventTypes,
    handlerOf: (type) => handlers.find(type).name,
  })
}

async function migrateAll(database: Database, appFolders: readonly string[]): Promise<void> {
  const sets: MigrationSet[] = [
    { namespace: 'log', folders: [folder('../../log/migrations')], schema: 'pulse' },
    { namespace: 'server', folders: [folder('../migrations')], schema: 'pulse' },
    { namespace: 'app', folders: appFolders, schema: 'public' },
  ]
  const client = new pg.Client(database.client('migrate'))
  await client.connect()
  try {
    await migrate(client, sets)
  } finally {
    await client.end()
  }
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

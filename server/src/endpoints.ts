import { fileURLToPath } from 'node:url'
import type { Accounts } from './accounts/accounts.ts'
import { type Delivery, openDelivery } from './delivery/delivery.ts'
import { deliveryRoutes } from './delivery/delivery-routes.ts'
import { insightRoutes } from './delivery/insight-routes.ts'
import { positionRoute } from './delivery/position-route.ts'
import { startDemo } from './demo/demo.ts'
import { type Foundation, hourMs, poolMax } from './foundation.ts'
import { dashboard } from './http/dashboard.ts'
import { createHttp, type Http } from './http/http.ts'
import { httpLimits } from './http/http-server.ts'
import { createIntake, type Intake } from './intake/intake.ts'
import { intakeRoutes } from './intake/intake-routes.ts'
import { createIntakeReport } from './intake/report.ts'
import { type Names, openNames } from './names/names.ts'
import { docsPage } from './operations/docs-page.ts'
import { createMeasuring, measurementRoutes } from './operations/measurement-routes.ts'
import { openMeasurementStream } from './operations/measurement-stream.ts'
import type { Operations } from './operations/operations.ts'
import { operationsRoutes } from './operations/operations-routes.ts'
import { HandlerRegistry } from './processing/handler-registry.ts'
import { openQuery, type Query } from './query/query.ts'
import { queryRoutes } from './query/query-routes.ts'
import { type Subscriptions, treeOf } from './subscriptions/subscriptions.ts'
import { openWebhooks } from './webhooks/webhooks.ts'

export interface EndpointsNeeds {
  readonly accounts: Accounts
  readonly operations: Operations
  /** Undefined where this process delivers nothing. */
  readonly subscriptions: Subscriptions | undefined
}

/**
 * Opens what this process answers by HTTP: the routes of the modules that are there, and those modules that are there to
 * answer only. It does not listen yet. Rejects if a route does not say who may ask it.
 */
export async function openEndpoints(
  app: Foundation,
  needs: EndpointsNeeds,
  opened: AsyncDisposableStack,
): Promise<Http> {
  const { accounts, operations, subscriptions } = needs
  // Closed after HTTP, so that claims under way still learn who else answers from memory.
  const behind = opened.use(new AsyncDisposableStack())
  const http = await openHttp(app, accounts)
  opened.defer(() => http.close())
  accounts.routes(http)
  operationsRoutes(http, { operations, version: app.version })
  let delivery: Delivery | undefined
  let names: Names | undefined
  const measure = createMeasuring({
    ...{ operations, answers: () => http.answers() },
    streams: () => delivery?.streams().length ?? 0,
    names: () => names?.counts(),
  })
  measurementRoutes(http, opened.use(openMeasurementStream({ measure, metrics: app.metrics })))
  await docsPage(http)
  if (app.does('intake')) {
    const intake = openDoor(app, http, operations)
    if (app.config.demo) opened.use(startDemo({ intake }))
  }
  const query = app.does('query') || subscriptions ? await openQueries(app) : undefined
  if (query && app.does('query')) queryRoutes(http, query)
  if (query && subscriptions) delivery = openStreams(app, { accounts, subscriptions, query, http }, opened)
  if (app.does('web')) await dashboard(http, fileURLToPath(new URL('../../web/dist', import.meta.url)))
  // Last, because nobody may be called as an address of ours.
  if (app.does('names')) {
    names = behind.use(await openKeeperOfNames(app, http))
    opened.use(names.routes(http))
  }
  return http
}

function openHttp({ config, version, metrics, module }: Foundation, accounts: Accounts): Promise<Http> {
  return createHttp({
    settings: config.http,
    gatekeeper: accounts,
    log: module('http'),
    metrics,
    version,
    drainMsMax: config.operations.drainMsMax,
    // Streams must not starve the requests.
    limits: { connectionsMax: httpLimits.connectionsMax + config.delivery.connectionsMax },
  })
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

/** Opened after HTTP, so that a stop sends the streams away while other requests are still answered. */
function openStreams(
  app: Foundation,
  from: { accounts: Accounts; subscriptions: Subscriptions; query: Query; http: Http },
  opened: AsyncDisposableStack,
): Delivery {
  const { accounts, subscriptions, query, http } = from
  const { topics } = app
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
  return delivery
}

/** A statement of a claim that takes longer is given up; an import says its own time. */
const nameStatementMsMax = 5_000

async function openKeeperOfNames(app: Foundation, http: Http): Promise<Names> {
  const { config, database, log, metrics } = app
  return await openNames({
    ...{ log, metrics, data: config.data, settings: config.names },
    pool: database.pool('names', { max: poolMax.names, statementMsMax: nameStatementMsMax }),
    connection: () => database.client('names lease'),
    routeWords: firstWords(http),
    logger: app.module('names'),
  })
}

function openQueries({ pool, log, schemas, config, handlers: own }: Foundation): Promise<Query> {
  const handlers = new HandlerRegistry(own)
  return openQuery({
    ...{ pool, log, schemas },
    eventTypes: config.intake.eventTypes,
    handlerOf: (type) => handlers.find(type).name,
  })
}

/** The first words of our own addresses. */
function firstWords(http: Http): readonly string[] {
  const words = http.routeEntries().map(({ url }) => url.split('/')[1] ?? '')
  return [...new Set(words)].filter((word) => /^[\w.-]+$/.test(word))
}

import { randomBytes } from 'node:crypto'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import cors from '@fastify/cors'
import fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type RouteOptions,
} from 'fastify'
import { serializerCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import { type Access, createGuard, type Gatekeeper, settle } from './access.ts'
import { acceptJson, createDecompression } from './bodies.ts'
import { closeGently, SilentConnections } from './closing.ts'
import {
  answerClientError,
  createHttpServer,
  type HttpLimits,
  httpLimits,
  type TlsFiles,
} from './http-server.ts'
import { documentApi } from './openapi.ts'
import { answerError } from './problem-answer.ts'
import { ProblemError } from './problem-error.ts'
import { problemPages } from './problem-pages.ts'
import { publicRoutes } from './public-routes.ts'
import { type Answers, createHttpReport, type HttpReport } from './report.ts'
import { type RouteEntry, RouteTable } from './route-table.ts'
import { securityHeaders } from './security-headers.ts'
import { asksForWebSocket, Upgrades } from './upgrade.ts'
import { compileValidator } from './validation.ts'
import { withoutQuery } from './without-query.ts'

export type { Answers } from './report.ts'

/** The HTTP server of Pulse; routes are registered on it before `listen`. Closing finishes what was begun. */
export type Http = FastifyInstance<
  Server,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>

export interface HttpSettings {
  /** Addresses or CIDR ranges whose `X-Forwarded-…` headers are believed. None: nobody's. */
  readonly trustedProxies: readonly string[]
  /** Exact origins that browsers may call from, without cookies. */
  readonly corsOrigins: readonly string[]
  readonly tls?: TlsFiles | undefined
  /** Where people reach the server, if a proxy stands before it. */
  readonly publicUrl?: string | undefined
  readonly bodyBytesMax: number
}

export interface HttpNeeds {
  readonly settings: HttpSettings
  readonly gatekeeper: Gatekeeper
  readonly log: Logger
  readonly metrics: Registry
  /** Version of the product, for the API's description. */
  readonly version: string
  /** How long closing waits for answers under way before it cuts connections. Default 10 s. */
  readonly drainMsMax?: number
  /** Limits other than `httpLimits`. */
  readonly limits?: Partial<HttpLimits>
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Every route with its access, complete once the server is ready. */
    routeEntries(): readonly RouteEntry[]
    /** How requests were answered since the start. */
    answers(): Answers
    /** Access of routes in this scope that do not say their own: for plugins that register routes themselves. */
    accessDefault: Access | undefined
  }
}

/**
 * Makes the server: guarded routes, problems, limits, security headers, CORS, TLS, the API's description and the
 * problem pages. Throws if a TLS file cannot be read. A route without `config.access`, or a public one that
 * `publicRoutes` does not list, throws where it is registered.
 */
export async function createHttp(needs: HttpNeeds): Promise<Http> {
  const { settings } = needs
  const limits = { ...httpLimits, ...needs.limits }
  const report = createHttpReport(needs)
  const routes = new RouteTable()
  const nextId = createRequestIds()
  const servers = new Set<Server>()
  const silent = new SilentConnections()
  const upgrades: Upgrades = new Upgrades({
    route: (raw, response) => http.routing(raw, response),
    answerMsMax: limits.requestMsMax,
  })
  const headers = securityHeaders(
    settings.tls !== undefined || settings.publicUrl?.startsWith('https:') === true,
  )
  const http: Http = fastify({
    serverFactory: (handler) => {
      const mayUpgrade = (raw: IncomingMessage) =>
        asksForWebSocket(raw) && routes.takesSockets(pathOf(raw.url))
      const server = createHttpServer({ handler, mayUpgrade, tls: settings.tls, limits, report })
      servers.add(server)
      silent.watch(server, settings.tls ? 'secureConnection' : 'connection')
      return server
    },
    genReqId: nextId,
    clientErrorHandler: (error, socket) => answerClientError(error, socket, { requestId: nextId(), report }),
    frameworkErrors: (error, request, reply) => {
      reply.headers(headers).header('x-request-id', request.id)
      answerError(error, request, reply, report)
    },
    trustProxy: settings.trustedProxies.length > 0 ? [...settings.trustedProxies] : false,
    bodyLimit: settings.bodyBytesMax,
    routerOptions: { maxParamLength: limits.paramCharsMax, constraints: { query: withoutQuery } },
    // While closing, requests that still arrive on open connections are served, not dropped; see `closeGently`.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
  }).withTypeProvider<ZodTypeProvider>()
  http.setValidatorCompiler(compileValidator)
  http.setSerializerCompiler(serializerCompiler)
  http.decorate('routeEntries', () => routes.entries)
  http.decorate('answers', () => report.answers())
  http.decorate('accessDefault', undefined)
  http.decorateRequest('caller', undefined)
  http.addHook('onRoute', function onRoute(route) {
    guardRoute(route, {
      inherited: this.accessDefault,
      headers,
      routes,
      report,
      gatekeeper: needs.gatekeeper,
      upgrades,
    })
  })
  http.addHook('preParsing', createDecompression(settings.bodyBytesMax))
  acceptJson(http as unknown as FastifyInstance)
  http.setErrorHandler((error, request, reply) => answerError(error, request, reply, report))
  answerNowhere(http, { headers, routes, gatekeeper: needs.gatekeeper, urlBytesMax: limits.urlBytesMax })
  // Servers for further addresses of `localhost` hand their upgrades on to the first.
  http.server.on('upgrade', (raw, socket, head) => upgrades.begin(raw, socket, head))
  closeGently(http, { servers, upgrades, silent, drainMsMax: needs.drainMsMax ?? 10_000 })
  await allowOrigins(http, settings.corsOrigins)
  await documentApi(http, needs.version)
  problemPages(http)
  return http
}

interface GuardRouteNeeds {
  readonly inherited: Access | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly routes: RouteTable
  readonly report: HttpReport
  readonly gatekeeper: Gatekeeper
  readonly upgrades: Upgrades
}

/**
 * Adds to a route what all have. Hooks of the route itself, rather than of the server, know at registration what the
 * route asks for, so that a request looks nothing up.
 */
function guardRoute(
  route: RouteOptions,
  { inherited, headers, routes, report, gatekeeper, upgrades }: GuardRouteNeeds,
): void {
  const methods = [route.method].flat()
  const { access = inherited, webSocket = false, lateCredential = false } = route.config ?? {}
  if (access === undefined)
    throw new Error(`${methods.join(',')} ${route.url} does not say who may use it (config.access)`)
  if (lateCredential && !webSocket)
    throw new Error(
      `${methods.join(',')} ${route.url} takes a credential later, which only a socket can send`,
    )
  const bare = route.constraints?.query === 'none'
  const limited = access !== 'public' || methods.some((method) => isLimited(method, route.url, bare))
  const guard = createGuard({ access, limited, gatekeeper, late: lateCredential })
  const answered = report.route(methods.join(','), route.url)
  // What only some may read is kept by nobody on the way, nor by a browser after the sign-out. Other methods are not
  // kept anyway.
  const isPrivate = access !== 'public' && methods.some((method) => method === 'GET' || method === 'HEAD')
  const fixed = isPrivate ? { ...headers, 'cache-control': 'no-store' } : headers
  for (const method of methods) routes.add({ method, url: route.url, access, webSocket, withoutQuery: bare })
  route.onRequest = [
    (request, reply, done) => {
      reply.headers(fixed).header('x-request-id', request.id)
      done()
    },
    guard,
    ...[route.onRequest ?? []].flat(),
    // Last: who asks an address of sockets by an ordinary request learns of every refusal that a socket would meet.
    ...(webSocket ? [upgrades.createCheck(() => answered(101))] : []),
  ]
  route.onResponse = [
    (_request, reply, done) => {
      answered(reply.statusCode)
      done()
    },
    ...[route.onResponse ?? []].flat(),
  ]
}

/** Whether a public route counts against its address's budget. Throws for one that the list does not name. */
function isLimited(method: string, url: string, bare: boolean): boolean {
  const name = `${method === 'HEAD' ? 'GET' : method} ${url}${bare ? ' (no query)' : ''}`
  const listed = publicRoutes.find(({ route }) => route === name)
  if (listed === undefined) throw new Error(`${method} ${url} is public but not in the list of public routes`)
  return listed.limited
}

interface NowhereNeeds {
  readonly headers: Readonly<Record<string, string>>
  readonly routes: RouteTable
  readonly gatekeeper: Gatekeeper
  readonly urlBytesMax: number
}

/** Answers requests that lead nowhere: to an address that is too long, or that there is not. */
function answerNowhere(http: Http, { headers, routes, gatekeeper, urlBytesMax }: NowhereNeeds): void {
  const problem = (request: FastifyRequest, reply: FastifyReply): ProblemError => {
    reply.headers(headers).header('x-request-id', request.id)
    // A scanner walks through thousands of addresses; it is a stranger until a route has asked who it is.
    gatekeeper.limit(request, reply, undefined)
    const path = pathOf(request.url)
    const methods = routes.methodsAt(path)
    // A route that finds nothing (a file that is not there) ends here too: its method is not what is wrong.
    if (methods.length === 0 || methods.includes(request.method))
      return new ProblemError('not_found', `There is nothing at ${path.slice(0, 200)}.`)
    const allow = methods.join(', ')
    return new ProblemError('method_not_allowed', `Use ${allow}.`, { headers: { allow } })
  }
  const tooLong = (request: FastifyRequest, reply: FastifyReply): ProblemError => {
    reply.headers(headers).header('x-request-id', request.id)
    gatekeeper.limit(request, reply, undefined)
    const most = urlBytesMax.toLocaleString('en-US')
    return new ProblemError(
      'uri_too_long',
      `The address has ${request.url.length} bytes; ${most} are allowed.`,
    )
  }
  // Before the body is read: a stranger could otherwise have megabytes parsed at any address that does not exist.
  http.addHook('onRequest', (request, reply, done) => {
    // Node counts the address among the headers, which may be longer; it takes only ASCII, so characters are bytes.
    if (request.url.length > urlBytesMax) settle(done, () => fail(tooLong(request, reply)))
    else if (request.is404) settle(done, () => fail(problem(request, reply)))
    else done()
  })
  // A plugin gives up on an address of its own this way, for example on a file that is not there.
  http.setNotFoundHandler((request, reply) => fail(problem(request, reply)))
}

function pathOf(url = ''): string {
  return url.split('?', 1)[0] ?? ''
}

function fail(problem: ProblemError): never {
  throw problem
}

async function allowOrigins(http: Http, origins: readonly string[]): Promise<void> {
  if (origins.length === 0) return
  // The plugin works on the whole server rather than in a scope; its one route, the preflight, is public.
  http.accessDefault = 'public'
  await http.register(cors, {
    origin: [...origins],
    credentials: false,
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    exposedHeaders: [
      'x-request-id',
      'retry-after',
      'ratelimit',
      'ratelimit-policy',
      'idempotency-replayed',
      'location',
    ],
    maxAge: 600,
  })
  http.accessDefault = undefined
}

/** Request ids are unique over restarts and processes by their random beginning, and cheap by their counter. */
function createRequestIds(): () => string {
  const prefix = randomBytes(6).toString('base64url')
  let count = 0
  return () => {
    count += 1
    return `${prefix}-${count.toString(36)}`
  }
}

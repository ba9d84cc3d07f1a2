import { z } from 'zod'
import type { Http } from '../http/http.ts'
import {
  healthSchema,
  historyQuerySchema,
  historySchema,
  liveSchema,
  readySchema,
  rootSchema,
  summarySchema,
} from './answers.ts'
import type { Operations } from './operations.ts'

interface RouteNeeds {
  readonly operations: Operations
  readonly version: string
}

const tags = ['operations']
// A proxy that keeps an answer about health would hide the next one.
const noStore = { 'cache-control': 'no-store' }

function healthRoutes(http: Http, operations: Operations): void {
  http.get('/livez', {
    config: { access: 'public' },
    schema: {
      tags,
      summary: 'The process runs',
      description: 'Touches nothing else: a restart is the only cure when this does not answer.',
      response: { 200: liveSchema },
    },
    handler: async (_request, reply) => reply.headers(noStore).send({ status: 'alive' }),
  })
  http.get('/readyz', {
    config: { access: 'public' },
    schema: {
      tags,
      summary: 'The server can acknowledge events',
      description: '503 while it starts or stops, and while the database or the log does not answer.',
      response: { 200: readySchema, 503: readySchema },
    },
    handler: async (_request, reply) => {
      const readiness = operations.readiness()
      return reply
        .code(readiness.status === 'ready' ? 200 : 503)
        .headers(noStore)
        .send(readiness)
    },
  })
  http.get('/health', {
    config: { access: 'public' },
    schema: {
      tags,
      summary: 'How the server and what it needs are',
      description:
        'From a background probe no older than two seconds. 503 only when the database or the log is down.',
      response: { 200: healthSchema, 503: healthSchema },
    },
    handler: async (_request, reply) => {
      const health = operations.health()
      return reply
        .code(health.status === 'unhealthy' ? 503 : 200)
        .headers(noStore)
        .send(health)
    },
  })
}

function metricsRoutes(http: Http, operations: Operations): void {
  http.get('/metrics', {
    config: { access: 'read:stats' },
    schema: {
      tags,
      summary: 'Everything that is measured, for Prometheus',
      description: 'Text format 0.0.4. docs/operating/metrics.md lists the names.',
      response: { 200: { content: { 'text/plain': { schema: z.string() } } } },
    },
    handler: async (_request, reply) => {
      const { text, contentType } = await operations.scrape()
      return reply.headers(noStore).type(contentType).send(text)
    },
  })
  http.get('/metrics/summary', {
    config: { access: 'read:stats' },
    schema: {
      tags,
      summary: 'The figures of this moment',
      description: 'Counts are of this process since it started; the backlog is of the whole installation.',
      response: { 200: summarySchema },
    },
    handler: async (_request, reply) => reply.headers(noStore).send(operations.summary()),
  })
  http.get('/metrics/history', {
    config: { access: 'read:stats' },
    schema: {
      tags,
      summary: 'The last minutes, second by second',
      querystring: historyQuerySchema,
      response: { 200: historySchema },
    },
    handler: async (request, reply) => {
      const series = operations.history(request.query.seconds)
      return reply.headers(noStore).send({ interval_seconds: 1, series })
    },
  })
}

function rootRoute(http: Http, { operations, version }: RouteNeeds): void {
  http.get('/', {
    config: { access: 'public' },
    schema: {
      tags,
      summary: 'What this is',
      description: 'A browser is sent to the dashboard, everything else gets JSON.',
      response: { 200: rootSchema, 302: z.null().describe('To the dashboard.') },
    },
    handler: async (request, reply) => {
      reply.header('vary', 'Accept')
      if (/\btext\/html\b/i.test(request.headers.accept ?? '')) return reply.redirect('/ui/', 302)
      return reply.send({ service: 'Pulse', version, status: operations.health().status, docs: '/docs' })
    },
  })
}

/** Registers health, metrics and the front page. */
export function operationsRoutes(http: Http, needs: RouteNeeds): void {
  healthRoutes(http, needs.operations)
  metricsRoutes(http, needs.operations)
  rootRoute(http, needs)
}

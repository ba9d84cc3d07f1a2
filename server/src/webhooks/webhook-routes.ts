import { randomUUID } from 'node:crypto'
import { type EventLog, LogError } from '@pulse/log'
import type { Condition } from '@pulse/protocol/filter'
import { subscriberIdSchema } from '@pulse/protocol/filter'
import type { Position } from '@pulse/protocol/position'
import { formatStreamPosition, parseStreamPosition } from '@pulse/protocol/stream-position'
import {
  newWebhookSchema,
  webhookBodySchema,
  webhookChangeSchema,
  webhookSchema,
  webhookTestSchema,
} from '@pulse/protocol/webhook'
import { newWebhookSecret } from '@pulse/protocol/webhook-signature'
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { callerOf, mayReadSubscriber } from '../http/access.ts'
import type { Http } from '../http/http.ts'
import { problemAnswer } from '../http/openapi.ts'
import { ProblemError } from '../http/problem-error.ts'
import type { Tree } from '../subscriptions/tree.ts'
import { faultOfUrl } from './addresses.ts'
import type { WebhookReport } from './report.ts'
import type { Sender } from './sender.ts'
import { sendTest } from './test-event.ts'
import type { WebhookRow, WebhookStore } from './webhook-store.ts'

export interface WebhookRouteNeeds {
  readonly store: WebhookStore
  readonly sender: Sender
  readonly report: WebhookReport
  readonly log: Pick<EventLog, 'bounds'>
  readonly topics: readonly string[]
  readonly compile: (condition: Condition) => Tree
  readonly allowPrivate: boolean
  /** Something was changed: whoever delivers may look at once. */
  readonly changed: () => void
}

const tags = ['webhooks']
const mayRead = ['filters:write', 'stream:read'] as const
const params = z.object({ id: z.uuid() })
const refused = problemAnswer('The filter cannot be taken; the detail says why.')
const missing = problemAnswer('There is no such webhook.')
const away = problemAnswer('The database or the log does not answer.')

/** Registers what makes, shows, changes, deletes and tries webhooks. */
export function webhookRoutes(http: Http, needs: WebhookRouteNeeds): void {
  createRoute(http, needs)
  listRoute(http, needs)
  oneRoutes(http, needs)
  changeRoute(http, needs)
}

function createRoute(http: Http, needs: WebhookRouteNeeds): void {
  http.post('/webhooks', {
    config: { access: 'filters:write' },
    schema: {
      tags,
      summary: 'Send the events of a subscriber to a URL',
      description:
        'Each event is one `POST` of its JSON with its `position`, signed as Standard Webhooks has it; the answer here is the only one ' +
        'that has the secret. Events of one key come in order, each at least once: a repeat has the same `webhook-id`, which is the ' +
        'event_id. A 2xx within the time-out takes an event; anything else is tried again, and given up as a dead letter in the end. ' +
        'It goes on when the credential that made it has ended. Also needs `stream:read`.',
      body: webhookBodySchema,
      response: {
        201: newWebhookSchema,
        409: problemAnswer('The subscriber has as many webhooks as one may have.'),
        422: refused,
        503: away,
      },
    },
    handler: async (request, reply) => {
      const { subscriber_id: subscriber, url, filter = null, position } = request.body
      checkSubscriber(request, subscriber)
      checkStream(request)
      checkUrl(url, needs.allowPrivate)
      if (filter) needs.compile(filter)
      const { kind, id: by, filter: enforced = null } = callerOf(request)
      const secret = newWebhookSecret()
      const row = await needs.store.insert({
        ...{ id: randomUUID(), subscriber, url, secret, filter, enforced },
        position: await beginningOf(needs, position),
        createdBy: `${kind}:${by}`,
      })
      if (!row) throw new ProblemError('conflict', `${subscriber} has as many webhooks as one may have.`)
      told(needs, request, 'created', row)
      return reply.code(201).send({ ...row.shown, secret })
    },
  })
}

function listRoute(http: Http, { store }: WebhookRouteNeeds): void {
  http.get('/webhooks', {
    config: { access: mayRead },
    schema: {
      tags,
      summary: 'Webhooks that the credential may see, oldest first',
      description: 'A page may be shorter than `limit` although there is more; `has_more` tells.',
      querystring: z.strictObject({
        subscriber_id: subscriberIdSchema.optional(),
        cursor: z
          .string()
          .regex(/^\d{1,15}$/)
          .optional(),
        limit: z.coerce.number().int().min(1).max(1_000).default(100),
      }),
      response: {
        200: z.object({ data: z.array(webhookSchema), cursor: z.string().nullable(), has_more: z.boolean() }),
        503: away,
      },
    },
    handler: async (request) => {
      const { subscriber_id: subscriber, cursor, limit } = request.query
      if (subscriber !== undefined) checkSubscriber(request, subscriber)
      const rows = await store.list({ subscriber, after: Number(cursor ?? 0), limit: limit + 1 })
      const page = rows.slice(0, limit)
      const caller = callerOf(request)
      const hasMore = rows.length > limit
      return {
        data: page.filter((row) => mayReadSubscriber(caller, row.subscriber)).map(({ shown }) => shown),
        cursor: hasMore ? String(page.at(-1)?.number) : null,
        has_more: hasMore,
      }
    },
  })
}

function oneRoutes(http: Http, needs: WebhookRouteNeeds): void {
  http.get('/webhooks/:id', {
    config: { access: mayRead },
    schema: {
      tags,
      summary: 'One webhook',
      params,
      response: { 200: webhookSchema, 404: missing, 503: away },
    },
    handler: async (request) => (await find(needs, request, request.params.id)).shown,
  })
  http.delete('/webhooks/:id', {
    config: { access: 'filters:write' },
    schema: {
      tags,
      summary: 'Delete a webhook',
      description:
        'Its dead letters stay, but cannot be redriven. What is on its way may still arrive for two seconds.',
      params,
      response: { 204: z.null().describe('Deleted.'), 404: missing, 503: away },
    },
    handler: async (request, reply) => {
      const row = await find(needs, request, request.params.id)
      if (!(await needs.store.delete(row.id))) throw notFound()
      told(needs, request, 'deleted', row)
      return reply.code(204).send(null)
    },
  })
  http.post('/webhooks/:id/test', {
    config: { access: 'filters:write' },
    schema: {
      tags,
      summary: 'Send one signed event of the type pulse.webhook.test now, and say what came of it',
      params,
      response: { 200: webhookTestSchema, 404: missing, 503: away },
    },
    handler: async (request) => sendTest(needs.sender, await find(needs, request, request.params.id)),
  })
}

function changeRoute(http: Http, needs: WebhookRouteNeeds): void {
  http.patch('/webhooks/:id', {
    config: { access: 'filters:write' },
    schema: {
      tags,
      summary: 'Change, pause or resume a webhook',
      description:
        'Takes effect within two seconds. One that is resumed goes on where it stopped, as far as the log reaches back. Changing what is ' +
        'sent, or where to, also needs `stream:read`.',
      params,
      body: webhookChangeSchema,
      response: { 200: webhookSchema, 404: missing, 422: refused, 503: away },
    },
    handler: async (request) => {
      const { url, filter, status } = request.body
      const row = await find(needs, request, request.params.id)
      const isRedirected = url !== undefined || filter !== undefined
      if (isRedirected) checkStream(request)
      if (url !== undefined) checkUrl(url, needs.allowPrivate)
      if (filter) needs.compile(filter)
      // Whoever may see only some of the events must not lead all of them elsewhere.
      const enforced = isRedirected ? callerOf(request).filter : undefined
      const changed = await needs.store.edit(row.id, { url, filter, status, enforced })
      if (!changed) throw notFound()
      told(needs, request, 'changed', changed)
      return changed.shown
    },
  })
}

function told(
  { report, changed }: WebhookRouteNeeds,
  request: FastifyRequest,
  how: Parameters<WebhookReport['changed']>[0],
  row: WebhookRow,
): void {
  const { kind, id } = callerOf(request)
  report.changed(how, row, `${kind}:${id}`)
  changed()
}

/** Throws ProblemError `not_found`, also for what is another subscriber's: ids tell nothing. */
async function find({ store }: WebhookRouteNeeds, request: FastifyRequest, id: string): Promise<WebhookRow> {
  const row = await store.get(id)
  if (!row || !mayReadSubscriber(callerOf(request), row.subscriber)) throw notFound()
  return row
}

const notFound = () => new ProblemError('not_found', 'There is no such webhook.')

function checkSubscriber(request: FastifyRequest, subscriber: string): void {
  if (!mayReadSubscriber(callerOf(request), subscriber))
    throw new ProblemError('forbidden', `The credential is not for the subscriber ${subscriber}.`)
}

/** A webhook reads a stream: who may not do that must not get at its events this way either. */
function checkStream(request: FastifyRequest): void {
  if (!callerOf(request).scopes.has('stream:read'))
    throw new ProblemError('forbidden', 'The credential lacks the scope stream:read.')
}

function checkUrl(url: string, allowPrivate: boolean): void {
  const fault = faultOfUrl(url, allowPrivate)
  if (fault !== undefined) throw invalid('/url', fault)
}

const invalid = (pointer: string, detail: string) =>
  new ProblemError('invalid_request', `${pointer.slice(1)} ${detail}.`, { errors: [{ pointer, detail }] })

/** Where a webhook begins: at a position that was asked for, else behind everything that is in the log now. */
async function beginningOf({ log, topics }: WebhookRouteNeeds, asked: string | undefined): Promise<string> {
  const bounds = await Promise.all(topics.map((topic) => log.bounds(topic))).catch((cause: unknown) => {
    if (!(cause instanceof LogError)) throw cause
    throw new ProblemError('unavailable', 'The log does not answer.', { retryAfter: 2, cause })
  })
  if (asked !== undefined) {
    const isKnown = ({ topic, offsets }: Position) => {
      const partitions = bounds.find((one) => one.topic === topic)?.partitions
      return (
        partitions !== undefined && [...offsets.keys()].every((partition) => partition < partitions.length)
      )
    }
    if (parseStreamPosition(asked)?.every(isKnown) !== true)
      throw invalid('/position', 'must be a position of a stream of this server')
    return asked
  }
  const positions = bounds.map(({ topic, epoch, partitions }): Position => {
    return { topic, epoch, offsets: new Map(partitions.map(({ partition, end }) => [partition, end])) }
  })
  return formatStreamPosition(positions)
}

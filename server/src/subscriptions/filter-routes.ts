import {
  type Condition,
  type FilterBody,
  type FilterChangeBody,
  filterBodySchema,
  filterChangeSchema,
  filterNameSchema,
  filterSchema,
  subscriberIdSchema,
} from '@pulse/protocol/filter'
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { unlessAway } from '../database/unless-away.ts'
import { callerOf, mayReadSubscriber } from '../http/access.ts'
import type { Http } from '../http/http.ts'
import { problemAnswer } from '../http/openapi.ts'
import { ProblemError } from '../http/problem-error.ts'
import { compile } from './compiling.ts'
import { filterOf } from './filter-answer.ts'
import type { FilterChanges } from './filter-changes.ts'
import type { WantedChange } from './filter-decision.ts'
import { listFilters } from './filter-list.ts'
import type { FilterStore } from './filter-store.ts'
import type { SubscriptionsReport } from './report.ts'

export interface FilterRouteNeeds {
  readonly store: FilterStore
  readonly changes: FilterChanges
  readonly report: SubscriptionsReport
}

/** The name of a filter that nobody has named. */
const defaultName = 'default'

const tags = ['filters']
const mayRead = ['filters:write', 'stream:read'] as const
const refused = problemAnswer(
  'The filter cannot be read, or would be asked of too much; the detail says why.',
)
const missing = problemAnswer('There is no such filter.')
const subscriberParams = z.object({ subscriber_id: subscriberIdSchema })
const filterParams = z.object({ subscriber_id: subscriberIdSchema, name: filterNameSchema })
const createdSchema = filterSchema.extend({ status: z.literal('created') }).meta({ id: 'CreatedFilter' })
const updatedSchema = filterSchema.extend({ status: z.literal('updated') }).meta({ id: 'UpdatedFilter' })

/** Registers what makes, shows, changes and deletes stored filters. */
export function storedFilterRoutes(http: Http, needs: FilterRouteNeeds): void {
  createRoute(http, needs)
  readRoutes(http, needs)
  updateRoutes(http, needs)
  deleteRoute(http, needs)
}

function createRoute(http: Http, needs: FilterRouteNeeds): void {
  http.post('/filters', {
    config: { access: 'filters:write' },
    schema: {
      tags,
      summary: 'Store a filter of a subscriber',
      description:
        'In one of three forms: three simple tests, an EventBridge pattern over any member, or an expression. The answer comes when ' +
        'the whole log knows of the filter; it applies to events from `effective` on.',
      body: filterBodySchema,
      response: {
        200: createdSchema,
        409: problemAnswer('The subscriber has a filter of this name, or as many filters as one may have.'),
        422: refused,
      },
    },
    handler: async (request) => {
      const { subscriber_id, name = defaultName } = request.body
      const filter = await change(needs, request, {
        kind: 'create',
        subscriber: subscriber_id,
        name,
        ...checked(request.body),
      })
      return { status: 'created' as const, ...filterOf(filter) }
    },
  })
}

function readRoutes(http: Http, { store }: FilterRouteNeeds): void {
  http.get('/filters', {
    config: { access: mayRead },
    schema: {
      tags,
      summary: 'Stored filters that the credential may see, by subscriber and name',
      description: 'A page may be shorter than `limit` although there is more; `has_more` tells.',
      querystring: z.strictObject({
        subscriber_id: subscriberIdSchema.optional(),
        cursor: z.string().max(1_000).optional(),
        limit: z.coerce.number().int().min(1).max(1_000).default(100),
      }),
      response: {
        200: z.object({ data: z.array(filterSchema), cursor: z.string().nullable(), has_more: z.boolean() }),
      },
    },
    handler: async (request) => {
      const { subscriber_id } = request.query
      if (subscriber_id !== undefined) checkSubscriber(request, subscriber_id)
      return await listFilters(store, request.query, callerOf(request))
    },
  })
  const get = async (request: FastifyRequest, subscriber: string, name: string) => {
    checkSubscriber(request, subscriber)
    const row = await unlessAway(store.get(subscriber, name))
    if (!row) throw new ProblemError('not_found', 'Filter not found')
    return filterOf(row)
  }
  http.get('/filters/:subscriber_id', {
    config: { access: mayRead },
    schema: {
      tags,
      summary: 'The filter of a subscriber that is called default',
      params: subscriberParams,
      response: { 200: filterSchema, 404: missing },
    },
    handler: async (request) => get(request, request.params.subscriber_id, defaultName),
  })
  http.get('/filters/:subscriber_id/:name', {
    config: { access: mayRead },
    schema: {
      tags,
      summary: 'One filter of a subscriber',
      params: filterParams,
      response: { 200: filterSchema, 404: missing },
    },
    handler: async (request) => get(request, request.params.subscriber_id, request.params.name),
  })
}

function updateRoutes(http: Http, needs: FilterRouteNeeds): void {
  const description =
    'Connected and absent subscribers alike get what the filter lets through from `effective` on, and what the one before ' +
    'lets through until there. `subscriber_id` and `name` in the body are not looked at: the path says them.'
  const update = async (
    request: FastifyRequest<{ Body: FilterChangeBody }>,
    subscriber: string,
    name: string,
  ) => {
    const row = await change(needs, request, { kind: 'update', subscriber, name, ...checked(request.body) })
    return { status: 'updated' as const, ...filterOf(row) }
  }
  http.put('/filters/:subscriber_id', {
    config: { access: 'filters:write' },
    schema: {
      tags,
      summary: 'Change the filter of a subscriber that is called default',
      description,
      params: subscriberParams,
      body: filterChangeSchema,
      response: { 200: updatedSchema, 404: missing, 422: refused },
    },
    handler: async (request) => update(request, request.params.subscriber_id, defaultName),
  })
  http.put('/filters/:subscriber_id/:name', {
    config: { access: 'filters:write' },
    schema: {
      tags,
      summary: 'Change one filter of a subscriber',
      description,
      params: filterParams,
      body: filterChangeSchema,
      response: { 200: updatedSchema, 404: missing, 422: refused },
    },
    handler: async (request) => update(request, request.params.subscriber_id, request.params.name),
  })
}

function deleteRoute(http: Http, needs: FilterRouteNeeds): void {
  http.delete('/filters/:subscriber_id/:name', {
    config: { access: 'filters:write' },
    schema: {
      tags,
      summary: 'Delete one filter of a subscriber',
      description: 'Events that came before are still delivered by it, to whoever resumes from before.',
      params: filterParams,
      response: { 204: z.null().describe('Deleted.'), 404: missing },
    },
    handler: async (request, reply) => {
      const { subscriber_id: subscriber, name } = request.params
      await change(needs, request, { kind: 'delete', subscriber, name })
      return reply.code(204).send(null)
    },
  })
}

async function change({ changes, report }: FilterRouteNeeds, request: FastifyRequest, wanted: WantedChange) {
  checkSubscriber(request, wanted.subscriber)
  const row = await changes.submit(wanted)
  const { kind, id } = callerOf(request)
  report.changed(wanted.kind, row, `${kind}:${id}`)
  return row
}

/** Throws ProblemError `forbidden` if the caller may not touch what is this subscriber's. */
function checkSubscriber(request: FastifyRequest, subscriber: string): void {
  if (!mayReadSubscriber(callerOf(request), subscriber))
    throw new ProblemError('forbidden', `The credential is not for the subscriber ${subscriber}.`)
}

/** What is stored of a body, once it is known to be good. Throws ProblemError `invalid_filter`, `filter_too_wide`. */
function checked(body: FilterBody | FilterChangeBody): { condition: Condition; selective: boolean } {
  const { subscriber_id: _subscriber, name: _name, ...rest } = body
  const condition: Condition = rest
  return { condition, selective: compile(condition).cost.selective }
}

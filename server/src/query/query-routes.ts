import { eventSchema, eventStates } from '@pulse/protocol/event'
import { parseInstant } from '@pulse/protocol/instant'
import { limits } from '@pulse/protocol/limits'
import { problemSchema } from '@pulse/protocol/problem'
import { z } from 'zod'
import type { Http } from '../http/http.ts'
import { ProblemError } from '../http/problem-error.ts'
import { parseCursor } from './cursor.ts'
import type { Query } from './query.ts'

const tags = ['events']
const problem = (description: string) => ({
  description,
  content: { 'application/problem+json': { schema: problemSchema } },
})

const instant = z
  .string()
  .refine((text) => parseInstant(text) !== undefined, 'must be an RFC 3339 date-time with an offset')
  .transform((text) => parseInstant(text) ?? text)
const limit = z.coerce.number().int().min(1).max(limits.pageRowsMax).default(50)
const noNul = (text: string) => !text.includes('\0')
const word = (max: number) => z.string().max(max).refine(noNul, 'must not contain the character NUL')
const listOf = (data: z.ZodType) =>
  z.object({ data: z.array(data), cursor: z.string().nullable(), has_more: z.boolean() })

const errorSchema = z.object({ class: z.string(), message: z.string(), attempts: z.int() })
const listedSchema = eventSchema
  .extend({
    status: z.enum(eventStates),
    received_at: z.string(),
    processed_at: z.string().nullable(),
    enriched: z.record(z.string(), z.unknown()).nullable(),
    position: z.string(),
    error: errorSchema.nullable(),
  })
  .meta({ id: 'ListedEvent' })

const deadLetterSchema = z
  .object({
    id: z.uuid(),
    event_id: z.guid(),
    event_type: z.string(),
    user_id: z.string().nullable(),
    event: eventSchema,
    error: z.object({ class: z.string(), message: z.string() }),
    handler: z.string(),
    attempts: z.int(),
    origin: z.object({ topic: z.string(), partition: z.int(), offset: z.int() }),
    received_at: z.string(),
    failed_at: z.string(),
    state: z.enum(['dead', 'redriven']),
    redriven_at: z.string().nullable(),
  })
  .meta({ id: 'DeadLetter' })

const lifeSchema = z
  .object({
    event: eventSchema,
    status: z.enum(eventStates),
    position: z.string(),
    received_at: z.string(),
    processed_at: z.string().nullable(),
    enriched: z.record(z.string(), z.unknown()).nullable(),
    life: z.array(
      z.object({
        at: z.string(),
        step: z.enum(['received', 'kept', 'parked', 'attempt', 'processed', 'dead', 'redriven', 'dropped']),
        title: z.string(),
        detail: z.string(),
      }),
    ),
    dead_letter: deadLetterSchema.nullable(),
  })
  .meta({ id: 'EventLife' })

const eventTypeSchema = z
  .object({
    name: z.string(),
    topic: z.string(),
    key: z.string(),
    handler: z.string(),
    indexed: z.array(z.string()),
    count_24h: z.int(),
  })
  .meta({ id: 'EventType' })

const eventsQueryShape = {
  event_type: word(limits.eventTypeCharsMax).optional(),
  user_id: word(limits.userIdCharsMax).optional(),
  status: z.enum(eventStates).optional(),
  from: instant.optional().describe('First instant of receipt, inclusive.'),
  to: instant.optional().describe('Instant of receipt before which events end.'),
  cursor: z.string().max(200).optional(),
  limit,
}
// Every other name must be one of properties.NAME; `propertiesOf` reads them.
const eventsQuery = z.looseObject(eventsQueryShape)

const prefix = 'properties.'

function propertiesOf(query: Readonly<Record<string, unknown>>): Map<string, string> {
  const properties = new Map<string, string>()
  for (const [name, value] of Object.entries(query)) {
    if (Object.hasOwn(eventsQueryShape, name)) continue
    if (!name.startsWith(prefix) || name.length === prefix.length || name.includes('\0'))
      throw new ProblemError(
        'invalid_request',
        `There is no parameter ${JSON.stringify(name.slice(0, 100))}.`,
        {
          errors: [
            {
              pointer: `/${name.slice(0, 100)}`,
              detail: 'is not a parameter; properties are named properties.NAME',
            },
          ],
        },
      )
    if (typeof value !== 'string' || value.length > 1_000)
      throw new ProblemError(
        'invalid_request',
        `${name.slice(0, 100)} must be given once, with at most 1,000 characters.`,
      )
    properties.set(name.slice(prefix.length), value)
  }
  if (properties.size > 8)
    throw new ProblemError('query_too_wide', 'At most 8 properties can be asked for at once.')
  return properties
}

/** Registers what reads events and dead letters, and the redrive of one. */
export function queryRoutes(http: Http, query: Query): void {
  eventRoutes(http, query)
  deadLetterRoutes(http, query)
}

function eventRoutes(http: Http, query: Query): void {
  http.get('/events', {
    config: { access: 'events:read' },
    schema: {
      tags,
      summary: 'Events by type, user, state, time of receipt and properties',
      description:
        'Newest first. `properties.NAME=value` needs an event_type and from and to at most 24 hours apart, or a property ' +
        'that the type declares as indexed. A query may take 5 seconds.',
      querystring: eventsQuery,
      response: { 200: listOf(listedSchema), 422: problem('The query would read too much.') },
    },
    handler: async (request) => {
      const { event_type, user_id, status, from, to, cursor, limit } = request.query
      const properties = propertiesOf(request.query)
      return query.list({
        event_type,
        user_id,
        status,
        from,
        to,
        limit,
        properties,
        cursor: parseCursor(cursor),
      })
    },
  })
  http.get('/events/:event_id', {
    config: { access: 'events:read' },
    schema: {
      tags,
      summary: 'The whole life of one event',
      params: z.object({ event_id: z.guid() }),
      response: { 200: lifeSchema, 404: problem('No such event.') },
    },
    handler: async (request) => query.life(request.params.event_id),
  })
  http.get('/event-types', {
    config: { access: 'events:read' },
    schema: {
      tags,
      summary: 'Event types: where they go, who handles them, how many came within 24 hours',
      response: { 200: z.object({ data: z.array(eventTypeSchema) }) },
    },
    handler: async () => ({ data: await query.eventTypes() }),
  })
}

function deadLetterRoutes(http: Http, query: Query): void {
  const id = z.object({ id: z.uuid() })
  http.get('/dead-letters', {
    config: { access: 'events:read' },
    schema: {
      tags: ['dead letters'],
      summary: 'Events that could not be processed, newest first',
      querystring: z.strictObject({
        event_type: word(limits.eventTypeCharsMax).optional(),
        state: z.enum(['dead', 'redriven']).optional(),
        handler: word(200)
          .optional()
          .describe('Name of the handler that failed; `webhook:ID` for what a receiver did not take.'),
        cursor: z.string().max(200).optional(),
        limit,
      }),
      response: { 200: listOf(deadLetterSchema) },
    },
    handler: async (request) => {
      const { cursor, ...filter } = request.query
      return query.deadLetters({ ...filter, cursor: parseCursor(cursor) })
    },
  })
  http.get('/dead-letters/:id', {
    config: { access: 'events:read' },
    schema: {
      tags: ['dead letters'],
      summary: 'One dead letter',
      params: id,
      response: { 200: deadLetterSchema, 404: problem('No such dead letter.') },
    },
    handler: async (request) => query.deadLetter(request.params.id),
  })
  http.post('/dead-letters/:id/redrive', {
    config: { access: 'admin' },
    schema: {
      tags: ['dead letters'],
      summary: 'Send one dead letter back to its handlers',
      params: id,
      response: {
        202: z.object({ id: z.uuid(), event_id: z.guid(), status: z.literal('retrying') }),
        404: problem('No such dead letter.'),
        409: problem('It was redriven already.'),
      },
    },
    handler: async (request, reply) => {
      const moved = await query.redrive(request.params.id)
      return reply.code(202).send({ ...moved, status: 'retrying' as const })
    },
  })
}

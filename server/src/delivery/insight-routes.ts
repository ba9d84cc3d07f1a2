import { hostname } from 'node:os'
import { eventSchema } from '@pulse/protocol/event'
import { subscriberIdSchema } from '@pulse/protocol/filter'
import { z } from 'zod'
import { callerOf, mayReadSubscriber } from '../http/access.ts'
import type { Http } from '../http/http.ts'
import { problemAnswer } from '../http/openapi.ts'
import { ProblemError } from '../http/problem-error.ts'
import { treeOf } from '../subscriptions/subscriptions.ts'
import { type ExplainNeeds, explain } from './explain.ts'
import type { Stream } from './stream.ts'

const server = z
  .string()
  .describe(
    'The server that answers, its machine and process: streams that are open on others are not told of.',
  )

const filterSays = z.object({
  name: z.string(),
  version: z.int(),
  applies: z
    .enum(['yes', 'stored_later', 'changed_before'])
    .describe('Whether this version held where the event stands.'),
  matches: z.boolean(),
  failed: z.array(z.string()).describe('The tests that failed, with what was found.'),
})

const explanationSchema = z
  .object({
    event_id: eventSchema.shape.event_id,
    subscriber: z.string(),
    position: z.string(),
    verdict: z.enum(['matches', 'no_filter', 'filter_stored_later', 'filter_changed', 'does_not_match']),
    answer: z.string().describe('The verdict in a sentence.'),
    replayable: z.boolean().describe('False once retention has taken the event from the log.'),
    filters: z.array(filterSays),
    server,
    streams: z.array(
      z.object({
        session: z.string(),
        transport: z.string(),
        state: z.string(),
        place: z.enum(['passed', 'not_yet']),
      }),
    ),
  })
  .meta({ id: 'Explanation' })

const streamSchema = z
  .object({
    session: z.string(),
    subscriber: z.string().nullable(),
    transport: z.enum(['websocket', 'plain', 'sse', 'webhook']),
    state: z.enum(['quiet', 'waiting', 'replaying', 'live', 'lagging']),
    opened_at: z.iso.datetime(),
    filters: z.array(z.string()),
    position: z.string().nullable(),
    acked: z.string().nullable(),
    behind_events: z.int().describe('Events of any kind between its place and the end of the log.'),
    behind_seconds: z
      .number()
      .nullable()
      .describe(
        'Age of the oldest of them, to the second; null if it is older than what this server remembers, an hour at most.',
      ),
    queued_bytes: z.int(),
    delivered: z.int(),
    gaps: z.int(),
    lagged: z.int().describe('Times that it was too slow for what matches.'),
  })
  .meta({ id: 'Stream' })

/** Streams that one answer lists; narrow it by subscriber. */
const streamsMax = 1_000

/** Registers the questions about streams: who listens on this server, and why somebody got an event or did not. */
export function insightRoutes(http: Http, needs: ExplainNeeds): void {
  const here = `${hostname()}:${process.pid}`
  http.get('/explain', {
    config: { access: 'stream:read' },
    schema: {
      tags: ['streams'],
      summary: 'Why a subscriber got an event, or did not',
      querystring: z.strictObject({
        event: z.guid().describe('The event_id.'),
        subscriber: subscriberIdSchema,
      }),
      response: {
        200: explanationSchema,
        404: problemAnswer('There is no such event.'),
        503: problemAnswer('The database or the log does not answer.'),
      },
    },
    handler: async (request) => {
      const { event, subscriber } = request.query
      const caller = callerOf(request)
      if (!mayReadSubscriber(caller, subscriber))
        throw new ProblemError('forbidden', `The credential may not read the stream of ${subscriber}.`)
      const enforced = caller.filter && treeOf(caller.filter)
      return { ...(await explain(needs, { eventId: event, subscriber, enforced })), server: here }
    },
  })
  http.get('/streams', {
    config: { access: 'stream:read' },
    schema: {
      tags: ['streams'],
      summary: 'Streams that are open on this server',
      description:
        'Each server knows its own: behind a balancer, ask each of them. `server` says which one has answered.',
      querystring: z.strictObject({ subscriber: subscriberIdSchema.optional() }),
      response: {
        200: z.object({ server, data: z.array(streamSchema), cursor: z.null(), has_more: z.boolean() }),
      },
    },
    handler: async (request) => {
      const caller = callerOf(request)
      const { subscriber } = request.query
      const data = needs.delivery
        .streams()
        .filter((stream) => subscriber === undefined || stream.owner === subscriber)
        // A token may open a stream of no subscriber, but those that are open may be anybody's.
        .filter(({ owner }) => owner !== null || caller.kind !== 'token')
        .filter((stream) => mayReadSubscriber(caller, stream.owner ?? undefined))
      const listed = data.slice(0, streamsMax).map(describeStream)
      return { server: here, data: listed, cursor: null, has_more: data.length > streamsMax }
    },
  })
}

function describeStream(stream: Stream): z.infer<typeof streamSchema> {
  const { session } = stream
  const { slots } = session.needs
  const place = stream.place()
  const { kind } = session.state
  const state = session.state.kind === 'read' ? (session.state.live ? 'live' : 'replaying') : kind
  return {
    session: session.needs.id,
    subscriber: stream.owner,
    transport: stream.connection.name,
    state: state === 'read' || state === 'closed' ? 'quiet' : state,
    opened_at: new Date(stream.openedAt).toISOString(),
    filters: session.filters.filter(({ until }) => !until).map(({ name }) => name),
    position: place ? slots.format(place) : null,
    acked: session.acked ? slots.format(session.acked) : null,
    behind_events: stream.behind(),
    behind_seconds: stream.behindSeconds(),
    queued_bytes: session.queuedBytes,
    ...session.counted,
  }
}

import { hostname } from 'node:os'
import { eventSchema } from '@pulse/protocol/event'
import { subscriberIdSchema } from '@pulse/protocol/filter'
import { gapReasons } from '@pulse/protocol/frames'
import { z } from 'zod'
import { type Caller, callerOf, mayReadSubscriber } from '../http/access.ts'
import type { Http } from '../http/http.ts'
import { problemAnswer } from '../http/openapi.ts'
import { ProblemError } from '../http/problem-error.ts'
import { treeOf } from '../subscriptions/subscriptions.ts'
import { type ExplainNeeds, explain } from './explain.ts'
import { transports } from './report.ts'
import type { Stream } from './stream.ts'
import { outcomes, type Tells } from './stream-outcome.ts'

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
  failed: z
    .array(z.string())
    .describe(
      'The tests that failed, with what was found if the credential may read what no stored filter lets through.',
    ),
})

const streamSays = z.object({
  session: z.string(),
  transport: z.enum(transports),
  state: z.string(),
  outcome: z
    .enum(outcomes)
    .describe('What became of the event on this stream: `docs/streams.md` has the words.'),
  reason: z.enum(gapReasons).nullable().describe('Why there was a gap, if it lies in one.'),
  answer: z.string().describe('The outcome in a sentence.'),
  failed: z
    .array(z.string())
    .describe(
      "The tests that failed: of the stream's own filter; of that which its credential enforces, to an operator.",
    ),
})

const explanationSchema = z
  .object({
    event_id: eventSchema.shape.event_id,
    subscriber: z.string(),
    position: z.string(),
    verdict: z.enum(['matches', 'no_filter', 'filter_stored_later', 'filter_changed', 'does_not_match']),
    answer: z.string().describe('The verdict in a sentence.'),
    replayable: z
      .boolean()
      .describe('False once retention has taken the event from the log, or that is another one.'),
    filters: z.array(filterSays),
    server,
    streams: z.array(streamSays),
  })
  .meta({ id: 'Explanation' })

const streamSchema = z
  .object({
    session: z.string(),
    subscriber: z.string().nullable(),
    transport: z.enum(transports),
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
        'Age of the oldest of them, to the second; null if it is older than what this server remembers, half an hour at least.',
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
      const asked = { eventId: event, subscriber, enforced, tells: toldTo(caller) }
      return { ...(await explain(needs, asked)), server: here }
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

/**
 * What an explanation may say to a caller. Who is bound to what stored filters let through is not to read the rest of an
 * event out of the tests that it failed; and what a token enforces is told to operators, not to the bearer of another.
 */
function toldTo(caller: Caller): Tells {
  const values = mayReadSubscriber(caller, undefined)
  return { values, credentials: values && caller.kind !== 'token' }
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

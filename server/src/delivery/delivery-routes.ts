import type { Duplex } from 'node:stream'
import { LogError } from '@pulse/log'
import { closeCodes } from '@pulse/protocol/close-codes'
import { type Condition, subscriberIdSchema } from '@pulse/protocol/filter'
import { frameLimits, subprotocol } from '@pulse/protocol/frames'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type WebSocket, WebSocketServer } from 'ws'
import { z } from 'zod'
import { type Caller, callerOf, mayReadSubscriber } from '../http/access.ts'
import { EventStreamConnection } from '../http/event-stream.ts'
import type { Http } from '../http/http.ts'
import { problemAnswer } from '../http/openapi.ts'
import { ProblemError } from '../http/problem-error.ts'
import { takeUpgrade } from '../http/upgrade.ts'
import type { Tree } from '../subscriptions/tree.ts'
import type { Delivery } from './delivery.ts'
import { createEventStreamEncoding, createPlainEncoding, createV1Encoding } from './encoding.ts'
import { SocketConnection } from './socket-connection.ts'
import { endingOf, SocketSession } from './socket-session.ts'
import type { Stream } from './stream.ts'

export interface DeliveryRoutesNeeds {
  readonly delivery: Delivery
  /** The tree of a filter. Throws ProblemError `invalid_filter` or `filter_too_wide`. */
  readonly compile: (condition: Condition) => Tree
  /** The same of a filter that a credential enforces: with another beside it, it may be as wide as it likes. */
  readonly enforce: (condition: Condition) => Tree
  /** Who a credential stands for that came as a socket's first frame. */
  readonly authenticate: (credential: string, address: string) => Promise<Caller | undefined>
}

/** A side that does not answer a close is cut after this long. */
const closeMsMax = 1_000
const fragmentsMax = 1_000

// Lengths of addresses and headers have lower limits of their own; one that comes through them is not too long.
const position = z
  .string()
  .max(frameLimits.positionCharsMax)
  .optional()
  .describe('Where to go on: the position of the last event taken.')

/** Registers the sockets and event streams of subscribers. */
export function deliveryRoutes(http: Http, needs: DeliveryRoutesNeeds): void {
  const enforcedOf = ({ filter }: Caller): Tree | undefined => filter && needs.enforce(filter)
  socketRoute(http, { ...needs, enforcedOf })
  eventStreamRoute(http, { ...needs, enforcedOf })
}

type Needs = DeliveryRoutesNeeds & { readonly enforcedOf: (caller: Caller) => Tree | undefined }

function socketRoute(http: Http, needs: Needs): void {
  const server = new WebSocketServer({
    ...{ noServer: true, clientTracking: false, perMessageDeflate: false, closeTimeout: closeMsMax },
    ...{ maxPayload: frameLimits.clientFrameBytesMax, maxFragments: fragmentsMax },
    // Without end, because `SocketConnection` counts pings and closes with a code; this limit would cut without a word.
    ...{ maxPendingAutoPongs: 0 },
    handleProtocols: (offered) => (offered.has(subprotocol) ? subprotocol : false),
  })
  const serve = createServe(needs)
  http.get('/ws/:subscriber_id', {
    config: { access: 'stream:read', ticket: true, webSocket: true, lateCredential: true },
    schema: {
      tags: ['streams'],
      summary: 'Open a socket of a subscriber',
      description: `A WebSocket. With the subprotocol \`${subprotocol}\` it speaks frames; without one it gets each event as one JSON message with its \`position\`.`,
      params: z.object({ subscriber_id: subscriberIdSchema }),
      querystring: z.strictObject({ position, ticket: z.string().optional() }),
    },
    onRequest: async ({ caller, params: { subscriber_id: subscriber } }) => {
      if (caller && !mayReadSubscriber(caller, subscriber)) throw notAllowed(subscriber)
    },
    handler: (request, reply) => {
      const { subscriber_id: subscriber } = request.params
      const { caller } = request
      const upgrade = takeUpgrade(request, reply)
      if (!upgrade) return
      const { position } = request.query
      const from = { subscriber, caller, position, address: request.ip, socket: upgrade.socket }
      server.handleUpgrade(request.raw, upgrade.socket, upgrade.head, (webSocket) => serve(webSocket, from))
    },
  })
}

/** What is left of a request once it has become a socket: the request itself is as large as all of it together. */
interface SocketOrigin {
  readonly subscriber: string
  readonly caller: Caller | undefined
  readonly position: string | undefined
  readonly address: string
  readonly socket: Duplex
}

/** Makes what takes a socket that was opened. */
function createServe(needs: Needs): (webSocket: WebSocket, from: SocketOrigin) => void {
  const encodings = { v1: createV1Encoding(), plain: createPlainEncoding() }
  return (webSocket, { subscriber, caller, position, address, socket }) => {
    const isPlain = webSocket.protocol !== subprotocol
    const connection = new SocketConnection(isPlain ? 'plain' : 'websocket', webSocket, socket)
    const parts = { subscriber, caller, webSocket, connection }
    if (isPlain) startPlain({ ...needs, ...parts, position, encoding: encodings.plain })
    else new SocketSession({ ...needs, ...parts, address, encoding: encodings.v1 }).start()
  }
}

const notAllowed = (subscriber: string | undefined) =>
  new ProblemError(
    'forbidden',
    subscriber === undefined
      ? 'The credential may only read the streams of some subscribers: name one of them.'
      : `The credential may not read the stream of ${subscriber}.`,
  )

interface PlainNeeds extends Needs {
  readonly subscriber: string
  readonly caller: Caller | undefined
  readonly webSocket: WebSocket
  readonly connection: SocketConnection
  readonly position: string | undefined
  readonly encoding: ReturnType<typeof createPlainEncoding>
}

/** A socket without a subprotocol: what it sends is not read, and what cannot be said in events is said by closing. */
function startPlain(plain: PlainNeeds): void {
  const { webSocket, connection, caller } = plain
  let stream: Stream | undefined
  let isGone = false
  webSocket.on('error', () => {}) // the close that follows it tells
  webSocket.on('close', (code) => {
    isGone = true
    stream?.end(code, '')
  })
  const end = (code: number, reason: string) =>
    stream ? stream.end(code, reason) : connection.close(code, reason)
  if (!caller) {
    end(closeCodes.unauthenticated, 'a plain socket needs a credential in its request')
    return
  }
  const open = async (): Promise<void> => {
    const enforced = plain.enforcedOf(caller)
    stream = await plain.delivery.open({
      ...{ subscriber: plain.subscriber, caller, connection, encoding: plain.encoding },
      ...(enforced && { enforced }),
    })
    if (!stream) return end(closeCodes.too_many, 'too many streams')
    if (isGone) return stream.end(closeCodes.done, 'gone')
    const begun = await stream.begin(plain.position, { strict: true })
    if (begun === 'invalid') end(closeCodes.invalid_frame, 'that is no position of a stream')
    if (begun === 'gone')
      end(closeCodes.position_gone, 'the position cannot be resumed; come back without it')
    if (begun === 'no_filter') end(closeCodes.no_filter, `${plain.subscriber} has no filter`)
  }
  open().catch((error: unknown) => {
    const { name, reason } = endingOf(error)
    end(closeCodes[name], reason)
  })
}

function eventStreamRoute(http: Http, needs: Needs): void {
  const encoding = createEventStreamEncoding()
  http.get('/stream', {
    // To HEAD it would be a stream all the same, whose head is never sent.
    exposeHeadRoute: false,
    config: { access: 'stream:read', ticket: true },
    schema: {
      tags: ['streams'],
      summary: 'Follow a subscriber or a filter as server-sent events',
      description:
        'With exactly one of `subscriber` and `filter`; without any parameter it is the public stream of measurements. Every event has its position as `id`, so a browser that comes back resumes ' +
        'by itself. `checkpoint`, `gap` and `lagging` come as named events, and `close` as the last one: it says whether to come back.',
      // The one document of this address speaks for the public stream of measurements too.
      security: [{ bearer: [] }, { session: [] }, {}],
      querystring: z.strictObject({
        subscriber: subscriberIdSchema.optional(),
        filter: z.string().min(1).max(4_096).optional().describe('An expression, `event_type = "purchase"`.'),
        position,
        ticket: z.string().optional(),
      }),
      headers: z.object({ 'last-event-id': position }).loose(),
      response: {
        200: {
          description: 'The stream.',
          content: { 'text/event-stream': { schema: z.string() } },
        },
        404: problemAnswer('The subscriber has no filter.'),
        422: problemAnswer('The filter cannot be taken.'),
        429: problemAnswer('There are too many streams.'),
        503: problemAnswer('The database or the log does not answer.'),
      },
    },
    handler: (request, reply) => follow(request, reply, { ...needs, encoding, ...wanted(request) }),
  })
}

interface Wanted {
  readonly subscriber: string | null
  readonly filter: string | undefined
  readonly from: string | undefined
}

function wanted(request: FastifyRequest): Wanted {
  const query = request.query as { subscriber?: string; filter?: string; position?: string }
  if ((query.subscriber === undefined) === (query.filter === undefined))
    throw new ProblemError('invalid_request', 'Name exactly one of subscriber and filter.')
  const last = request.headers['last-event-id']
  // A browser that comes back says where it was; that is later than what its address says.
  const from = (typeof last === 'string' && last !== '' ? last : undefined) ?? query.position
  return { subscriber: query.subscriber ?? null, filter: query.filter, from }
}

async function follow(
  request: FastifyRequest,
  reply: FastifyReply,
  needs: Needs & Wanted & { readonly encoding: ReturnType<typeof createEventStreamEncoding> },
): Promise<void> {
  const caller = callerOf(request)
  const { subscriber } = needs
  if (!mayReadSubscriber(caller, subscriber ?? undefined)) throw notAllowed(subscriber ?? undefined)
  const own = needs.filter === undefined ? undefined : needs.compile({ expression: needs.filter })
  const enforced = needs.enforcedOf(caller)
  const connection = new EventStreamConnection(reply.raw, reply.getHeaders())
  const stream = await needs.delivery
    .open({
      ...{ subscriber, caller, connection, encoding: needs.encoding },
      ...(enforced && { enforced }),
    })
    .catch((error: unknown) => {
      throw asProblem(error)
    })
  if (!stream) throw new ProblemError('rate_limited', 'There are too many streams.', { retryAfter: 5 })
  request.raw.once('close', () => stream.end(closeCodes.done, ''))
  // Gone while the feed was opened: what tells of it was told already.
  if (reply.raw.destroyed) stream.end(closeCodes.done, '')
  const begun = await stream.begin(needs.from, { ...(own && { own }) }).catch((error: unknown) => {
    stream.end(closeCodes.internal, '')
    throw asProblem(error)
  })
  if (begun === 'begun') {
    reply.hijack()
    connection.start()
    return
  }
  stream.end(closeCodes.done, '')
  if (begun === 'no_filter') throw new ProblemError('not_found', 'Filter not found')
  if (begun === 'ended')
    throw new ProblemError('unavailable', 'The stream has ended before it began.', { retryAfter: 1 })
  throw new ProblemError('invalid_request', 'That is no position of a stream.')
}

/** A log that does not answer now is no mistake of ours: the reader is asked to come back. */
function asProblem(error: unknown): unknown {
  if (!(error instanceof LogError)) return error
  return new ProblemError('unavailable', 'The log does not answer.', { retryAfter: 2, cause: error })
}

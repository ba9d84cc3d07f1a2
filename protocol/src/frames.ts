import { z } from 'zod'
import { eventSchema } from './event.ts'
import { conditionSchema } from './filter.ts'

/**
 * The frames of the WebSocket subprotocol `pulse.v1`, one JSON object per message.
 *
 * After `hello` nothing is delivered until the client sends `subscribe` (from now on) or `resume` (from a position).
 * Both are answered by a `checkpoint`, or by a `gap` if the position cannot be honoured, which says where the stream
 * begins. Then every offset of every partition is accounted for: a client keeps, per partition, the highest offset that
 * it was told of (by an event, or one below what a checkpoint or gap says), and an event's `previous`, a checkpoint's too,
 * never lies beyond that. If it does, something was missed, and the client knows it.
 */
export const subprotocol = 'pulse.v1'

export const frameLimits = {
  /** Bytes of a frame that a client may send. */
  clientFrameBytesMax: 65_536,
  /** Characters of a position: one of 1,024 partitions with offsets of 15 digits has 22,000. */
  positionCharsMax: 32_768,
  /** A client that has sent no credential within this time is closed. */
  authMsMax: 5_000,
  heartbeatMs: 25_000,
  /** A stream in which nothing matches is told this often how far it has come. */
  checkpointMs: 5_000,
} as const

/** What happens to a subscription whose reader is too slow for what matches. */
export const slowPolicies = ['replay', 'conflate', 'drop-oldest', 'close'] as const
export type SlowPolicy = (typeof slowPolicies)[number]

const offset = z.int().min(0)

const deliveryMembers = {
  topic: z.string(),
  partition: offset,
  offset,
  previous: z.int().min(-1).describe('The highest offset of the partition that was told before.'),
  matched: z.array(z.string()).describe('Names of the filters that match.'),
  event: eventSchema,
}

export const deliverySchema = z.object(deliveryMembers)

/** Why events between two positions will not come. */
export const gapReasons = ['retention', 'epoch', 'dropped', 'corrupt'] as const
export type GapReason = (typeof gapReasons)[number]

export const serverFrameSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('hello'),
    session: z.string(),
    subscriber: z.string().nullable(),
    filters: z.array(z.string()),
    position: z.string().describe('Where the stream stands now.'),
    /** `deferred`: the log cannot refuse repeats, so an event may come twice; the SDK drops the second. */
    dedupe: z.enum(['exact', 'deferred']),
    heartbeat_ms: z.int(),
  }),
  z.object({ type: z.literal('event'), ...deliveryMembers }),
  z.object({ type: z.literal('batch'), events: z.array(deliverySchema) }),
  z.object({
    type: z.literal('gap'),
    from: z.string().describe('Position from which events are missing.'),
    to: z.string().describe('Position from which the stream goes on.'),
    reason: z.enum(gapReasons),
  }),
  z.object({
    type: z.literal('checkpoint'),
    position: z.string().describe('Everything below it that matches was delivered.'),
    previous: z
      .string()
      .optional()
      .describe('Up to where was told before; a client that was told less has missed something.'),
    /** That of the ping which asked for it. */
    id: z.string().optional(),
  }),
  z.object({
    type: z.literal('lagging'),
    position: z.string().describe('What was queued from here on was let go and is read from the log again.'),
  }),
  /** Answers a ping before `subscribe` or `resume`; behind those a checkpoint does. */
  z.object({ type: z.literal('pong'), id: z.string().optional() }),
  z.object({ type: z.literal('reconnect'), after_ms: z.int(), reason: z.enum(['draining']) }),
  z.object({ type: z.literal('error'), code: z.string(), detail: z.string() }),
])
export type ServerFrame = z.infer<typeof serverFrameSchema>
export type Delivery = z.infer<typeof deliverySchema>

const streamMembers = {
  filter: conditionSchema.optional().describe('A filter of this connection, beside those that are stored.'),
  slow: z.enum(slowPolicies).optional(),
  /** JSON Pointer into the event; of queued events with the same value only the latest is kept. */
  conflate_by: z.string().startsWith('/').max(256).optional(),
}

const position = z.string().max(frameLimits.positionCharsMax)

export const clientFrameSchema = z.discriminatedUnion('type', [
  /** For clients that cannot send headers: an API key or token, as the first frame of a socket without a credential. */
  z.strictObject({ type: z.literal('auth'), credential: z.string().max(8_192) }),
  z.strictObject({ type: z.literal('subscribe'), ...streamMembers }),
  z.strictObject({ type: z.literal('resume'), position, ...streamMembers }),
  z.strictObject({ type: z.literal('ack'), position }),
  z.strictObject({ type: z.literal('filter'), filter: conditionSchema.nullable() }),
  z.strictObject({ type: z.literal('ping'), id: z.string().max(100).optional() }),
])
export type ClientFrame = z.infer<typeof clientFrameSchema>

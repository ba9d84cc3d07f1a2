import { z } from 'zod'
import { type Instant, parseInstant } from './instant.ts'
import { limits } from './limits.ts'
import { wording } from './wording.ts'

/** What an event type may be called: words joined by dots, so that `order.*` can name a family. */
export const eventTypePattern = /^[A-Za-z0-9][A-Za-z0-9_.:-]*$/

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

const told = { error: wording }

/** An event as a client submits it. Depth, size and count are checked beside it: see `limits`. */
export const submittedEventSchema = z
  .strictObject({
    event_id: z
      .string(told)
      .regex(uuid, 'must be a UUID')
      .optional()
      .describe('UUID. Made by the server when absent; sending one makes the request safe to repeat.'),
    event_type: z
      .string(told)
      .min(1, told)
      .max(limits.eventTypeCharsMax, told)
      .regex(eventTypePattern, 'must be letters, digits and . _ : -')
      .describe('What happened, for example `purchase` or `order.created`.'),
    user_id: z
      .string(told)
      .max(limits.userIdCharsMax, told)
      .nullish()
      .describe('Who it is about. Order is kept per user by default.'),
    timestamp: z
      .string(told)
      .refine((text) => parseInstant(text) !== undefined, 'must be an RFC 3339 date-time with an offset')
      .optional()
      .describe(
        'When it happened, RFC 3339 with any offset; kept as an instant with microseconds. Default: now.',
      ),
    properties: z
      .custom<Record<string, unknown>>(isObject, 'must be an object')
      .optional()
      .describe('Anything else, as a JSON object.'),
    source: z
      .string(told)
      .min(1, told)
      .max(limits.sourceCharsMax, told)
      .nullish()
      .describe('Which system sent it.'),
    schema_version: z
      .int(told)
      .min(1, told)
      .max(2_147_483_647, told)
      .optional()
      .describe('Version of the type, default 1.'),
  })
  .meta({ id: 'SubmittedEvent' })

/** An event as a client submits it, checked. */
export type SubmittedEvent = z.infer<typeof submittedEventSchema>

/** An event as Pulse keeps and delivers it: every member is there. */
export interface Event {
  readonly event_id: string
  readonly event_type: string
  readonly user_id: string | null
  readonly timestamp: Instant
  readonly properties: Readonly<Record<string, unknown>>
  readonly source: string | null
  readonly schema_version: number
}

/** The same as a schema, for answers. */
export const eventSchema = z
  .object({
    // Any 128 bits in the form of a UUID are taken, so `z.uuid()`, which asks for a version, would refuse some on their way out.
    event_id: z.guid(),
    event_type: z.string(),
    user_id: z.string().nullable(),
    timestamp: z.iso.datetime(),
    properties: z.record(z.string(), z.unknown()),
    source: z.string().nullable(),
    schema_version: z.int(),
  })
  .meta({ id: 'Event' })

/** Where an event is in its life. */
export const eventStates = ['accepted', 'retrying', 'processed', 'dead', 'dropped'] as const
export type EventState = (typeof eventStates)[number]

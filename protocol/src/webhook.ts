import { z } from 'zod'
import { conditionSchema, subscriberIdSchema } from './filter.ts'
import { gapReasons } from './frames.ts'

/** Characters of the address that events go to. */
export const webhookUrlCharsMax = 2_048

/** The address that events go to; the server says in its own words what is wrong with one that it does not take. */
const url = z
  .string()
  .min(1)
  .max(webhookUrlCharsMax)
  .describe(
    'Where each event is sent with POST. `https`, and of the public internet unless the server allows others.',
  )

const filter = conditionSchema
  .nullable()
  .describe('What is delivered. Null: what the stored filters of the subscriber let through.')

const position = z
  .string()
  .min(1)
  .max(4_096)
  .describe('Position of a stream: everything below is dealt with.')

/** Body of `POST /webhooks`. */
export const webhookBodySchema = z
  .strictObject({
    subscriber_id: subscriberIdSchema,
    url,
    filter: filter.optional(),
    position: position.optional().describe('Where to begin; default: with what comes from now on.'),
  })
  .meta({
    id: 'WebhookBody',
    examples: [
      { subscriber_id: 'user_1', url: 'https://hooks.example.com/pulse' },
      {
        subscriber_id: 'user_1',
        url: 'https://hooks.example.com/orders',
        filter: { expression: 'event_type = "order.*" and properties.amount > 100' },
      },
    ],
  })
export type WebhookBody = z.infer<typeof webhookBodySchema>

/** Body of `PATCH /webhooks/{id}`: what is named is changed. */
export const webhookChangeSchema = z
  .strictObject({
    url: url.optional(),
    filter: filter.optional(),
    status: z
      .enum(['active', 'paused'])
      .optional()
      .describe('Paused: nothing is sent, and nothing is lost for as long as the log keeps it.'),
  })
  .meta({ id: 'WebhookChange', examples: [{ status: 'paused' }] })
export type WebhookChange = z.infer<typeof webhookChangeSchema>

/** A webhook without its secret. */
export const webhookSchema = z
  .object({
    id: z.uuid(),
    subscriber_id: z.string(),
    url: z.string(),
    filter,
    status: z
      .enum(['active', 'paused', 'failing'])
      .describe('Failing: the last attempts failed; it goes on trying.'),
    reason: z.string().nullable().describe('Why it is paused or failing.'),
    position,
    delivered: z.int().describe('Events that the receiver has taken.'),
    given_up: z.int().describe('Events that became dead letters.'),
    failures: z.int().describe('Attempts that failed since the last success.'),
    waiting_since: z.iso
      .datetime()
      .nullable()
      .describe(
        'When the oldest event was received that was read for it and is not dealt with yet: so far it is behind. Null when none waits.',
      ),
    parked: z
      .int()
      .describe(
        'Events that wait behind one of their key which the receiver does not take, while it takes others.',
      ),
    gaps: z.int().describe('Times that events could not be sent any more; `reason` in `last_gap` says why.'),
    last_gap: z
      .object({
        from: z.string().describe('Position from which events were never sent.'),
        to: z.string().describe('Position from which it went on.'),
        reason: z.enum(gapReasons),
        told: z
          .enum(['not_yet', 'yes', 'never'])
          .describe('Whether the receiver has taken the message of it; never: it was given up.'),
      })
      .nullable(),
    last_gap_at: z.iso.datetime().nullable(),
    last_success_at: z.iso.datetime().nullable(),
    last_failure_at: z.iso.datetime().nullable(),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
  })
  .meta({ id: 'Webhook' })
export type Webhook = z.infer<typeof webhookSchema>

/** A webhook that was just made: the only answer that has the secret. */
export const newWebhookSchema = webhookSchema
  .extend({ secret: z.string().describe('Signs every request, `whsec_…`. Shown this once.') })
  .meta({ id: 'NewWebhook' })
export type NewWebhook = z.infer<typeof newWebhookSchema>

/** What one request of `POST /webhooks/{id}/test` came to. */
export const webhookTestSchema = z
  .object({
    delivered: z.boolean(),
    status: z.int().nullable().describe('Status of the answer; null if there was none.'),
    error: z.string().nullable(),
    duration_ms: z.number(),
  })
  .meta({ id: 'WebhookTest' })
export type WebhookTest = z.infer<typeof webhookTestSchema>

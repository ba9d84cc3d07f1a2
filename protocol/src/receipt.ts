import { z } from 'zod'

/**
 * What an acknowledgement promises to survive.
 * `disk`: kill -9 and power loss. `replicas:N`: the loss of N-1 machines. `unsynced`: neither; only by setting.
 */
export const durabilitySchema = z.union([
  z.literal('disk'),
  z.literal('unsynced'),
  z.string().regex(/^replicas:\d+$/),
])
export type Durability = 'disk' | 'unsynced' | `replicas:${number}`

/**
 * Proof that one event was kept. The same event sent again within `dedupe_until` gets the same receipt, or, where
 * `dedupe` says `deferred`, another one for the same single effect.
 */
export const receiptSchema = z
  .object({
    id: z.string().describe('Names this receipt.'),
    event_id: z.guid(),
    position: z.string().describe('Where the event stands in the log. Opaque.'),
    durability: durabilitySchema,
    received_at: z.iso.datetime(),
    sha256: z.string().describe('SHA-256 of the event as submitted, as canonical JSON (RFC 8785 key order).'),
    dedupe_until: z.iso.datetime().describe('Until then the same event_id is recognised.'),
    dedupe: z
      .literal('deferred')
      .optional()
      .describe(
        'The log cannot look for repeats while it appends: sent again, the event gets a receipt of its own, and has one effect.',
      ),
  })
  .meta({ id: 'Receipt' })
export interface Receipt {
  readonly id: string
  readonly event_id: string
  readonly position: string
  readonly durability: Durability
  readonly received_at: string
  readonly sha256: string
  readonly dedupe_until: string
  readonly dedupe?: 'deferred'
}

/** Answer to one accepted event. */
export const acceptedSchema = z
  .object({
    event_id: z.guid(),
    status: z.literal('accepted'),
    message: z.literal('Event accepted for processing'),
    received_at: z.iso.datetime(),
    receipt: receiptSchema,
  })
  .meta({ id: 'Accepted' })

/** One member of a validation problem: where (JSON Pointer into what was sent) and what is wrong there. */
export const invalidMemberSchema = z.object({ pointer: z.string(), detail: z.string() })
export type InvalidMember = z.infer<typeof invalidMemberSchema>

/**
 * Verdict on one event of a batch, in the order of the request.
 * `accepted` and `duplicate` carry the receipt; `conflict`: the id is taken by another body; `invalid`: never
 * send it again unchanged; `throttled`: send it again after `retry_after` seconds; `retry`: its fate is not
 * known or the server could not, send it again now.
 */
export const batchItemSchema = z
  .discriminatedUnion('status', [
    z.object({ status: z.literal('accepted'), event_id: z.guid(), receipt: receiptSchema }),
    z.object({ status: z.literal('duplicate'), event_id: z.guid(), receipt: receiptSchema }),
    z.object({ status: z.literal('conflict'), event_id: z.guid(), detail: z.string() }),
    z.object({
      status: z.literal('invalid'),
      event_id: z.string().nullable(),
      errors: z.array(invalidMemberSchema),
    }),
    z.object({ status: z.literal('throttled'), event_id: z.string().nullable(), retry_after: z.number() }),
    z.object({ status: z.literal('retry'), event_id: z.string().nullable(), detail: z.string() }),
  ])
  .meta({ id: 'BatchItem' })
export type BatchItem = z.infer<typeof batchItemSchema>

/** Answer to a batch. */
export const batchResultSchema = z
  .object({
    accepted: z.int(),
    duplicates: z.int(),
    rejected: z.int().describe('conflict, invalid, throttled and retry together'),
    results: z.array(batchItemSchema),
  })
  .meta({ id: 'BatchResult' })
export type BatchResult = z.infer<typeof batchResultSchema>

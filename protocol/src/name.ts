import { z } from 'zod'

const nameCharsMax = 1_024

/** A name as somebody types it; longer ones are refused by rules with a reason, this only bounds the request. */
export const typedNameSchema = z.string().max(nameCharsMax)

/** Answer to one check. `source` is there when the database was asked. */
export const nameCheckSchema = z
  .object({
    available: z.boolean(),
    username: z.string().describe('The name as it was asked for, without the white space around it.'),
    source: z.enum(['PostgreSQL', 'Bloom Filter (False Positive Resolved)']).optional(),
  })
  .meta({ id: 'NameCheck' })
export type NameCheck = z.infer<typeof nameCheckSchema>

/** One of many checks: a name that is not valid says why instead of failing the others. */
export const nameVerdictSchema = nameCheckSchema
  .extend({ reason: z.string().optional().describe('Why it is not a valid name.') })
  .meta({ id: 'NameVerdict' })

export const claimNameSchema = z
  .strictObject({
    username: typedNameSchema,
    owner: z
      .string()
      .min(1)
      .max(255)
      .refine((text) => !text.includes('\0'), 'must not contain the character NUL')
      .optional()
      .describe('Whom the name is for, in your own terms.'),
  })
  .meta({ id: 'ClaimName', examples: [{ username: 'ada.lovelace', owner: 'user_42' }] })

export const claimedNameSchema = z
  .object({ username: z.string(), claimed_at: z.iso.datetime() })
  .meta({ id: 'ClaimedName' })

/** Most names in one batch check, and in one request of an import. */
export const namesMax = { check: 1_000, import: 50_000 } as const

export const nameImportSchema = z
  .object({
    added: z.int(),
    present: z.int().describe('Names that were taken before, or stood in the request twice.'),
    refused: z
      .array(
        z.object({
          index: z.int().describe('Place in the request, from 0.'),
          username: z.string(),
          reason: z.string(),
        }),
      )
      .describe('Names that are not valid, or kept back.'),
  })
  .meta({ id: 'NameImport' })

export const nameStatsSchema = z
  .object({
    profile: z.enum(['username', 'exact']),
    certain: z.boolean().describe('Whether free names are answered from memory.'),
    generation: z.int(),
    rebuilding: z.boolean(),
    names_estimated: z.int(),
    capacity: z.int(),
    fill: z.number().describe('Names as part of the capacity; at 0.7 a new filter is made.'),
    bits: z.int(),
    bits_set_ratio: z.number(),
    false_positive_rate: z.object({ expected: z.number(), measured: z.number().nullable() }),
    lag: z.int().describe('Hashes of claims in the log that are not applied here.'),
    servers: z.int().describe('Servers that answer from memory, this one included if it does.'),
  })
  .meta({ id: 'NameStats' })
export type NameStats = z.infer<typeof nameStatsSchema>

import { z } from 'zod'

/** Limits of what a filter may be called. What it may be made of is the server's: see `filterLimits`. */
export const filterNameLimits = { subscriberCharsMax: 100, nameCharsMax: 100, listMax: 1_000 } as const

/** Visible characters, no slash and no white space, so that a name can stand in a path. */
const namePattern = /^[^\s/?#\p{C}]+$/u

export const subscriberIdSchema = z
  .string()
  .min(1)
  .max(filterNameLimits.subscriberCharsMax)
  .regex(namePattern, 'must not hold white space, control characters, / ? or #')
  .describe('Who subscribes, for example `user_1`.')

export const filterNameSchema = z
  .string()
  .min(1)
  .max(filterNameLimits.nameCharsMax)
  .regex(namePattern, 'must not hold white space, control characters, / ? or #')
  .describe('One of the filters of a subscriber; `default` when absent.')

const simpleMembers = {
  event_types: z
    .array(z.string().min(1).max(256))
    .max(filterNameLimits.listMax)
    .describe('Types that match, exactly and case-sensitively. An empty list matches nothing.'),
  user_tiers: z
    .array(z.string().min(1).max(256))
    .max(filterNameLimits.listMax)
    .nullish()
    .describe('Values of `properties.user_tier` that match; null or empty: any.'),
  min_amount: z
    .number()
    .nullish()
    .describe('Least value of `properties.amount`; an event without one counts as 0. Null or 0: any.'),
}

/** The original's form of a filter: three tests that must all hold. */
export const simpleFilterSchema = z.strictObject(simpleMembers).meta({ id: 'SimpleFilter' })
export type SimpleFilter = z.infer<typeof simpleFilterSchema>

const pattern = z
  .record(z.string(), z.unknown())
  .describe('An EventBridge pattern over the event, for example `{"event_type": ["purchase"]}`.')

const expression = z
  .string()
  .min(1)
  .describe('A condition for people: `event_type = "order.*" and properties.amount > 100`.')

/** What is said where it cannot be told which form was meant. */
const oneForm = {
  error:
    'must say what matches in exactly one form: expression, pattern, or event_types (with user_tiers and min_amount)',
}

/** What a filter asks for, in one of three forms. */
export const conditionSchema = z.union(
  [simpleFilterSchema, z.strictObject({ pattern }), z.strictObject({ expression })],
  oneForm,
)
export type Condition = z.infer<typeof conditionSchema>

const owner = { subscriber_id: subscriberIdSchema, name: filterNameSchema.optional() }

/** Body of `POST /filters`. */
export const filterBodySchema = z
  .union(
    [
      z.strictObject({ ...owner, ...simpleMembers }),
      z.strictObject({ ...owner, pattern }),
      z.strictObject({ ...owner, expression }),
    ],
    oneForm,
  )
  .meta({
    id: 'FilterBody',
    examples: [
      { subscriber_id: 'user_1', event_types: ['purchase'], user_tiers: ['premium'], min_amount: 100 },
      {
        subscriber_id: 'user_1',
        name: 'orders',
        expression: 'event_type = "order.*" and properties.amount > 100',
      },
      { subscriber_id: 'user_1', name: 'late', pattern: { properties: { delay: [{ numeric: ['>', 60] }] } } },
    ],
  })
export type FilterBody = z.infer<typeof filterBodySchema>

const changed = { subscriber_id: subscriberIdSchema.optional(), name: filterNameSchema.optional() }

/** Body of `PUT`: the path says whose filter it is and how it is called; the members that say so too are not looked at. */
export const filterChangeSchema = z
  .union(
    [
      z.strictObject({ ...changed, ...simpleMembers }),
      z.strictObject({ ...changed, pattern }),
      z.strictObject({ ...changed, expression }),
    ],
    oneForm,
  )
  .meta({ id: 'FilterChange' })
export type FilterChangeBody = z.infer<typeof filterChangeSchema>

/** A stored filter in every form that can say it. */
export const filterSchema = z
  .object({
    subscriber_id: z.string(),
    name: z.string(),
    event_types: z.array(z.string()).optional(),
    user_tiers: z.array(z.string()).nullable().optional(),
    min_amount: z.number().nullable().optional(),
    pattern: z.record(z.string(), z.unknown()).nullable().describe('Null where no pattern can say it.'),
    expression: z.string(),
    version: z.int().describe('Rises with every change.'),
    effective: z
      .string()
      .nullable()
      .describe('Position of the stream from which this version applies; null while it is being made known.'),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
  })
  .meta({ id: 'Filter' })
export type Filter = z.infer<typeof filterSchema>

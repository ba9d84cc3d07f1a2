import { eventSchema } from '@pulse/protocol/event'
import { conditionSchema, filterSchema } from '@pulse/protocol/filter'
import { instantOf, microsOf, parseInstant } from '@pulse/protocol/instant'
import { limits as wireLimits } from '@pulse/protocol/limits'
import { z } from 'zod'
import { callerOf, mayReadSubscriber } from '../http/access.ts'
import type { Http } from '../http/http.ts'
import { problemAnswer } from '../http/openapi.ts'
import { ProblemError } from '../http/problem-error.ts'
import { compile, read } from './compiling.ts'
import { formsOf } from './filter-answer.ts'
import type { FilterStore } from './filter-store.ts'
import type { FilterTrials, TrialResult } from './filter-trial.ts'
import type { Tree } from './tree.ts'

export interface TrialRouteNeeds {
  readonly store: FilterStore
  readonly trials: FilterTrials
  /** Stored filters that may be asked of every event. */
  readonly unselectiveMax: number
}

const minuteMicros = 60_000_000
const hourMicros = 60 * minuteMicros

const instant = z
  .string()
  .refine((text) => parseInstant(text) !== undefined, 'must be an RFC 3339 date-time with an offset')

const trialSchema = z
  .strictObject({
    condition: conditionSchema,
    from: instant.optional().describe('First instant of receipt to look at.'),
    to: instant.optional().describe('Instant of receipt before which it ends; now when absent.'),
    last_minutes: z
      .int()
      .min(1)
      .max(525_600)
      .optional()
      .describe('In the place of `from`: so long before `to`. 60 when both are absent.'),
    event_types: z
      .array(z.string().min(1).max(wireLimits.eventTypeCharsMax))
      .max(100)
      .optional()
      .describe('Look at events of these types only.'),
    limit: z.int().min(1).max(100).default(20).describe('How many events are shown, the newest ones.'),
  })
  .refine(({ from, last_minutes }) => from === undefined || last_minutes === undefined, {
    path: ['last_minutes'],
    message: 'must not be given together with from',
  })
  .meta({
    id: 'FilterTrial',
    examples: [
      { condition: { expression: 'event_type = "order.*" and properties.amount > 100' }, last_minutes: 60 },
    ],
  })
type TrialBody = z.infer<typeof trialSchema>

const { event_types, user_tiers, min_amount, pattern, expression } = filterSchema.shape
const costSchema = z.object({
  selective: z.boolean().describe('False: it has to be asked of every event.'),
  clauses: z.int().describe('Alternatives that it is made of.'),
  reason: z.string().describe('What its cost comes from.'),
})
const resultSchema = z
  .object({
    ...{ event_types, user_tiers, min_amount, pattern, expression },
    matched: z.int().describe('Events that it would have let through.'),
    per_hour: z.number().describe('The same as a rate over what was looked at.'),
    sample: z.array(z.object({ event: eventSchema, position: z.string(), received_at: z.string() })),
    looked: z.object({
      from: z.iso.datetime().describe('Everything from here on was looked at.'),
      to: z.iso.datetime(),
      records: z.int(),
      stopped_by: z
        .enum(['time', 'records', 'log'])
        .nullable()
        .describe('Why it did not look back further; null: it looked at all that was asked for.'),
    }),
    cost: costSchema.nullable().describe('Null if it has too many alternatives to be counted.'),
    refused: z
      .object({ code: z.string(), detail: z.string() })
      .nullable()
      .describe('The problem that storing it would be answered with.'),
  })
  .meta({ id: 'FilterTrialResult' })

/** Registers the trial of a filter on what the log holds of the recent past. */
export function trialRoute(http: Http, needs: TrialRouteNeeds): void {
  http.post('/filters/test', {
    // It shows events, so it takes what reading events takes.
    config: { access: ['stream:read', 'events:read'] },
    schema: {
      tags: ['filters'],
      summary: 'Try a filter on recent events',
      description:
        'Looks back from `to` for at most 5 seconds and 200,000 events, and says how far it came. Nothing is stored. The filter of a ' +
        'token holds here too.',
      body: trialSchema,
      response: { 200: resultSchema, 422: problemAnswer('The filter cannot be read.') },
    },
    handler: async (request) => {
      const caller = callerOf(request)
      if (!mayReadSubscriber(caller, undefined))
        throw new ProblemError('forbidden', 'The credential is for the streams of certain subscribers only.')
      const { condition, limit } = request.body
      const own = read(condition, '/condition')
      const tree: Tree = caller.filter ? { kind: 'all', of: [own, read(caller.filter)] } : own
      const { from, to } = spanOf(request.body)
      const types = request.body.event_types
      const eventTypes = types && new Set(types)
      const result = await needs.trials.run({ tree, from, to, eventTypes, sampleMax: limit })
      return { ...formsOf(condition, own), ...shown(result, to), ...(await judged(needs, request.body)) }
    },
  })
}

function spanOf(body: TrialBody): { from: number; to: number } {
  const to = body.to === undefined ? Date.now() * 1_000 : microsOf(parsed(body.to))
  const from =
    body.from === undefined ? to - (body.last_minutes ?? 60) * minuteMicros : microsOf(parsed(body.from))
  if (from < to) return { from: Math.max(0, from), to }
  throw new ProblemError('invalid_request', 'The body is not valid: /from must lie before /to.', {
    errors: [{ pointer: '/from', detail: 'must lie before /to' }],
  })
}

const parsed = (text: string) => parseInstant(text) ?? instantOf(0)

function shown({ matched, sample, records, lookedFrom, stoppedBy, spanMicros }: TrialResult, to: number) {
  return {
    matched,
    // A burst within a second is not told as millions an hour.
    per_hour: matched / (Math.max(spanMicros, 1_000_000) / hourMicros),
    sample: sample.map(({ event, position, receivedAt }) => ({
      event,
      position,
      received_at: instantOf(receivedAt),
    })),
    looked: { from: instantOf(lookedFrom), to: instantOf(to), records, stopped_by: stoppedBy },
  }
}

/** What the filter costs, and whether it would be stored. */
async function judged({ store, unselectiveMax }: TrialRouteNeeds, { condition }: TrialBody) {
  try {
    const { cost } = compile(condition, '/condition')
    const isRefused = !cost.selective && (await store.unselective()) >= unselectiveMax
    return { cost, refused: isRefused ? { code: 'filter_too_wide', detail: cost.reason } : null }
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error
    return { cost: null, refused: { code: error.code, detail: error.message } }
  }
}

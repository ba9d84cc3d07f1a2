import { z } from 'zod'
import { historyColumns, historySecondsMax } from './history.ts'

/** Shapes of what the operations routes answer. Figures are of this process unless they say otherwise. */

const upOrDown = z.enum(['up', 'down'])

export const liveSchema = z.object({ status: z.literal('alive') }).meta({ id: 'Alive' })

export const readySchema = z
  .object({
    status: z.enum(['ready', 'not_ready']),
    failing: z.array(z.string()).describe('Names of the parts because of which nothing can be acknowledged.'),
  })
  .meta({ id: 'Readiness', example: { status: 'ready', failing: [] } })

export const healthSchema = z
  .object({
    status: z
      .enum(['healthy', 'degraded', 'unhealthy'])
      .describe(
        '`unhealthy`: database or log down. `degraded`: something else is down, or the server starts or stops.',
      ),
    timestamp: z.iso.datetime(),
    version: z.string(),
    database: z.boolean().describe('True while the database answers.'),
    services: z.record(z.string(), upOrDown),
  })
  .meta({
    id: 'Health',
    example: {
      status: 'healthy',
      timestamp: '2026-03-01T12:00:00.000Z',
      version: '0.1.0',
      database: true,
      services: { database: 'up', log: 'up' },
    },
  })

const percentilesSchema = z
  .object({ p50: z.number().nullable(), p95: z.number().nullable(), p99: z.number().nullable() })
  .describe('Milliseconds over the last 60 seconds; null if there was none.')

export const summarySchema = z
  .object({
    queue_length: z
      .int()
      .nullable()
      .describe('Backlog of the whole installation in events; null before it was measured.'),
    pending_messages: z.int().nullable().describe('Events that wait for another attempt.'),
    timestamp: z.iso.datetime(),
    received: z.int().describe('Events kept for the first time since `started_at`.'),
    processed: z.int(),
    failed: z.int().describe('Events that became dead letters.'),
    duplicates: z.int(),
    rejected: z.int(),
    dropped: z.int(),
    retried: z.int().describe('Attempts that failed and were or will be made again.'),
    backlog: z.object({
      events: z.int().nullable(),
      seconds: z.number().nullable().describe('How long the oldest waiting event has waited.'),
      measured_at: z.iso
        .datetime()
        .nullable()
        .describe('When that was true; about a second ago if all is well.'),
    }),
    rates: z
      .object({ received_per_second: z.number(), processed_per_second: z.number() })
      .describe('Mean of the last 10 seconds.'),
    ack_ms: percentilesSchema,
    processing_ms: percentilesSchema,
    uptime_seconds: z.number(),
    started_at: z.iso.datetime(),
    event_loop_p99_ms: z.number().describe('Worst one-second p99 of the last 10 seconds.'),
    memory_bytes: z.int(),
    disk: z
      .object({ used_ratio: z.number(), free_bytes: z.number() })
      .nullable()
      .describe('The disk of the data folder.'),
  })
  .meta({ id: 'MetricsSummary' })

export const historyQuerySchema = z.object({
  seconds: z.coerce
    .number()
    .int()
    .min(1)
    .max(historySecondsMax)
    .default(600)
    .describe('How far back, at most 900.'),
})

const columnSchema = z.array(z.number().nullable())
const columns = Object.fromEntries(historyColumns.map((name) => [name, columnSchema])) as Record<
  (typeof historyColumns)[number],
  typeof columnSchema
>

export const historySchema = z
  .object({
    interval_seconds: z.literal(1),
    series: z
      .object({ at: z.array(z.int()).describe('Unix seconds, oldest first.'), ...columns })
      .describe('Columns of equal length; null where nothing was measured.'),
  })
  .meta({ id: 'MetricsHistory' })

export const rootSchema = z
  .object({
    service: z.literal('Pulse'),
    version: z.string(),
    status: z.string(),
    docs: z.literal('/docs'),
  })
  .meta({ id: 'Root' })

export type Summary = z.infer<typeof summarySchema>
export type Health = z.infer<typeof healthSchema>
export type Readiness = z.infer<typeof readySchema>

import type { EventLog } from '@pulse/log'
import { daysBefore, dropPartition, ensureDays } from '@pulse/log/postgres/day-partitions'
import type pg from 'pg'
import type { Logger } from 'pino'

const hourMs = 3_600_000
const dayMs = 24 * hourMs

/** Part of its disk that the log of our own database may take before its oldest days go early. */
export const logDiskRatioMax = 0.5

export interface RetentionNeeds {
  readonly pool: pg.Pool
  readonly log: EventLog
  readonly topics: readonly string[]
  readonly settings: {
    readonly logHours: number
    readonly rowDays: number
    readonly deadLetterDays: number
    readonly idWindowHours: number
  }
  readonly logger: Logger
  /** Bytes that the log may take; undefined for any. The day that is being written stays whatever it takes. */
  readonly logBytesMax?: () => number | undefined
  /** Unix time in milliseconds; default the clock. */
  readonly now?: () => number
}

/** Forgets what is old and makes room for the days to come. */
export interface Retention extends AsyncDisposable {
  /** One round now: what was forgotten, in rows, days and offsets. */
  run(): Promise<RetentionResult>
}

export interface RetentionResult {
  readonly daysDropped: readonly string[]
  readonly deadLettersDeleted: number
  readonly offsetsTrimmed: number
}

/**
 * Makes the day partitions of rows, at once, and runs one round of retention every hour. Several servers may do so
 * at once. The log is never trimmed beyond the lowest stored offset of any group. Rejects with PostgreSQL's error.
 */
export async function openRetention(needs: RetentionNeeds): Promise<Retention> {
  await withClient(needs.pool, (client) => ensureDays(client, 'events'))
  let running: Promise<unknown> | undefined
  const timer = setInterval(() => {
    running = runOnce(needs).catch((error: unknown) =>
      needs.logger.error({ err: error }, 'retention failed; the next round tries again'),
    )
  }, hourMs)
  timer.unref()
  return {
    run: () => runOnce(needs),
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer)
      await running
    },
  }
}

async function runOnce(needs: RetentionNeeds): Promise<RetentionResult> {
  const { settings, logger } = needs
  const now = (needs.now ?? Date.now)()
  const result = await withClient(needs.pool, async (client) => {
    await ensureDays(client, 'events')
    const daysDropped = await dropOldDays(client, now - settings.rowDays * dayMs)
    const lettersBefore = [(now - settings.deadLetterDays * dayMs) / 1000]
    const letters = await client.query(
      'delete from dead_letters where failed_at < to_timestamp($1)',
      lettersBefore,
    )
    await client.query(
      'delete from webhook_dead_letters where failed_at < to_timestamp($1) and not waiting',
      lettersBefore,
    )
    await client.query('delete from idempotency_keys where created_at < to_timestamp($1)', [
      (now - settings.idWindowHours * hourMs) / 1000,
    ])
    return { daysDropped, deadLettersDeleted: letters.rowCount ?? 0 }
  })
  const tooLargeBefore = await withClient(needs.pool, (client) => startBySize(client, needs.logBytesMax?.()))
  const since = Math.max(now - settings.logHours * hourMs, tooLargeBefore)
  let offsetsTrimmed = 0
  for (const topic of needs.topics) offsetsTrimmed += await trimTopic(needs, topic, since * 1000)
  logger.info({ ...result, offsetsTrimmed }, 'retention has run')
  return { ...result, offsetsTrimmed }
}

async function dropOldDays(client: pg.ClientBase, before: number): Promise<string[]> {
  const days = await daysBefore(client, 'events', before)
  for (const day of days) await dropPartition(client, 'events', day)
  return days
}

/** The instant (ms) before which days must go so that the log takes no more than this; 0 if it does not. */
async function startBySize(client: pg.ClientBase, bytesMax: number | undefined): Promise<number> {
  if (bytesMax === undefined) return 0
  const { rows } = await client.query<{ day: string; bytes: string }>(
    `select right(c.relname, 8) as day, pg_total_relation_size(c.oid) as bytes from pg_inherits i
     join pg_class c on c.oid = i.inhrelid where i.inhparent = to_regclass('log_batches') order by c.relname`,
  )
  let bytes = rows.reduce((sum, row) => sum + Number(row.bytes), 0)
  let start = 0
  for (const row of rows) {
    const day = Date.parse(`${row.day.slice(0, 4)}-${row.day.slice(4, 6)}-${row.day.slice(6)}T00:00:00Z`)
    if (bytes <= bytesMax || day + dayMs > Date.now()) break
    bytes -= Number(row.bytes)
    start = day + dayMs
  }
  return start
}

async function trimTopic(needs: RetentionNeeds, topic: string, since: number): Promise<number> {
  const { partitions } = await needs.log.bounds(topic, since)
  const { rows } = await needs.pool.query<{ partition: number; lowest: string }>(
    'select partition, min(next_offset) as lowest from log_group_partitions where topic = $1 group by partition',
    [topic],
  )
  const lowest = new Map(rows.map((row) => [row.partition, Number(row.lowest)]))
  const below = new Map<number, number>()
  for (const { partition, start, since: old } of partitions) {
    const upTo = Math.min(old, lowest.get(partition) ?? old)
    if (upTo > start) below.set(partition, upTo)
  }
  if (below.size === 0) return 0
  await needs.log.trim(topic, below)
  return partitions.reduce(
    (sum, { partition, start }) => sum + Math.max(0, (below.get(partition) ?? start) - start),
    0,
  )
}

async function withClient<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  try {
    return await work(client)
  } finally {
    client.release()
  }
}

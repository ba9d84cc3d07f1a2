import { type EventLog, LogError } from '@pulse/log'
import type pg from 'pg'
import { ask } from '../database/ask.ts'
import { processingGroup } from './processing.ts'

interface Backlog {
  readonly events: number
  readonly seconds: number
  readonly parked: number
}

interface BacklogNeeds {
  readonly pool: pg.Pool
  readonly log: EventLog
  /** Those of events: what other topics carry waits for nobody here. */
  readonly topics: readonly string[]
}

/** What is younger than this is not asked for its age, for which an engine elsewhere has to be read. */
const youngMs = 1_000
const ageReadMsMax = 2_000

/**
 * What is accepted and not processed yet, over all servers: events, the age of the oldest in seconds, and those that
 * are parked. Meant for once a second: two statements on indexes, or where the log is no table of ours, its bounds;
 * ages below a second are then 0. Throws LogError `unavailable` if the database or the log does not answer.
 */
export async function readBacklog(needs: BacklogNeeds): Promise<Backlog> {
  return needs.log.can.driver === 'postgres' ? backlogOfTables(needs) : backlogOfBounds(needs)
}

async function backlogOfTables({ pool, topics }: BacklogNeeds): Promise<Backlog> {
  const { rows } = await ask<{ events: string; seconds: number; parked: string }>(
    pool,
    `with waiting as (
       select t.id, h.partition, h.next_offset - coalesce(g.next_offset, h.start_offset) as events,
         coalesce(g.next_offset, h.start_offset) as at
       from log_heads h join log_topics t on t.id = h.topic
       left join log_group_partitions g on g.group_name = $1 and g.topic = t.name and g.partition = h.partition
       where t.name = any($2)
     )
     select coalesce(sum(events), 0) as events,
       coalesce(extract(epoch from clock_timestamp() - min(
         (select b.appended_at from log_batches b
          where b.topic = w.id and b.partition = w.partition and b.last_offset >= w.at order by b.last_offset limit 1)
       )), 0)::float8 as seconds,
       (select count(*) from retries) as parked
     from waiting w where events > 0`,
    [processingGroup, topics],
  )
  const row = rows[0]
  return {
    events: Number(row?.events ?? 0),
    seconds: Math.max(0, row?.seconds ?? 0),
    parked: Number(row?.parked ?? 0),
  }
}

async function backlogOfBounds({ pool, log, topics }: BacklogNeeds): Promise<Backlog> {
  const { rows } = await ask<{ topic: string; partition: number; next_offset: string }>(
    pool,
    'select topic, partition, next_offset from log_group_partitions where group_name = $1',
    [processingGroup],
  )
  const stored = new Map(rows.map((row) => [`${row.topic}/${row.partition}`, Number(row.next_offset)]))
  const parked = await ask<{ count: string }>(pool, 'select count(*) from retries')
  const nowMs = Date.now()
  let events = 0
  let oldestMs = nowMs
  for (const topic of topics) {
    const old = new Map<number, number>()
    const { partitions } = await log.bounds(topic, (nowMs - youngMs) * 1000)
    for (const { partition, start, end, since } of partitions) {
      const next = Math.max(start, stored.get(`${topic}/${partition}`) ?? start)
      events += Math.max(0, end - next)
      if (next < since) old.set(partition, next)
    }
    if (old.size > 0) oldestMs = Math.min(oldestMs, await appendedAtMs(log, topic, old))
  }
  const seconds = Math.max(0, nowMs - oldestMs) / 1000
  return { events, seconds, parked: Number(parked.rows[0]?.count ?? 0) }
}

/** When the oldest of the records at these offsets was appended, as far as the log tells within its time. */
async function appendedAtMs(
  log: EventLog,
  topic: string,
  offsets: ReadonlyMap<number, number>,
): Promise<number> {
  const missing = new Set(offsets.keys())
  let oldest = Number.POSITIVE_INFINITY
  try {
    for await (const batch of log.read({ topic, offsets }, AbortSignal.timeout(ageReadMsMax))) {
      if (missing.delete(batch.partition)) oldest = Math.min(oldest, batch.appendedAt / 1000)
      if (missing.size === 0) break
    }
  } catch (error) {
    // Trimmed or damaged: the partition is stopped for it, and that is told elsewhere.
    if (!(error instanceof LogError) || error.retryable) throw error
  }
  return oldest
}

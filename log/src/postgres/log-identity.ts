import type pg from 'pg'
import { inTransaction } from './transaction.ts'

/**
 * Gives the topics a new epoch if the database has begun another life since the log was last opened: another
 * cluster (a logical restore), or another timeline (a point-in-time restore, a promoted replica). What was
 * acknowledged last may be missing then and its offsets are handed out again, so positions that clients hold must be
 * refused instead of pointing at other events. Offsets of groups were restored with the log they stand in, so they
 * move into the new epoch with it. True if the epoch has changed. Rejects with PostgreSQL's error.
 */
export async function renewEpochAfterRestore(client: pg.Client): Promise<boolean> {
  // Looked at first without the lock: a start in the same life waits for nobody.
  if ((await identityOf(client)).same === true) return false
  return inTransaction(client, async () => {
    await client.query(`select pg_advisory_xact_lock(hashtextextended('pulse.log.identity', 0))`)
    const now = await identityOf(client)
    if (now.same === true) return false
    await client.query(
      `insert into log_identity (system_identifier, timeline) values ($1, $2)
       on conflict (only_row) do update set system_identifier = excluded.system_identifier, timeline = excluded.timeline`,
      [now.system, now.timeline],
    )
    if (now.same === false) await renewEpochs(client)
    return now.same === false
  })
}

interface Identity {
  readonly system: string
  readonly timeline: number
  /** As when the log was last opened; null if it never was. */
  readonly same: boolean | null
}

async function identityOf(client: pg.Client): Promise<Identity> {
  const { rows } = await client.query<Identity>(
    `select s.system_identifier::text as system, c.timeline_id as timeline,
       (select i.system_identifier = s.system_identifier::text and i.timeline = c.timeline_id from log_identity i) as same
     from pg_control_system() s, pg_control_checkpoint() c`,
  )
  return rows[0] as Identity
}

async function renewEpochs(client: pg.Client): Promise<void> {
  await client.query(
    'update log_topics set epoch = greatest(epoch + 1, (extract(epoch from clock_timestamp()) * 1000)::bigint)',
  )
  await client.query(
    `update log_group_partitions g set log_epoch = t.epoch
     from log_topics t join log_heads h on h.topic = t.id
     where t.name = g.topic and h.partition = g.partition and g.next_offset <= h.next_offset`,
  )
}

import type pg from 'pg'
import { inTransaction } from './transaction.ts'

/**
 * Gives the topics a new epoch if the database has begun another life since it was last asked: another
 * cluster (a logical restore), or another timeline (a point-in-time restore, a promoted replica). What was
 * acknowledged last may be missing then and its offsets are handed out again, so positions that clients hold must be
 * refused instead of pointing at other events. Offsets of groups were restored with the log they stand in, so they
 * move into the new epoch with it. Returns a name of the life it is in. Rejects with PostgreSQL's error, as on a standby.
 */
export async function renewEpochAfterRestore(client: pg.Client): Promise<string> {
  // Looked at first without the lock: whoever connects in the same life waits for nobody.
  const seen = await identityOf(client)
  if (seen.same !== true) await renew(client)
  return `${seen.system}/${seen.timeline}`
}

async function renew(client: pg.Client): Promise<void> {
  await inTransaction(client, async () => {
    await client.query(`select pg_advisory_xact_lock(hashtextextended('pulse.log.identity', 0))`)
    const now = await identityOf(client)
    if (now.same === true) return
    await client.query(
      `insert into log_identity (system_identifier, timeline) values ($1, $2)
       on conflict (only_row) do update set system_identifier = excluded.system_identifier, timeline = excluded.timeline`,
      [now.system, now.timeline],
    )
    if (now.same === false) await renewEpochs(client)
  })
}

interface Identity {
  readonly system: string
  readonly timeline: number
  /** As when the log was last opened; null if it never was. */
  readonly same: boolean | null
}

// The timeline is that of the WAL being written: pg_control_checkpoint() goes on naming the one before until the first
// checkpoint after a promotion, which may take minutes. On a standby, which writes none, it is an error.
async function identityOf(client: pg.Client): Promise<Identity> {
  const { rows } = await client.query<Identity>(
    `select now.system, now.timeline,
       (select i.system_identifier = now.system and i.timeline = now.timeline from log_identity i) as same
     from (
       select system_identifier::text as system,
         ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int as timeline
       from pg_control_system()
     ) now`,
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

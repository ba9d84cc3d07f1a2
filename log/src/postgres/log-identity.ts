import type pg from 'pg'

/**
 * Gives the topics a new epoch if the database has begun another life since the log was last opened: another
 * cluster (a logical restore), or another timeline (a point-in-time restore, a promoted replica). What was
 * acknowledged last may be missing then and its offsets are handed out again, so positions that clients hold must be
 * refused instead of pointing at other events. Offsets of groups were restored with the log they stand in, so they
 * move into the new epoch with it. True if the epoch has changed. Rejects with PostgreSQL's error.
 */
export async function renewEpochAfterRestore(client: pg.Client): Promise<boolean> {
  await client.query('begin')
  try {
    await client.query(`select pg_advisory_xact_lock(hashtextextended('pulse.log.identity', 0))`)
    const { rows } = await client.query<{ system: string; timeline: number; same: boolean | null }>(
      `select s.system_identifier::text as system, c.timeline_id as timeline,
         (select i.system_identifier = s.system_identifier::text and i.timeline = c.timeline_id from log_identity i) as same
       from pg_control_system() s, pg_control_checkpoint() c`,
    )
    const now = rows[0]
    if (!now || now.same === true) {
      await client.query('commit')
      return false
    }
    await client.query(
      `insert into log_identity (system_identifier, timeline) values ($1, $2)
       on conflict (only_row) do update set system_identifier = excluded.system_identifier, timeline = excluded.timeline`,
      [now.system, now.timeline],
    )
    const changed = now.same === false
    if (changed) await renewEpochs(client)
    await client.query('commit')
    return changed
  } catch (error) {
    await client.query('rollback').catch(() => {})
    throw error
  }
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

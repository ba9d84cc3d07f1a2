import type pg from 'pg'
import { ask, inTime } from '../database/ask.ts'

/** Whose names these are, and what made their keys. */
export interface NameSet {
  readonly id: string
  /** Version of Unicode that made the keys, if any has. */
  readonly unicode: string | null
  /** Which database they are in, see `databaseSql`. */
  readonly database: string
}

/**
 * A text that is another one where the names may be other names than they were: in another cluster (a logical restore), on
 * another timeline (a restore to a point in time, a replica that was promoted), in another database, or another table.
 */
export const databaseSql = `(select concat_ws('/', s.system_identifier, left(pg_walfile_name(pg_current_wal_lsn()), 8), d.oid,
  pg_relation_filenode('names')) from pg_control_system() s, pg_database d where d.datname = current_database())`

/**
 * Binds the names to the profile that makes their keys, unless another one has made some. It only reads where nothing
 * changes: a server that hangs with a lock on the row must not hold up the start of others. A server with the other profile
 * that still runs is refused by each of its statements from then on, and gets no lease. Rejects as NameStore does.
 */
export async function bindNames(pool: pg.Pool, profile: string): Promise<NameSet | { boundTo: string }> {
  const found = await readSet(pool)
  if (found.profile === profile) return found
  if (found.profile !== null && !(await bindAnew(pool, profile))) return { boundTo: found.profile }
  if (found.profile === null)
    await ask(pool, 'update name_set set profile = $1 where profile is null', [profile])
  const bound = await readSet(pool)
  // Another server may have been quicker, with another one.
  return bound.profile === profile ? bound : { boundTo: bound.profile ?? '' }
}

async function readSet(pool: pg.Pool): Promise<NameSet & { profile: string | null }> {
  const { rows } = await ask<NameSet & { profile: string | null }>(
    pool,
    `select id, profile, unicode, ${databaseSql} as database from name_set`,
  )
  const [row] = rows
  if (!row) throw new Error('name_set has no row')
  return row
}

/** Takes a set without names over for another profile; false if it has names. */
async function bindAnew(pool: pg.Pool, profile: string): Promise<boolean> {
  if ((await ask(pool, 'select 1 from names limit 1')).rowCount === 1) return false
  const client = await pool.connect()
  let broken: Error | undefined
  try {
    // No row is on its way behind the lock, and one that comes after it sees the new profile.
    await inTime(client.query('begin; lock table names in share row exclusive mode'))
    const { rowCount } = await inTime(
      client.query(
        'update name_set set profile = $1, unicode = null where not exists (select 1 from names)',
        [profile],
      ),
    )
    await inTime(client.query('commit'))
    return rowCount === 1
  } catch (error) {
    broken = error as Error
    throw error
  } finally {
    client.release(broken)
  }
}

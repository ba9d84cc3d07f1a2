import type { ClientBase } from 'pg'
import { ConfigError } from '../config/config.ts'

/** What an acknowledgement by this database means: on disk, or possibly only in memory. */
export type DatabaseDurability = 'disk' | 'unsynced'

/** Each of them off means that a commit which was reported can be gone after a power cut. */
const needed = ['fsync', 'full_page_writes', 'synchronous_commit'] as const

const versionMin = 150_000

/**
 * Looks whether the database can keep our promise. Throws ConfigError for one that does not sync, unless that was
 * allowed, for one that is too old, and for a read-only standby.
 */
export async function checkDurability(
  client: ClientBase,
  allowUnsynced: boolean,
): Promise<{ durability: DatabaseDurability; off: readonly string[]; version: string }> {
  const { rows } = await client.query<{ name: string; setting: string }>(
    `select name, setting from pg_settings where name = any($1)
     union all select 'standby', pg_is_in_recovery()::text`,
    [[...needed, 'server_version', 'server_version_num']],
  )
  const of = new Map(rows.map((row) => [row.name, row.setting]))
  if (Number(of.get('server_version_num')) < versionMin)
    throw wrong('DATABASE_URL', `it is PostgreSQL ${of.get('server_version')}, and Pulse needs 15 or newer`)
  if (of.get('standby') === 'true')
    throw wrong('DATABASE_URL', 'it is a read-only standby; use the address of the primary')
  const off = needed.filter((name) => of.get(name) === 'off')
  if (off.length > 0 && !allowUnsynced)
    throw wrong(
      'ALLOW_UNSYNCED',
      `the database has ${off.join(', ')} off, so a power cut could lose acknowledged events; switch it on (alter system set ${off[0]} = on), or accept the loss with ALLOW_UNSYNCED=true`,
    )
  return { durability: off.length > 0 ? 'unsynced' : 'disk', off, version: of.get('server_version') ?? '' }
}

function wrong(setting: string, message: string): ConfigError {
  return new ConfigError([{ setting, message }])
}

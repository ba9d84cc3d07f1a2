import type pg from 'pg'

const dayMs = 86_400_000

const dayName = (ms: number) => new Date(ms).toISOString().slice(0, 10).replaceAll('-', '')
const dayStart = (ms: number) => `${new Date(ms).toISOString().slice(0, 10)} 00:00:00+00`

/**
 * Makes the partitions of a table that is ranged by day: yesterday (a clock may differ) to three days ahead.
 * The parent is locked only while a missing partition is attached. Safe when several servers do it at once.
 */
export async function ensureDays(client: pg.ClientBase, table: string): Promise<void> {
  const { rows } = await client.query<{ today: number }>(
    `select extract(epoch from date_trunc('day', now() at time zone 'UTC'))::float8 * 1000 as today`,
  )
  const today = rows[0]?.today ?? Date.now()
  for (let day = -1; day <= 3; day++) await ensureDay(client, table, today + day * dayMs)
}

/** Makes the partition of one day, given by its first instant in milliseconds, if it is not there. */
export async function ensureDay(client: pg.ClientBase, table: string, from: number): Promise<void> {
  const name = `${table}_${dayName(from)}`
  const there = await client.query('select 1 from pg_class where oid = to_regclass($1)', [name])
  if (there.rowCount === 0) await createDay(client, table, name, from)
}

async function createDay(client: pg.ClientBase, table: string, name: string, from: number): Promise<void> {
  try {
    await client.query(
      `create table ${name} partition of ${table} for values from ('${dayStart(from)}') to ('${dayStart(from + dayMs)}')`,
    )
  } catch (error) {
    // Another server was faster: the table (42P07), the range (42P17) or the catalogue row (23505) is there.
    if (!['42P07', '42P17', '23505'].includes((error as { code?: string }).code ?? '')) throw error
  }
}

/** Names of the day partitions of a table that end at or before the instant (milliseconds), oldest first. */
export async function daysBefore(client: pg.ClientBase, table: string, ms: number): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = to_regclass($1) order by c.relname`,
    [table],
  )
  const today = dayName(ms)
  return rows.map((row) => row.name).filter((name) => name.slice(-8) < today)
}

/** Detaches a partition without blocking writers and drops it. Gives up after 2 s of waiting for a lock (SQLSTATE 55P03). */
export async function dropPartition(client: pg.ClientBase, table: string, name: string): Promise<void> {
  await client.query(`set lock_timeout = '2s'`)
  try {
    const { rows } = await client.query<{ pending: boolean }>(
      'select inhdetachpending as pending from pg_inherits where inhparent = to_regclass($1) and inhrelid = to_regclass($2)',
      [table, name],
    )
    // A round that gave up left it half-way; while one is, no other partition can be detached.
    const how = rows[0]?.pending ? 'finalize' : 'concurrently'
    if (rows[0]) await client.query(`alter table ${table} detach partition ${name} ${how}`)
    await client.query(`drop table if exists ${name}`)
  } finally {
    await client.query('reset lock_timeout')
  }
}

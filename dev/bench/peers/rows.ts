import pg from 'pg'
import { clientConfig, type Pulse } from '../pulse.ts'
import type { Places } from './program.ts'

/** The database that the peers use: on the server that Pulse uses, so that its settings are the same. */
export interface RowsDatabase {
  /** For `pg`. */
  readonly config: Places['database']
}

const name = 'bench_peers'

/** Makes the database with the table into which the peers' handlers write. */
export async function makeRowsDatabase(pulse: Pulse): Promise<RowsDatabase> {
  const admin = new pg.Client(clientConfig(pulse.databaseUrl))
  await admin.connect()
  try {
    await admin.query(`create database ${name}`)
  } finally {
    await admin.end()
  }
  const { host, port, user, password } = clientConfig(pulse.databaseUrl)
  const config = {
    host: host ?? '',
    port: port ?? 0,
    user: user ?? '',
    password: String(password),
    database: name,
  }
  const client = new pg.Client(config)
  await client.connect()
  try {
    await client.query(
      'create table bench_rows (event_id uuid primary key, received_at timestamptz not null default now(), event jsonb not null)',
    )
  } finally {
    await client.end()
  }
  return { config }
}

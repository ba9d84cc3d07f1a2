import { fileURLToPath } from 'node:url'
import { type MigrationSet, migrate } from '@pulse/log/migrate'
import pg from 'pg'
import type { Database } from './database/database.ts'

const folder = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/**
 * Brings the tables of the log, of the server and, from its own folders, of a team to where this version wants them.
 * Rejects with MigrationError.
 */
export async function migrateAll(database: Database, teamFolders: readonly string[]): Promise<void> {
  const sets: MigrationSet[] = [
    { namespace: 'log', folders: [folder('../../log/migrations')], schema: 'pulse' },
    { namespace: 'server', folders: [folder('../migrations')], schema: 'pulse' },
    { namespace: 'app', folders: teamFolders, schema: 'public' },
  ]
  const client = new pg.Client(database.client('migrate'))
  await client.connect()
  try {
    await migrate(client, sets)
  } finally {
    await client.end()
  }
}

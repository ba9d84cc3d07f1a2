import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { findPostgres, startPostgres } from '@pulse/dev/services/postgres'
import pg from 'pg'
import type { SuiteEngine } from '../log.suite.ts'
import { migrate } from '../migrate.ts'
import { openPostgresLog, type PostgresLogOptions } from './postgres.ts'

const migrations = fileURLToPath(new URL('../../migrations', import.meta.url))

/** A fresh database with the log's schema on the server at this address. */
export async function freshDatabase(address: string): Promise<pg.ClientConfig> {
  const name = `log_${randomUUID().replaceAll('-', '')}`
  await withClient({ connectionString: address }, (client) => client.query(`create database ${name}`))
  const url = new URL(address)
  url.pathname = `/${name}`
  const connection = { connectionString: url.href }
  await migrateLog(connection)
  return connection
}

async function migrateLog(connection: pg.ClientConfig): Promise<void> {
  await withClient(connection, (client) =>
    migrate(client, [{ namespace: 'log', folders: [migrations], schema: 'pulse' }]),
  )
}

/** Runs work on a connection of its own, in schema `pulse`. */
export async function withClient<T>(
  connection: pg.ClientConfig,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({ ...connection, options: '-c search_path=pulse,public' })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** Options for tests: small generations, so that every test that appends much also rotates. */
export const testOptions = (connection: pg.ClientConfig): PostgresLogOptions => ({
  connection,
  durability: 'disk',
  idsPerGeneration: 200,
  maintenanceMs: 100,
  lanes: 2,
})

/** A PostgreSQL of its own for tests that stop and damage it. */
export async function startPostgresEngine(): Promise<SuiteEngine> {
  const bin = await findPostgres()
  if (!bin) throw new Error('there is no PostgreSQL to start')
  const postgres = await startPostgres(bin)
  const connection = { connectionString: postgres.address }
  await migrateLog(connection)
  return {
    open: () => openPostgresLog(testOptions(connection)),
    stop: (how) => postgres.stop(how === 'kill' ? 'crash' : 'fast'),
    start: () => postgres.start(),
    corrupt: (topic, partition, offset) =>
      withClient(connection, async (client) => {
        // One byte of the stored batch is turned over, as a bad disk would.
        const { rowCount } = await client.query(
          `update log_batches set bytes = set_byte(bytes, octet_length(bytes) - 1, get_byte(bytes, octet_length(bytes) - 1) # 255)
           where topic = (select id from log_topics where name = $1) and partition = $2 and $3 between base_offset and last_offset`,
          [topic, partition, offset],
        )
        if (rowCount !== 1) throw new Error(`no batch of ${topic}/${partition} holds offset ${offset}`)
      }),
    [Symbol.asyncDispose]: () => postgres[Symbol.asyncDispose](),
  }
}

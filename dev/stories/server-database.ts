import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Client } from 'pg'

/** A connection to the PostgreSQL that a server runs in its data folder, through its socket. */
export interface ServerDatabase extends AsyncDisposable {
  query<Row extends object>(sql: string, values?: readonly unknown[]): Promise<Row[]>
}

/** Connects to it. Rejects if no server with a database of its own runs there. */
export async function openServerDatabase(dataFolder: string): Promise<ServerDatabase> {
  const host = join(dataFolder, 'run')
  const socket = (await readdir(host)).find((name) => /^\.s\.PGSQL\.\d+$/.test(name)) ?? ''
  const password = (await readFile(join(dataFolder, 'database-password'), 'utf8')).trim()
  const port = Number(socket.split('.').at(-1))
  const client = new Client({ host, port, user: 'pulse', password, database: 'pulse' })
  await client.connect()
  return {
    query: async <Row extends object>(sql: string, values: readonly unknown[] = []) =>
      (await client.query<Row>(sql, [...values])).rows,
    [Symbol.asyncDispose]: () => client.end(),
  }
}

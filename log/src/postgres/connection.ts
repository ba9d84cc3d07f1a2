import pg from 'pg'
import { LogError } from '../log.ts'

/** How to reach the database; `search_path` is added here. */
export type Connection = pg.ClientConfig

/** SQLSTATE of an error from PostgreSQL; undefined for errors of the connection. */
export function sqlState(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code
  // By its class, because EPIPE has five letters too.
  return typeof code === 'string' && /^(\d[0-9A-Z]|F0|HV|P0|XX)[0-9A-Z]{3}$/.test(code) ? code : undefined
}

/**
 * True if the statement certainly had no effect: the server answered with an error of its own. Class 57P is the
 * server going away and class 08 the connection: then nobody knows.
 */
export function hadNoEffect(error: unknown): boolean {
  const state = sqlState(error)
  return state !== undefined && !state.startsWith('57P') && !state.startsWith('08')
}

/** A client of its own, in schema `pulse`. Throws LogError `unavailable`. */
export async function connect(connection: Connection, name: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    ...connection,
    application_name: name,
    options: `-c search_path=pulse,public ${connection.options ?? ''}`.trim(),
  })
  // A client that loses its connection while idle emits an error; the next query reports it, so it must not end the process.
  client.on('error', () => {})
  try {
    await client.connect()
    return client
  } catch (cause) {
    await client.end().catch(() => {})
    throw new LogError('unavailable', 'the database does not answer', { cause })
  }
}

/** Wraps what a query threw, unless it is a LogError. */
export function asLogError(cause: unknown): LogError {
  if (cause instanceof LogError) return cause
  const message = cause instanceof Error ? cause.message : String(cause)
  return new LogError('unavailable', `the log's database failed: ${message}`, { cause })
}

/** Ends a client without waiting for a server that may be gone. */
export function drop(client: pg.Client): void {
  client.end().catch(() => {})
}

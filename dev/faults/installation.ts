import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { type PulseProcess, startPulse } from '../services/pulse.ts'

/** Several servers on one database, each a process with a data folder of its own. Disposing ends them all. */
export interface Installation extends AsyncDisposable {
  /** Folder of the config file; handlers under test may leave their traces there. */
  readonly folder: string
  /** Those that were started here and have not ended. */
  alive(): readonly PulseProcess[]
  /** Starts one more server, or one again over the folder that another one has left. */
  start(settings?: Readonly<Record<string, string>>, data?: string): Promise<PulseProcess>
  /** Asks the database itself, past all servers. Rejects with PostgreSQL's error. */
  query<Row extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<Row[]>
  /** A connection of the caller's own, for locks that it wants to hold. */
  connect(): Promise<pg.Client>
}

export interface InstallationOptions {
  /** Address of the database. */
  readonly databaseUrl: string
  /** Settings of every server, as environment variables. */
  readonly settings?: Readonly<Record<string, string>>
  /** Text of a `pulse.config.mjs` for every server. */
  readonly configText?: string | undefined
}

/** Makes the folders; no server is started yet. */
export async function openInstallation(options: InstallationOptions): Promise<Installation> {
  const folder = await mkdtemp(join(tmpdir(), 'pulse-installation-'))
  const settings: Record<string, string> = { DATABASE_URL: options.databaseUrl, ...options.settings }
  if (options.configText !== undefined) {
    settings.CONFIG = join(folder, 'pulse.config.mjs')
    await writeFile(settings.CONFIG, options.configText)
  }
  const config = { connectionString: options.databaseUrl, options: '-c search_path=pulse,public' }
  const pool = new pg.Pool({ ...config, max: 2, connectionTimeoutMillis: 2_000 })
  // A database that is stopped on purpose takes idle connections with it.
  pool.on('error', () => {})
  const servers = new Set<PulseProcess>()
  return {
    folder,
    alive: () => [...servers],
    async start(more = {}, data) {
      const server = await startPulse(data ?? (await mkdtemp(join(folder, 'server-'))), {
        ...settings,
        ...more,
      })
      servers.add(server)
      server.ended.then(() => servers.delete(server))
      return server
    },
    query: async (text, values = []) => (await pool.query(text, [...values])).rows,
    async connect() {
      const client = new pg.Client(config)
      client.on('error', () => {})
      await client.connect()
      return client
    },
    async [Symbol.asyncDispose]() {
      // Nothing of theirs is needed any more, and a stopped one would not hear anything else.
      await Promise.all([...servers].map((server) => server.kill()))
      await pool.end()
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startChild, untilReady } from '@pulse/dev/services/child'
import { removeFolder, temporaryFolder } from '@pulse/dev/services/places'
import pg from 'pg'

/** A server of this clone, as a process of its own, with its own data folder. */
export interface Pulse extends AsyncDisposable {
  readonly url: string
  readonly key: string
  readonly pid: number
  readonly dataFolder: string
  /** Address of its database, for our questions and for further servers. It holds the password. */
  readonly databaseUrl: string
  /** Process of the embedded database; undefined with a database of somebody else's. */
  readonly postmaster: number | undefined
  /** Ends the server in order; its data stays for the next start. */
  stop(): Promise<void>
}

export interface PulseOptions {
  readonly roles: string
  /** Data of an earlier server, or undefined for a new folder that is removed at the end. */
  readonly dataFolder?: string
  /** Database of another server instead of its own. */
  readonly databaseUrl?: string
  /** Further settings, as environment variables. */
  readonly settings?: Readonly<Record<string, string>>
  /** Folder for a CPU profile, written when the server ends. */
  readonly profile?: string | undefined
}

const program = fileURLToPath(new URL('main.ts', import.meta.resolve('@pulse/server')))

/** Starts a server and waits until it is ready. Rejects with what it said if it does not start. */
export async function startPulse(options: PulseOptions): Promise<Pulse> {
  const dataFolder = options.dataFolder ?? (await temporaryFolder('bench'))
  const remove = async () => {
    if (options.dataFolder === undefined) await removeFolder(dataFolder)
  }
  const profile = options.profile ? ['--cpu-prof', `--cpu-prof-dir=${options.profile}`] : []
  const child = await startChild({
    program: process.execPath,
    args: [...profile, program],
    // Its own folder, so that no `.env` or config file of the person who runs the bench has a say.
    cwd: dataFolder,
    env: {
      ...{ DATA: dataFolder, PORT: '0', HOST: '127.0.0.1', LOG_LEVEL: 'error', ROLES: options.roles },
      DATABASE_URL: options.databaseUrl ?? '',
      ...options.settings,
    },
  })
  const stop = () => child.stop('SIGTERM', stopMsMax)
  try {
    await untilReady(child, { what: 'Pulse', withinMs: 60_000, ready: () => isReady(dataFolder, child.pid) })
    const embedded = options.databaseUrl === undefined
    return {
      url: (await announced(dataFolder)).url,
      key: (await readFile(join(dataFolder, 'key'), 'utf8')).trim(),
      pid: child.pid,
      dataFolder,
      databaseUrl: options.databaseUrl ?? (await embeddedUrl(dataFolder)),
      postmaster: embedded ? Number((await postmasterFile(dataFolder))[0]) : undefined,
      stop,
      [Symbol.asyncDispose]: async () => {
        await stop()
        await remove()
      },
    }
  } catch (error) {
    await stop()
    await remove()
    throw error
  }
}

const stopMsMax = 20_000

async function announced(dataFolder: string): Promise<{ pid: number; url: string }> {
  return JSON.parse(await readFile(join(dataFolder, 'server.json'), 'utf8'))
}

async function isReady(dataFolder: string, pid: number): Promise<boolean> {
  try {
    const server = await announced(dataFolder)
    return server.pid === pid && (await fetch(`${server.url}/readyz`)).status === 200
  } catch {
    return false
  }
}

// PostgreSQL itself says there where it listens: process, data, start, port, socket folder.
async function postmasterFile(dataFolder: string): Promise<readonly string[]> {
  return (await readFile(join(dataFolder, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')
}

async function embeddedUrl(dataFolder: string): Promise<string> {
  const [, , , port = '', socketFolder = ''] = await postmasterFile(dataFolder)
  const password = (await readFile(join(dataFolder, 'database-password'), 'utf8')).trim()
  const parameters = new URLSearchParams({ host: socketFolder, port, user: 'pulse', password })
  return `postgres:///pulse?${parameters}`
}

/** A connection to the database of a server. The caller ends it. */
export async function connectTo(databaseUrl: string): Promise<pg.Client> {
  const client = new pg.Client(clientConfig(databaseUrl))
  await client.connect()
  return client
}

/** What `pg` needs for such an address; `database` replaces the one that is named there. */
export function clientConfig(databaseUrl: string, database?: string): pg.ClientConfig {
  const url = new URL(databaseUrl)
  const of = (name: string) => url.searchParams.get(name) ?? ''
  return {
    host: of('host'),
    port: Number(of('port')),
    user: of('user'),
    password: of('password'),
    database: database ?? url.pathname.slice(1),
    options: '-c search_path=pulse,public -c timezone=UTC',
  }
}

const shown = [
  'server_version',
  'fsync',
  'synchronous_commit',
  'full_page_writes',
  'wal_sync_method',
  'shared_buffers',
  'max_wal_size',
] as const

/** Settings that figures depend on, asked from the database itself. Throws if an acknowledgement is not synced. */
export async function describeDatabase(client: pg.Client): Promise<Readonly<Record<string, string>>> {
  const settings: Record<string, string> = {}
  for (const name of shown) {
    const { rows } = await client.query<Record<string, string>>(`show ${name}`)
    settings[name] = rows[0]?.[name] ?? ''
  }
  for (const name of ['fsync', 'synchronous_commit', 'full_page_writes'])
    if (settings[name] !== 'on')
      throw new Error(`${name} is ${settings[name]}: such figures would mean nothing`)
  return settings
}

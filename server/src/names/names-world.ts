import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { eventually } from '@pulse/dev/services/eventually'
import { freshDatabase } from '@pulse/dev/services/postgres'
import type { EventLog } from '@pulse/log'
import { migrate } from '@pulse/log/migrate'
import { openPostgresLog } from '@pulse/log/postgres'
import pg from 'pg'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { type Names, type NamesNeeds, openNames } from './names.ts'

const folder = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** Names on a database of their own, as one server has them; several may be opened on it. */
export interface NamesWorld extends AsyncDisposable {
  readonly pool: pg.Pool
  /** How to reach the database. */
  readonly connection: pg.ClientConfig
  readonly log: EventLog
  /** Texts of the statements that names have sent, the beats of leases left out. */
  readonly statements: string[]
  /** Opens names and waits until they answer from memory, unless it is `unready`; with a log of their own, where one is given. */
  open(
    changes?: Partial<NamesNeeds['settings']> & { data?: string; unready?: boolean; log?: EventLog },
  ): Promise<OpenedNames>
  /** A folder that goes with the world. */
  folder(): Promise<string>
}

export interface OpenedNames extends Names {
  readonly data: string
  /** Resolves when free names are answered from memory. */
  certain(): Promise<void>
}

/** Makes the database and a log, on it unless it says otherwise. */
export async function openNamesWorld(
  postgres: string,
  openLog: (connection: pg.ClientConfig) => Promise<EventLog> = (connection) =>
    openPostgresLog({ connection, durability: 'disk' }),
): Promise<NamesWorld> {
  await using opened = new AsyncDisposableStack()
  const database = opened.use(await freshDatabase(postgres))
  const connection = {
    connectionString: database.url,
    options: '-c search_path=pulse,public -c timezone=UTC',
  }
  const pool = new pg.Pool({ ...connection, max: 8 })
  pool.on('error', () => {})
  opened.defer(() => pool.end())
  const client = new pg.Client(connection)
  await client.connect()
  try {
    await migrate(client, [
      { namespace: 'log', folders: [folder('../../../log/migrations')], schema: 'pulse' },
      { namespace: 'server', folders: [folder('../../migrations')], schema: 'pulse' },
    ])
  } finally {
    await client.end()
  }
  const log = opened.use(await openLog(connection))
  const statements: string[] = []
  const folderOf = async () => {
    const made = await mkdtemp(join(tmpdir(), 'pulse-names-'))
    kept.defer(() => rm(made, { recursive: true, force: true }))
    return made
  }
  const kept = opened.move()
  return {
    ...{ pool, connection, log, statements, folder: folderOf },
    open: async ({ data, unready = false, log: own, ...changes } = {}) => {
      const place = data ?? (await folderOf())
      const names = await openNames({
        ...{ log: own ?? log, data: place, routeWords: ['api', 'events'], logger: pino({ level: 'silent' }) },
        pool: counted(pool, statements),
        connection: () => connection,
        settings: {
          ...{
            profile: 'exact',
            expected: 10_000,
            rulesFile: undefined,
            seedFile: join(place, 'users.json'),
            rates: { address: null, network: null, all: null },
            bitmap: undefined,
          },
          ...changes,
        },
        metrics: new Registry(),
      })
      kept.use(names)
      const certain = () =>
        eventually('names answered from memory', async () => names.stats().certain || undefined, 20_000).then(
          () => {},
        )
      if (!unready) await certain()
      return { ...names, data: place, certain }
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

/** The same pool, whose clients note what is asked of them. */
function counted(pool: pg.Pool, statements: string[]): pg.Pool {
  return new Proxy(pool, {
    get(target, member) {
      if (member !== 'connect') {
        const value = Reflect.get(target, member) as unknown
        return typeof value === 'function' ? value.bind(target) : value
      }
      return async () => {
        const client = await target.connect()
        return new Proxy(client, {
          get(inner, name) {
            const value = Reflect.get(inner, name) as unknown
            if (typeof value !== 'function') return value
            if (name !== 'query') return value.bind(inner)
            return (query: string | { text?: string }, ...rest: unknown[]) => {
              statements.push(typeof query === 'string' ? query : (query.text ?? 'copy'))
              return value.call(inner, query, ...rest)
            }
          },
        })
      }
    },
  })
}

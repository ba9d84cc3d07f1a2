import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

/** A server as a user starts it: the real process, its own folder, its embedded database. */
export interface StartedServer extends AsyncDisposable {
  /** Base address without a slash at the end. */
  readonly url: string
  /** The local admin key. */
  readonly key: string
  readonly data: string
  readonly process: ChildProcess
  /** Everything that it wrote to standard error so far: its log. */
  readonly log: () => string
}

const startMsMax = 60_000
const stopMsMax = 20_000

/** Waits until `look` gives something, and gives it. Rejects when the deadline has passed. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined>,
  msMax: number,
): Promise<T> {
  const deadline = performance.now() + msMax
  let cause: unknown
  for (;;) {
    try {
      const found = await look()
      if (found !== undefined) return found
    } catch (error) {
      cause = error
    }
    if (performance.now() > deadline) throw new Error(`${what}: not within ${msMax} ms`, { cause })
    await pause(50)
  }
}

const readIfThere = async (file: string) => (await readFile(file, 'utf8')).trim() || undefined

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const tired = setTimeout(() => child.kill('SIGKILL'), stopMsMax)
  await exited
  clearTimeout(tired)
}

/** Starts a server on a free port with these settings on top of the defaults. Rejects when it does not get ready. */
export async function startServer(settings: Readonly<Record<string, string>> = {}): Promise<StartedServer> {
  const data = await mkdtemp(join(tmpdir(), 'pulse-'))
  const main = join(import.meta.dirname, '..', 'src', 'main.ts')
  const env = { ...process.env, PORT: '0', HOST: '127.0.0.1', DATA: data, LOG_LEVEL: 'info', ...settings }
  const child = spawn(process.execPath, [main], { env, cwd: data, stdio: ['ignore', 'pipe', 'pipe'] })
  let log = ''
  child.stdout.resume()
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text
  })
  const look = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return null
    const { url } = JSON.parse(await readFile(join(data, 'server.json'), 'utf8')) as { url: string }
    const ready = await fetch(new URL('/readyz', url))
    return ready.status === 200 ? url.replace(/\/$/, '') : undefined
  }
  try {
    const url = await eventually('server ready', look, startMsMax)
    if (url === null) throw new Error('it ended')
    const key = await eventually('admin key', () => readIfThere(join(data, 'key')), 1_000)
    return {
      url,
      key,
      data,
      process: child,
      log: () => log,
      [Symbol.asyncDispose]: async () => {
        await stop(child)
        await rm(data, { recursive: true, force: true })
      },
    }
  } catch (error) {
    await stop(child)
    throw new Error(`the server did not start:\n${log.slice(-4_000)}`, { cause: error })
  }
}

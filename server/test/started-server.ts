import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { type PulseProcess, startPulse } from '@pulse/dev/services/pulse'

/** A server of one test with a data folder of its own; disposing stops it and removes the folder. */
export interface StartedServer extends PulseProcess, AsyncDisposable {}

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

/** Starts a server on a free port with these settings on top of the defaults. Rejects when it does not get ready. */
export async function startServer(settings: Readonly<Record<string, string>> = {}): Promise<StartedServer> {
  const data = await mkdtemp(join(tmpdir(), 'pulse-'))
  const remove = () => rm(data, { recursive: true, force: true, maxRetries: 5 })
  try {
    const server = await startPulse(data, settings)
    return {
      ...server,
      [Symbol.asyncDispose]: async () => {
        await server.stop()
        await remove()
      },
    }
  } catch (error) {
    await remove()
    throw error
  }
}

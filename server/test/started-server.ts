import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type PulseProcess, startPulse } from '@pulse/dev/services/pulse'

/** A server of one test with a data folder of its own; disposing stops it and removes the folder. */
export interface StartedServer extends PulseProcess, AsyncDisposable {}

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

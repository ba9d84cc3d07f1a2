import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { processorSeconds } from './processor-time.ts'

/** A Socket.IO server with sockets in one room. */
export interface SocketIoPeer extends AsyncDisposable {
  /** Emits to all and waits until everything has arrived; returns deliveries per second of the server's processor time. */
  measure(plan: { eventsPerSecond: number; batch: number; ms: number; padding: string }): Promise<number>
}

/** Starts the server and its readers, each in a process of its own. */
export async function openSocketIo(connections: number): Promise<SocketIoPeer> {
  const server = start(new URL('./socket-io-program.ts', import.meta.url))
  const { port } = await answer(server)
  const readers = start(new URL('./socket-io-readers.ts', import.meta.url))
  await ask(readers, { open: { port, count: connections } })
  return {
    async measure(plan) {
      const before = await processorSeconds(server.pid ?? 0)
      const { events } = await ask(server, plan)
      const deliveries = (events ?? 0) * connections
      await ask(readers, { awaitEvents: deliveries })
      return deliveries / ((await processorSeconds(server.pid ?? 0)) - before)
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([readers, server].map(end))
    },
  }
}

interface Answer {
  readonly port?: number
  readonly events?: number
  readonly failed?: string
}

const start = (program: URL) => fork(fileURLToPath(program), { execArgv: [] })

async function ask(child: ChildProcess, task: object): Promise<Answer> {
  child.send(task)
  return await answer(child)
}

async function answer(child: ChildProcess): Promise<Answer> {
  const [said] = (await once(child, 'message')) as [Answer]
  if (said.failed !== undefined) throw new Error(`socket.io: ${said.failed}`)
  return said
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  if (child.connected) child.disconnect()
  await exit
}

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Order, Reply, Submitted } from './program.ts'

/** How events are handed in: `batch` 0 is one by one. */
export interface Submission {
  readonly batch: number
  /** Requests, or calls, that are on their way at any time. */
  readonly inFlight: number
  readonly ms: number
}

/** One of the compared systems, running. */
export interface Peer extends AsyncDisposable {
  readonly name: 'Pulse' | 'BullMQ' | 'pg-boss'
  /** What exactly it does for one event, as a sentence. */
  readonly does: string
  /** Forgets the rows of earlier rounds. */
  reset(): Promise<void>
  /** Hands events in for so long; resolves when all of them are acknowledged. */
  submit(submission: Submission): Promise<Submitted>
  /** Events since the reset whose row is committed. */
  executed(): Promise<number>
}

/** A process of a peer: its producer or its worker. Disposing ends it. */
export interface PeerProcess extends AsyncDisposable {
  ask(order: Order): Promise<Reply>
}

/** Starts `program.ts`. Rejects if it cannot. */
export async function startPeerProcess(): Promise<PeerProcess> {
  const child = fork(fileURLToPath(new URL('./program.ts', import.meta.url)), { execArgv: [] })
  await once(child, 'spawn')
  return {
    ask: (order) => ask(child, order),
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exit = once(child, 'exit')
      const timer = setTimeout(() => child.kill('SIGKILL'), 5_000)
      if (child.connected) child.disconnect()
      await exit
      clearTimeout(timer)
    },
  }
}

function ask(child: ChildProcess, order: Order): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const onExit = () => reject(new Error('a peer’s process ended'))
    child.once('exit', onExit)
    child.once('message', (reply: Reply) => {
      child.removeListener('exit', onExit)
      if (reply.kind === 'failed') reject(new Error(reply.why))
      else resolve(reply)
    })
    child.send(order)
  })
}

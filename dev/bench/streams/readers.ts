import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { ReaderReport, ReaderTask } from './reader-plan.ts'

/** Sockets that read, in a process of their own, so that the server's figures are the server's. */
export interface Readers extends AsyncDisposable {
  readonly pid: number
  /** Does one task to its end. Rejects if a connection fails or what is awaited does not come. */
  run(task: ReaderTask): Promise<ReaderReport>
}

type Reply = { readonly report: ReaderReport } | { readonly failed: string }

/** Starts the readers' process. */
export async function openReaders(): Promise<Readers> {
  const child = fork(fileURLToPath(new URL('./reader-program.ts', import.meta.url)), { execArgv: [] })
  await once(child, 'spawn')
  return {
    pid: child.pid ?? 0,
    run: (task) => ask(child, task),
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exit = once(child, 'exit')
      if (child.connected) child.disconnect()
      await exit
    },
  }
}

function ask(child: ChildProcess, task: ReaderTask): Promise<ReaderReport> {
  return new Promise((resolve, reject) => {
    const onExit = () => reject(new Error('the readers ended'))
    child.once('exit', onExit)
    child.once('message', (reply: Reply) => {
      child.removeListener('exit', onExit)
      if ('failed' in reply) reject(new Error(`readers: ${reply.failed}`))
      else resolve(reply.report)
    })
    child.send(task)
  })
}

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { LoadPlan, LoadResult } from './plan.ts'

/** The load generator in a process of its own. Disposing it ends the process. */
export interface Load extends AsyncDisposable {
  /** Runs one plan to its end. Rejects if connections fail, or answers do not come. */
  run(plan: LoadPlan): Promise<LoadResult>
}

type Reply = { readonly result: LoadResult } | { readonly failed: string }

/** Starts the generator. Rejects if the program cannot be started. */
export async function openLoad(): Promise<Load> {
  const child = fork(fileURLToPath(new URL('./generator.ts', import.meta.url)), { execArgv: [] })
  await once(child, 'spawn')
  return {
    run: (plan) => ask(child, plan),
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exit = once(child, 'exit')
      if (child.connected) child.disconnect()
      await exit
    },
  }
}

function ask(child: ChildProcess, plan: LoadPlan): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    const onExit = () => reject(new Error('the load generator ended'))
    child.once('exit', onExit)
    child.once('message', (reply: Reply) => {
      child.removeListener('exit', onExit)
      if ('failed' in reply) reject(new Error(`load: ${reply.failed}`))
      else resolve(reply.result)
    })
    child.send(plan)
  })
}

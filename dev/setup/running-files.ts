import type { ChildProcess } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'

/** What a watch on the test files needs. */
export interface FileWatchNeeds {
  /** Longest time that one file may take. */
  readonly fileMsMax: number
  /** Told how long each file took. */
  readonly onEnded: (file: string, ms: number) => void
  /** Told when a file was stopped for taking longer. */
  readonly onStopped: (file: string) => void
}

/**
 * Stops every test file that runs longer than `fileMsMax`, so that a hang is a failure and not a long silence.
 *
 * Node's own time limit is per test: a file whose tests are over but that still holds a socket, or that loops
 * without yielding, is beyond it. The runner hides its child processes, so they are met where Node announces
 * every process that it makes; a killed file is then reported by the runner as failed.
 */
export function watchRunningFiles(needs: FileWatchNeeds): Disposable {
  const timers = new Set<NodeJS.Timeout>()
  const watch = (child: ChildProcess) => {
    const file = child.spawnargs.find((argument) => argument.endsWith('.test.ts'))
    if (file === undefined) return
    const startedAt = performance.now()
    const timer = setTimeout(() => {
      needs.onStopped(file)
      child.kill('SIGKILL')
    }, needs.fileMsMax)
    timers.add(timer)
    child.once('exit', () => {
      clearTimeout(timer)
      timers.delete(timer)
      needs.onEnded(file, performance.now() - startedAt)
    })
  }
  // The announcement comes before the process has its arguments; the `spawn` event comes after.
  const announced = (message: unknown) => {
    const { process: child } = message as { process: ChildProcess }
    child.once('spawn', () => watch(child))
  }
  subscribe('child_process', announced)
  return {
    [Symbol.dispose]() {
      unsubscribe('child_process', announced)
      for (const timer of timers) clearTimeout(timer)
    },
  }
}

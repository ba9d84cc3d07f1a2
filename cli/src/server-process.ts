import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Cli } from './cli.ts'
import { exitCodes } from './exit-code.ts'
import { CommandError, ExitWith } from './failure.ts'

// The command line knows the server only as a program beside it: it imports none of its code.
function serverProgram(): string {
  try {
    return fileURLToPath(new URL('main.ts', import.meta.resolve('@pulse/server')))
  } catch {
    throw new CommandError(exitCodes.failed, 'The server is not installed beside this command', 'npm install')
  }
}

// One Ctrl-C can reach us twice: from the terminal and from a parent such as npm that passes it on.
const sameKeyPressMs = 250

/**
 * Runs the server's program in the foreground and throws `ExitWith` when it ends. It stands in a process group
 * of its own, so that every signal reaches it through us, once; a second one makes it stop at once.
 */
export async function runServer(cli: Cli, words: readonly string[]): Promise<never> {
  const child = spawn(process.execPath, [serverProgram(), ...words], { stdio: 'inherit', detached: true })
  let passedAt = Number.NEGATIVE_INFINITY
  cli.interrupts.takeOver((signal) => {
    if (performance.now() - passedAt < sameKeyPressMs) return
    passedAt = performance.now()
    // A closed terminal is a reason to stop in order, not to drop everything.
    child.kill(signal === 'SIGHUP' ? 'SIGTERM' : signal)
  })
  const exitCode = await new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) =>
      resolve(code ?? (signal === 'SIGINT' ? exitCodes.interrupted : exitCodes.failed)),
    )
  })
  throw new ExitWith(exitCode)
}

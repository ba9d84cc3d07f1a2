import { readConfig } from './config.ts'
import { describeFailure, failureLine } from './failure.ts'
import { listenForInterrupts } from './interrupts.ts'
import { run } from './program.ts'

/** Runs `pulse` with these words as the whole purpose of a process, and sets its exit code. Never rejects. */
export async function pulse(onProcess: NodeJS.Process, words: readonly string[]): Promise<void> {
  const { stdin, stdout, stderr, env } = onProcess
  // `pulse events list | head` closes our output early: that is no failure.
  stdout.on('error', (error: NodeJS.ErrnoException) => onProcess.exit(error.code === 'EPIPE' ? 0 : 1))
  try {
    const config = readConfig(env)
    onProcess.exitCode = await run(
      { config, stdin, stdout, stderr, interrupts: listenForInterrupts(onProcess) },
      words,
    )
  } catch (error) {
    const failure = describeFailure(error)
    stderr.write(`pulse: ${failureLine(failure)}\n`)
    onProcess.exitCode = failure.exitCode
  }
}

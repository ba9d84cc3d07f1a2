import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))

export interface Ran {
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Surroundings {
  /** Environment beside what is `kept`; nothing of the machine's own leaks in. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** What stands on standard input. */
  readonly input?: string
  /** Interrupts the command, as Ctrl-C does. */
  readonly interrupt?: AbortSignal
  /** Told of everything that was printed so far, each time there is more. */
  readonly onStdout?: (text: string, stop: (signal: NodeJS.Signals) => void) => void
}

/**
 * All that a program under test keeps of this process: where programs lie, the files that `npm test` has compiled
 * (compiling them anew is most of what a short command takes), and the mark by which it finds what a test left running.
 */
export const kept = Object.fromEntries(
  ['PATH', 'NODE_COMPILE_CACHE', 'TEST_RUN'].flatMap((name) => {
    const value = process.env[name]
    return value === undefined ? [] : [[name, value]]
  }),
)

/** Runs `pulse` as a process of its own, the way a user does, and gives what it said. */
export function runPulse(words: readonly string[], surroundings: Surroundings = {}): Promise<Ran> {
  return runProgram(main, words, surroundings)
}

/** Runs a TypeScript program as a process of its own, and gives what it said. */
export async function runProgram(
  file: string,
  words: readonly string[],
  { env, cwd, input, interrupt, onStdout }: Surroundings,
): Promise<Ran> {
  const child = spawn(process.execPath, [file, ...words], { env: { ...kept, ...env }, cwd })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk) => {
    stdout += chunk
    onStdout?.(stdout, (signal) => child.kill(signal))
  })
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  interrupt?.addEventListener('abort', () => child.kill('SIGINT'))
  child.stdin.on('error', () => {})
  child.stdin.end(input ?? '')
  const [exitCode] = await once(child, 'close')
  return { exitCode, stdout, stderr }
}

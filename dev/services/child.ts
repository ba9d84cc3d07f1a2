import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { User } from './places.ts'

export interface Command {
  readonly program: string
  readonly args: readonly string[]
  readonly as?: User | undefined
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

/** A program that runs beside us and ends with us at the latest. */
export interface Child {
  readonly pid: number
  /** The last 8,000 characters that it said. */
  said(): string
  /** Undefined while it runs; else its exit code or signal, as text. */
  ended(): string | undefined
  /** Sends the signal, waits, and after `graceMs` sends SIGKILL. Harmless if it has ended. */
  stop(signal: NodeJS.Signals, graceMs: number): Promise<void>
}

const saidCharsMax = 8_000

/** Starts a program. Throws if it cannot be started at all. */
export async function startChild(command: Command): Promise<Child> {
  const child = spawn(command.program, command.args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...command.env },
    ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
    ...(command.as ?? {}),
  })
  const said = listen(child)
  await once(child, 'spawn')
  // Without this a test run that crashes would leave its services running.
  const killWithUs = () => child.kill('SIGKILL')
  process.once('exit', killWithUs)
  child.once('exit', () => process.removeListener('exit', killWithUs))
  const ended = () => (child.exitCode !== null ? `code ${child.exitCode}` : (child.signalCode ?? undefined))
  return {
    pid: child.pid ?? 0,
    said,
    ended,
    stop: async (signal, graceMs) => {
      if (ended() !== undefined) return
      const exit = once(child, 'exit')
      child.kill(signal)
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs)
      await exit
      clearTimeout(timer)
    },
  }
}

/** Runs a program to its end and returns what it said. Throws with that text if it fails. */
export async function runToEnd(command: Command): Promise<string> {
  const child = spawn(command.program, command.args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...command.env },
    ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
    ...(command.as ?? {}),
  })
  const said = listen(child)
  const [code, signal] = await once(child, 'close')
  if (code !== 0) throw new Error(`${command.program} ended with ${code ?? signal}: ${said()}`)
  return said()
}

function listen(child: ChildProcess): () => string {
  let said = ''
  const hear = (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-saidCharsMax)
  }
  child.stdout?.on('data', hear)
  child.stderr?.on('data', hear)
  return () => said.trim()
}

/** Waits until `ready` says true. Throws with what the child said if it ends or `withinMs` pass first. */
export async function untilReady(
  child: Child,
  { what, withinMs, ready }: { what: string; withinMs: number; ready: () => Promise<boolean> },
): Promise<void> {
  const deadline = performance.now() + withinMs
  while (!(await ready())) {
    const ended = child.ended()
    if (ended !== undefined) throw new Error(`${what} ended with ${ended}: ${child.said()}`)
    if (performance.now() > deadline)
      throw new Error(`${what} was not ready in ${withinMs} ms: ${child.said()}`)
    await sleep(25)
  }
}

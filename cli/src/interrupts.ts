import { exitCodes } from './exit-code.ts'
import { Interrupted } from './failure.ts'

type Handler = (signal: NodeJS.Signals) => void

/** Ctrl-C and its relatives. The first asks a command to stop, the second ends it without clean-up. */
export interface Interrupts {
  /** Aborted with `Interrupted` by the first signal. */
  readonly signal: AbortSignal
  /** Gives every signal from now on to `handler` instead; for a command that stands in for another process. */
  takeOver(handler: Handler): void
}

/** Listens for the signals that end a process. */
export function listenForInterrupts(onProcess: NodeJS.Process): Interrupts {
  const asked = new AbortController()
  let handler: Handler = () => {
    if (asked.signal.aborted) onProcess.exit(exitCodes.interrupted)
    asked.abort(new Interrupted('Interrupted.'))
  }
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) onProcess.on(name, () => handler(name))
  return {
    signal: asked.signal,
    takeOver: (next) => {
      handler = next
    },
  }
}

import { setTimeout as sleep } from 'node:timers/promises'
import { type Client, createClient, type RetryOptions } from '@pulse/client'
import type { Command } from 'commander'
import type { CliConfig } from './config.ts'
import type { Interrupts } from './interrupts.ts'
import { findTarget, type Target } from './target.ts'
import { createTerminal, type Terminal } from './terminal.ts'

/** What every command needs from the process it runs in. */
export interface Cli {
  readonly config: CliConfig
  readonly stdin: NodeJS.ReadStream
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  readonly interrupts: Interrupts
}

interface GlobalOptions {
  readonly url?: string
  readonly key?: string
  readonly data?: string
  readonly json?: boolean
  readonly color?: boolean
}

/** The terminal of a command: what its options and the environment say of JSON and colour. */
export function terminalOf(cli: Cli, command: Command): Terminal {
  const { json, color } = command.optsWithGlobals<GlobalOptions>()
  const { stdout, stderr, config } = cli
  return createTerminal({
    ...{ stdout, stderr, json: json === true },
    ...{ colour: config.colour && color !== false, command: config.command },
  })
}

/** A server to speak to and the terminal to answer on. */
export interface Connected {
  readonly client: Client
  readonly target: Target
  readonly terminal: Terminal
  /** Ends calls when the user interrupts. */
  readonly signal: AbortSignal
}

/** Finds the server that a command speaks to. Sends nothing yet. Throws CommandError. */
export async function connect(
  cli: Cli,
  command: Command,
  retry: Partial<RetryOptions> = {},
): Promise<Connected> {
  const target = await findTarget(command.optsWithGlobals<GlobalOptions>(), cli.config)
  const client = createClient({
    url: target.url,
    credential: target.key,
    // A person waits: a server that is not there is told at once, and not after half a minute.
    retry: { retriesMax: 2, waitMsBase: 100, retryAfterMsMax: 5_000, ...retry },
  })
  return { client, target, terminal: terminalOf(cli, command), signal: cli.interrupts.signal }
}

/** Waits; rejects with `Interrupted` when the user interrupts. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal })
  } catch (error) {
    throw signal.aborted ? signal.reason : error
  }
}

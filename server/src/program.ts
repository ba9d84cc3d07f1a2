import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LogError } from '@pulse/log'
import { MigrationError } from '@pulse/log/migrate'
import type { Logger } from 'pino'
import { type App, openApp } from './app.ts'
import { bannerOf } from './banner.ts'
import { type Config, ConfigError, environment, parseFlags, readConfig } from './config/config.ts'
import { configCommand } from './config/config-command.ts'
import { DatabaseError } from './database/database.ts'
import { ListenError } from './http/listen.ts'
import { holdLines } from './operations/held-lines.ts'
import { createLogger } from './operations/logger.ts'

const exit = { ok: 0, failed: 1, usage: 2, config: 3, unavailable: 7 } as const

/** A key press reaches a whole group of processes, and whoever started us may hand it on: that is one signal. */
const echoMsMax = 300

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string
}

/** How long the lines of a start wait for its banner; one that takes longer has something to say. */
const bannerMsMax = 10_000

/** Runs the server, or a command about its settings, as the whole purpose of a process. Gives its exit code; never rejects. */
export async function run(argv: readonly string[]): Promise<number> {
  // A terminal that was closed takes no more lines; that must not end a server that is about to finish its work.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  try {
    if (argv[0] === 'config') return await configCommand(argv.slice(1))
    return await serve(argv[0] === 'start' ? argv.slice(1) : argv)
  } catch (error) {
    return explain(error)
  }
}

async function serve(argv: readonly string[]): Promise<number> {
  const config = await readConfig({ ...environment(), flags: parseFlags(argv) })
  const lines = holdLines(process.stderr, bannerMsMax)
  process.once('exit', lines.release)
  const log = createLogger({ level: config.operations.logLevel, to: lines })
  const stopAsked = signals()
  let app: App
  try {
    app = await openApp({ config, version, log }).catch((error: unknown) => {
      throw withLastConfig(error, config.data)
    })
    rememberConfig(config)
    process.stdout.write(`${await bannerOf(app, { config, version })}\n`)
  } finally {
    lines.release()
  }
  sayStopping(await stopAsked, log)
  await closeWithin(app, config.operations.drainMsMax)
  return exit.ok
}

/** Beside the data lies the path of the config file that it was last served with, for the start that forgets it. */
const lastConfigIn = (data: string) => join(data, 'last-config')

function rememberConfig(config: Config): void {
  if (config.file === undefined) return
  try {
    writeFileSync(lastConfigIn(config.data), `${config.file}\n`)
  } catch {
    // A hint for a later mistake is not worth a start.
  }
}

/** Adds to a refusal for want of the team's configuration where that was at the last start. */
function withLastConfig(error: unknown, data: string): unknown {
  if (!(error instanceof MigrationError) || error.code !== 'unnamed') return error
  try {
    const last = readFileSync(lastConfigIn(data), 'utf8').trim()
    return new MigrationError(error.code, `${error.message} (the last start had --config ${last})`, {
      cause: error,
    })
  } catch {
    return error
  }
}

function sayStopping(signal: NodeJS.Signals, log: Logger): void {
  if (process.stderr.isTTY)
    process.stderr.write(
      'Finishing what is accepted. Press Ctrl-C again to stop at once; nothing acknowledged is lost.\n',
    )
  else log.info({ signal }, 'finishing what is accepted; a second signal stops at once')
}

/** Resolves at the first signal to stop; the second one ends the process at once. */
function signals(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let askedMs: number | undefined
    const onSignal = (signal: NodeJS.Signals) => {
      if (askedMs !== undefined && performance.now() - askedMs > echoMsMax)
        process.exit(signal === 'SIGINT' ? 130 : 143)
      askedMs ??= performance.now()
      resolve(signal)
    }
    // SIGHUP: the terminal was closed, which must not cut off what a Ctrl-C would finish.
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, onSignal)
  })
}

async function closeWithin(app: App, ms: number): Promise<void> {
  // What is not finished by then is not acknowledged or not committed, and is done again by the next owner.
  setTimeout(() => process.exit(exit.ok), ms).unref()
  await app[Symbol.asyncDispose]()
}

/** One clear line for what somebody can mend; the whole error for our own mistakes. */
function explain(error: unknown): number {
  const known = [ConfigError, DatabaseError, MigrationError, ListenError, LogError].some(
    (kind) => error instanceof kind,
  )
  if (known) process.stderr.write(`pulse: ${(error as Error).message}\n`)
  else console.error(error)
  if (error instanceof ConfigError || error instanceof MigrationError) return exit.config
  if (error instanceof ListenError || error instanceof DatabaseError || error instanceof LogError)
    return exit.unavailable
  return exit.failed
}

import { readFileSync } from 'node:fs'
import { LogError } from '@pulse/log'
import { MigrationError } from '@pulse/log/migrate'
import { type App, openApp } from './app.ts'
import { bannerOf } from './banner.ts'
import { ConfigError, environment, parseFlags, readConfig } from './config/config.ts'
import { configCommand } from './config/config-command.ts'
import { DatabaseError } from './database/database.ts'
import { ListenError } from './http/listen.ts'
import { createLogger } from './operations/logger.ts'

const exit = { ok: 0, failed: 1, usage: 2, config: 3, unavailable: 7 } as const

/** A key press reaches a whole group of processes, and whoever started us may hand it on: that is one signal. */
const echoMsMax = 300

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string
}

process.exitCode = await main(process.argv.slice(2))

async function main(argv: readonly string[]): Promise<number> {
  try {
    if (argv[0] === 'config') return await configCommand(argv.slice(1))
    return await serve(argv[0] === 'start' ? argv.slice(1) : argv)
  } catch (error) {
    return explain(error)
  }
}

async function serve(argv: readonly string[]): Promise<number> {
  const config = await readConfig({ ...environment(), flags: parseFlags(argv) })
  const log = createLogger({ level: config.operations.logLevel, to: process.stderr })
  const stopAsked = signals()
  const app = await openApp({ config, version, log })
  process.stdout.write(`${await bannerOf(app, { config, version })}\n`)
  await stopAsked
  process.stderr.write(
    'Finishing what is accepted. Press Ctrl-C again to stop at once; nothing acknowledged is lost.\n',
  )
  await closeWithin(app, config.operations.drainMsMax)
  return exit.ok
}

/** Resolves at the first signal to stop; the second one ends the process at once. */
function signals(): Promise<void> {
  return new Promise((resolve) => {
    let askedMs: number | undefined
    const onSignal = (signal: NodeJS.Signals) => {
      if (askedMs !== undefined && performance.now() - askedMs > echoMsMax)
        process.exit(signal === 'SIGINT' ? 130 : 143)
      askedMs ??= performance.now()
      resolve()
    }
    process.on('SIGINT', onSignal)
    process.on('SIGTERM', onSignal)
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

import { Command, CommanderError } from 'commander'
import type { Cli } from './cli.ts'
import { config } from './commands/config.ts'
import { deadLetters } from './commands/dead-letters.ts'
import { doctor } from './commands/doctor.ts'
import { eventsGet } from './commands/events-get.ts'
import { eventsImport } from './commands/events-import.ts'
import { eventsList } from './commands/events-list.ts'
import { eventsSend } from './commands/events-send.ts'
import { eventsTail } from './commands/events-tail.ts'
import { explain } from './commands/explain.ts'
import { filters } from './commands/filters.ts'
import { generateEvents } from './commands/generate-events.ts'
import { keys } from './commands/keys.ts'
import { listen } from './commands/listen.ts'
import { load } from './commands/load.ts'
import { login } from './commands/login.ts'
import { names } from './commands/names.ts'
import { open } from './commands/open.ts'
import { start } from './commands/start.ts'
import { streams } from './commands/streams.ts'
import { top } from './commands/top.ts'
import { webhooks } from './commands/webhooks.ts'
import { exitCodes, exitCodesText } from './exit-code.ts'
import { describeFailure, ExitWith, failureLine, failureProblem } from './failure.ts'
import { group } from './group.ts'
import { createTerminal } from './terminal.ts'
import { version } from './version.ts'

const examples = `Examples:
  pulse start                                   start a server here
  pulse open                                    open its dashboard, signed in
  pulse events send purchase amount=42          send an event
  pulse events list --type purchase             see what came in
  pulse events tail --filter 'properties.amount > 100'
  pulse events import rides.csv --type ride --map user_id=rider,timestamp=start
  pulse top                                     watch it work
`

/** Builds the command line of `pulse`. */
function createProgram(cli: Cli): Command {
  const program = new Command('pulse')
    .description("The operator's hand on a Pulse server.")
    .version(version)
    .option('--url <url>', 'address of the server (PULSE_URL)')
    .option('--key <key>', 'API key (PULSE_KEY or PULSE_KEY_FILE, which others on this machine cannot read)')
    .option('--data <folder>', 'data folder of a server on this machine (DATA)')
    .option('--json', 'answer in JSON, one document or one per line')
    .option('--no-color', 'no colours (NO_COLOR)')
    .addHelpText('before', examples)
    .addHelpText('after', '\nExit codes: pulse help exit-codes')
  const events = group('events', 'send, find, follow and import events', {
    commands: [eventsList(cli), eventsGet(cli), eventsTail(cli), eventsSend(cli), eventsImport(cli)],
    examples: [
      'events send purchase amount=42',
      'events list --type purchase --from 1h',
      `events tail --filter 'event_type = "order.*"'`,
    ],
  })
  const generate = group('generate', 'make sample data', {
    commands: [generateEvents(cli)],
    examples: ['generate events --count 1000 --rate 100'],
  })
  for (const command of [
    start(cli),
    open(cli),
    events,
    filters(cli),
    webhooks(cli),
    listen(cli),
    streams(cli),
    explain(cli),
    names(cli),
    generate,
    load(cli),
    top(cli),
    keys(cli),
    deadLetters(cli),
    doctor(cli),
    config(cli),
    login(cli),
  ])
    program.addCommand(command)
  program.addCommand(exitCodesHelp(cli), { hidden: true })
  return program
}

const exitCodesHelp = (cli: Cli) => {
  const command = new Command('exit-codes').action(() => void cli.stdout.write(exitCodesText()))
  // `pulse help exit-codes` asks a command for its help: here the help is the table.
  command.helpInformation = exitCodesText
  return command
}

// Commands throw instead of ending the process, and do not print their errors themselves: `run` says them.
function settle(command: Command, path: string, cli: Cli, onError: (path: string) => void): void {
  command.exitOverride()
  command.configureHelp({ showGlobalOptions: true, helpWidth: Math.min(100, cli.stdout.columns ?? 100) })
  command.configureOutput({
    writeOut: (text) => void cli.stdout.write(text),
    writeErr: (text) => void cli.stderr.write(text),
    outputError: () => onError(path),
  })
  for (const child of command.commands) settle(child, `${path} ${child.name()}`, cli, onError)
}

/** Runs one command line and gives its exit code. Whatever goes wrong is told in one line on standard error. */
export async function run(cli: Cli, words: readonly string[]): Promise<number> {
  let helpOf = 'pulse'
  const program = createProgram(cli)
  settle(program, 'pulse', cli, (path) => {
    helpOf = path
  })
  try {
    await program.parseAsync([...words], { from: 'user' })
    return exitCodes.ok
  } catch (error) {
    // Help that was asked for is done; help in place of a missing command has said what there is to say.
    if (error instanceof CommanderError && error.exitCode === 0) return exitCodes.ok
    if (error instanceof CommanderError && error.code === 'commander.help') return exitCodes.usage
    if (error instanceof ExitWith) return error.exitCode
    const { signal } = cli.interrupts
    const told = describeFailure(signal.aborted ? signal.reason : error)
    const failure = told.code === 'usage' ? { ...told, next: `${helpOf} --help` } : told
    const { stdout, stderr } = cli
    const { color } = program.opts<{ color?: boolean }>()
    const terminal = createTerminal({
      stdout,
      stderr,
      json: words.includes('--json'),
      colour: cli.config.colour && color !== false,
      command: cli.config.command,
    })
    if (terminal.json) terminal.note(JSON.stringify(failureProblem(failure)))
    else terminal.note(`${terminal.styleNote('red', 'pulse:')} ${failureLine(failure)}`)
    return failure.exitCode
  }
}

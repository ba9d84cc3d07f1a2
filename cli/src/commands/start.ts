import { Command } from 'commander'
import type { Cli } from '../cli.ts'
import { wholeNumber } from '../option-values.ts'
import { runServer } from '../server-process.ts'

interface Options {
  readonly port?: number
  readonly host?: string
  readonly data?: string
  readonly open?: boolean
  readonly demo?: boolean
  readonly roles?: string
  readonly config?: string
  readonly insecureHttp?: boolean
}

const examples = `Examples:
  pulse start                                start a server, its data in ./pulse-data
  pulse start --port 9000 --data /srv/pulse
  pulse start --config pulse.config.ts       with handlers of your own
`

/** `pulse start`: the server, in the foreground. */
export function start(cli: Cli): Command {
  return new Command('start')
    .description('start a server in the foreground; Ctrl-C stops it, twice at once')
    .option('--port <number>', 'port to listen on (PORT, 8000)', wholeNumber(0, 65_535))
    .option('--host <address>', 'address to listen on (HOST, 127.0.0.1)')
    .option('--data <folder>', 'where the data lies (DATA, ./pulse-data)')
    .option('--config <file>', 'configuration with handlers (CONFIG, ./pulse.config.ts if there)')
    .option('--roles <list>', 'what this process does (ROLES, all)')
    .option('--open', 'allow everything to everyone; on loopback only')
    .option('--demo', 'send sample events, and fail some of them; on loopback only')
    .option('--insecure-http', 'listen beyond this machine without TLS')
    .addHelpText('before', examples)
    .action((_options: unknown, command: Command) =>
      runServer(cli, wordsOf(command.optsWithGlobals<Options>())),
    )
}

function wordsOf(options: Options): string[] {
  const words: string[] = []
  for (const name of ['port', 'host', 'data', 'config', 'roles'] as const)
    if (options[name] !== undefined) words.push(`--${name}`, String(options[name]))
  if (options.open) words.push('--open')
  if (options.demo) words.push('--demo')
  if (options.insecureHttp) words.push('--insecure-http')
  return words
}

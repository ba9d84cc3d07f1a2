import { Command } from 'commander'
import type { Cli } from '../cli.ts'
import { group } from '../group.ts'
import { runServer } from '../server-process.ts'

interface Options {
  readonly config?: string
  readonly data?: string
}

const checkExamples = `Examples:
  pulse config check
  pulse config check --config pulse.config.ts
`

const explainExamples = `Examples:
  pulse config explain PORT          which value counts, and which it hides
  pulse config explain RETRY_ATTEMPTS
`

/** `pulse config`: what the server makes of its settings, without starting it. */
export function config(cli: Cli): Command {
  const check = new Command('check')
    .description('check every setting, and name each that is wrong')
    .option('--config <file>', 'configuration file to check (CONFIG, ./pulse.config.ts if there)')
    .addHelpText('before', checkExamples)
    .action((_options: unknown, command: Command) => runServer(cli, ['config', 'check', ...wordsOf(command)]))
  const explain = new Command('explain')
    .description('say where the value of a setting comes from')
    .argument('<name>', 'the setting, for example PORT')
    .option('--config <file>', 'configuration file to read (CONFIG, ./pulse.config.ts if there)')
    .addHelpText('before', explainExamples)
    .action((name: string, _options: unknown, command: Command) =>
      runServer(cli, ['config', 'explain', name, ...wordsOf(command)]),
    )
  return group('config', 'check and explain the settings of a server', {
    commands: [check, explain],
    examples: ['config check', 'config explain PORT'],
  })
}

function wordsOf(command: Command): string[] {
  const { config: file, data } = command.optsWithGlobals<Options>()
  return [...(file === undefined ? [] : ['--config', file]), ...(data === undefined ? [] : ['--data', data])]
}

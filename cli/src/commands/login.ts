import { createClient } from '@pulse/client'
import { Command } from 'commander'
import { type Cli, terminalOf } from '../cli.ts'
import { readSecret } from '../confirm.ts'
import { forgetContext, saveContext } from '../context.ts'
import { checkUrl, isLoopback } from '../target.ts'
import { printable } from '../terminal.ts'

interface Options {
  readonly url?: string
  readonly key?: string
  readonly forget?: boolean
}

const examples = `Examples:
  pulse login --url https://pulse.example.com       asks for the key
  pulse login --url https://pulse.example.com < key-file
  pulse login --forget                              forget the saved key
`

/** `pulse login`: checks a key and saves it with its server, so that later commands need neither. */
export function login(cli: Cli): Command {
  return new Command('login')
    .description('save a server and a key for later commands')
    .option('--forget', 'forget what is saved')
    .addHelpText('before', examples)
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<Options>()
      const terminal = terminalOf(cli, command)
      const file = cli.config.contextFile
      if (options.forget) {
        await forgetContext(file)
        return terminal.note('Forgotten.')
      }
      const url = checkUrl(options.url ?? cli.config.url ?? 'http://127.0.0.1:8000')
      if (url.startsWith('http:') && !isLoopback(url))
        terminal.note(`Warning: ${url} has no TLS; whoever is on the way can read the key.`)
      const key = options.key ?? cli.config.key ?? (await readSecret(cli, `Key for ${url}: `))
      const client = createClient({ url, credential: key, retry: { retriesMax: 1 } })
      const session = await client.session({ signal: cli.interrupts.signal })
      await saveContext(file, { url, key })
      if (terminal.json) return terminal.document('pulse.login.v1', { data: { url, session, file } })
      terminal.print(`Signed in at ${url} as ${printable(session.name)} (${session.scopes.join(', ')}).`)
      terminal.note(`Saved in ${file}, readable only by you. Next: pulse events list`)
    })
}

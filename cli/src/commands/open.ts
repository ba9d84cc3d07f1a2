import { spawn } from 'node:child_process'
import type { Role } from '@pulse/client'
import { Command, Option } from 'commander'
import { type Cli, connect } from '../cli.ts'

interface Options {
  readonly role: Role
  readonly print?: boolean
}

const examples = `Examples:
  pulse open                    open the dashboard in a browser, signed in
  pulse open --print            only print the link, for a browser elsewhere
  pulse open --role viewer --print
`

/** `pulse open`: a one-time sign-in link, opened where there is a browser. */
export function open(cli: Cli): Command {
  return new Command('open')
    .description('open the dashboard with a one-time sign-in link')
    .addOption(
      new Option('--role <role>', 'what the link allows')
        .choices(['viewer', 'operator', 'admin'])
        .default('admin'),
    )
    .option('--print', 'print the link, open nothing')
    .addHelpText('before', examples)
    .action(async ({ role, print }: Options, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      const link = await client.signInLinks.create({ role }, { signal })
      if (terminal.json) return terminal.document('pulse.open.v1', { data: link })
      const opened = !print && terminal.interactive && (await openBrowser(link.url))
      terminal.note(
        `${opened ? 'Opened. The link' : 'This link'} signs one browser in as ${role}, once, until ${link.expires_at}.`,
      )
      terminal.print(link.url)
    })
}

/** Hands the address to whatever opens addresses here. False if nothing does. */
function openBrowser(url: string): Promise<boolean> {
  const openers: Partial<Record<NodeJS.Platform, [string, string[]]>> = {
    darwin: ['open', [url]],
    win32: ['rundll32', ['url.dll,FileProtocolHandler', url]],
  }
  const [program, words] = openers[process.platform] ?? ['xdg-open', [url]]
  return new Promise((resolve) => {
    const child = spawn(program, words, { stdio: 'ignore', detached: true })
    child.once('error', () => resolve(false))
    child.once('spawn', () => {
      child.unref()
      resolve(true)
    })
  })
}

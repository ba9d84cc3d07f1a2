import type { Explanation } from '@pulse/client'
import { Command } from 'commander'
import { type Cli, connect } from '../cli.ts'
import { printable, type Style, type Terminal, table } from '../terminal.ts'

const examples = `Examples:
  pulse explain 0193c1a8-5a44-7c7e-9a51-0d8e3f1c2b4a --subscriber user_1
`

/** `pulse explain`: why a subscriber got an event, or did not. */
export function explain(cli: Cli): Command {
  return new Command('explain')
    .description('say why a subscriber got an event, or did not')
    .argument('<event_id>', 'the id of the event')
    .requiredOption('--subscriber <id>', 'who got it or did not (required)')
    .addHelpText('before', examples)
    .action(async (event: string, { subscriber }: { subscriber: string }, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      const explanation = await client.streams.explain({ event, subscriber }, { signal })
      if (terminal.json) return terminal.document('pulse.explain.v1', { data: explanation })
      report(terminal, explanation)
    })
}

const applies = {
  yes: 'yes',
  stored_later: 'no, stored after the event',
  changed_before: 'no, changed before the event',
} as const

const outcomes: Readonly<Record<Explanation['streams'][number]['outcome'], string>> = {
  no_permission: 'has a credential whose filter hides it',
  unknown: 'had another filter of its own then',
  no_match: 'has no filter that lets it through',
  gap: 'was told of a gap that it lies in',
  dropped: 'was too slow and wants the newest',
  replaced: 'was too slow and wants the latest of each key',
  began_after: 'began behind it',
  not_yet: 'has not sent it yet',
  sent: 'has sent it',
}

const verdictStyles: Readonly<Record<string, Style>> = { matches: 'green' }

function report(terminal: Terminal, explanation: Explanation): void {
  const { verdict, answer, position, replayable, filters, server, streams } = explanation
  terminal.print(terminal.style(verdictStyles[verdict] ?? 'yellow', printable(answer)))
  terminal.print('')
  if (filters.length > 0) {
    const rows = filters.map(({ name, version, applies: held, matches, failed }) => [
      name,
      String(version),
      applies[held],
      matches ? 'yes' : 'no',
      failed.join('; ') || '–',
    ])
    for (const line of table(['FILTER', 'VERSION', 'HELD THERE', 'MATCHES', 'WHAT FAILED'], rows))
      terminal.print(line)
    terminal.print('')
  }
  terminal.print(`  event      ${explanation.event_id}, at ${position}`)
  terminal.print(
    `  in the log ${replayable ? 'yes: a stream that resumes from before it reads it again' : 'no: retention has taken it'}`,
  )
  for (const { session, transport, state, outcome, failed } of streams) {
    terminal.print(`  stream     ${session} (${transport}, ${state}) ${outcomes[outcome]}`)
    for (const test of failed) terminal.print(`             ${printable(test)}`)
  }
  if (streams.length === 0)
    terminal.print(`  stream     none is open on the server that answers, ${printable(server)}`)
}

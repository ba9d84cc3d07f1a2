import type { EventRow } from '@pulse/client'
import type { EventState } from '@pulse/protocol/event'
import { Command, Option } from 'commander'
import { type Cli, connect } from '../cli.ts'
import { moment, pairs, wholeNumber } from '../option-values.ts'
import { type Style, shortTime, type Terminal, table } from '../terminal.ts'

// The keys and not the protocol's own list: that one brings its schemas along, which double the time to start.
const stateStyles: Record<EventState, Style> = {
  accepted: 'cyan',
  retrying: 'yellow',
  processed: 'green',
  dead: 'red',
  dropped: 'dim',
}

interface Options {
  readonly type?: string
  readonly user?: string
  readonly status?: EventState
  readonly from?: string
  readonly to?: string
  readonly property?: Record<string, string>
  readonly limit: number
  readonly cursor?: string
}

const examples = `Examples:
  pulse events list --type purchase --from 1h
  pulse events list --user user_7 --status dead
  pulse events list --type purchase --property currency=EUR --from 24h --json
`

/** `pulse events list`: one page of events, newest first. */
export function eventsList(cli: Cli): Command {
  return new Command('list')
    .description('find events, newest first')
    .option('--type <type>', 'only this event type')
    .option('--user <id>', 'only of this user')
    .addOption(new Option('--status <status>', 'only in this state').choices(Object.keys(stateStyles)))
    .option(
      '--from <time>',
      'received at or after: RFC 3339, a date, or a span back such as 15m, 2h, 7d',
      moment,
    )
    .option('--to <time>', 'received before', moment)
    .option('--property <name=value>', 'only with this property; may be repeated', pairs)
    .option('--limit <number>', 'rows of a page', wholeNumber(1, 1_000), 20)
    .option('--cursor <cursor>', 'go on where a page ended')
    .addHelpText('before', examples)
    .action(async (options: Options, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      const page = await client.events.list(
        {
          event_type: options.type,
          user_id: options.user,
          status: options.status,
          from: options.from,
          to: options.to,
          properties: options.property,
          limit: options.limit,
          cursor: options.cursor,
        },
        { signal },
      )
      if (terminal.json) return terminal.document('pulse.events.list.v1', { ...page })
      printRows(terminal, page.data)
      if (page.data.length === 0) terminal.note('No event matches.')
      if (page.has_more && page.cursor !== null)
        terminal.note(`There are more. Next: add --cursor ${page.cursor}`)
    })
}

function printRows(terminal: Terminal, rows: readonly EventRow[]): void {
  if (rows.length === 0) return
  const head = ['RECEIVED', 'TYPE', 'STATUS', 'USER', 'EVENT_ID']
  const cells = rows.map((row) => [
    shortTime(row.received_at),
    row.event_type,
    row.status,
    row.user_id ?? '–',
    row.event_id,
  ])
  const [first = '', ...lines] = table(head, cells)
  terminal.print(terminal.style('bold', first))
  lines.forEach((line, at) => {
    const status = rows[at]?.status
    // The state is coloured in place: the word stays, so the colour carries nothing on its own.
    terminal.print(
      status ? line.replace(` ${status} `, ` ${terminal.style(stateStyles[status], status)} `) : line,
    )
  })
}

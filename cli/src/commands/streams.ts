import type { OpenStream, OpenStreams } from '@pulse/client'
import { Command } from 'commander'
import { type Cli, connect, pause } from '../cli.ts'
import { notNegative } from '../option-values.ts'
import { openScreen } from '../screen.ts'
import { count, counted, duration, printable, type Terminal, table } from '../terminal.ts'

interface Options {
  readonly subscriber?: string
  readonly watch?: boolean
  readonly interval: number
}

const examples = `Examples:
  pulse streams
  pulse streams --watch                      refreshed each second
  pulse streams --subscriber user_1 --json
`

const explanation = `
BEHIND counts the events, of any kind, between a stream's place and the end of the log; AGE is that of
the oldest of them. Each server knows its own streams alone and says which one has answered: with
several behind one address, ask each at its own (--url).`

/** `pulse streams`: who listens on the server that answers, and how far they are. */
export function streams(cli: Cli): Command {
  return new Command('streams')
    .description('see who listens, and how far behind they are')
    .option('--subscriber <id>', 'only the streams of this subscriber')
    .option('--watch', 'go on looking until Ctrl-C')
    .option('--interval <seconds>', 'with --watch: time between two looks', notNegative, 1)
    .addHelpText('before', examples)
    .addHelpText('after', explanation)
    .action(async ({ subscriber, watch, interval }: Options, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command, { retriesMax: watch ? 5 : 2 })
      const look = () => client.streams.list({ subscriber }, { signal })
      if (!watch) return show(terminal, await look())
      using screen = terminal.interactive && !terminal.json ? openScreen(terminal) : undefined
      try {
        for (;;) {
          const open = await look()
          if (screen) screen.paint(pictureOf(terminal, open, cli.stdout))
          else show(terminal, open)
          await pause(Math.max(50, interval * 1000), signal)
        }
      } catch (error) {
        // Ctrl-C is how a view that never ends is left.
        if (!signal.aborted) throw error
      }
    })
}

function show(terminal: Terminal, open: OpenStreams): void {
  const server = printable(open.server)
  if (terminal.json) terminal.document('pulse.streams.v1', { ...open })
  else if (open.data.length === 0) terminal.note(`Nobody listens on ${server}. Next: pulse events tail`)
  else {
    for (const line of rowsOf(open.data)) terminal.print(line)
    terminal.note(`These are open on ${server}.`)
    if (open.has_more) terminal.note('There are more. Next: pulse streams --subscriber ID')
  }
}

type Size = Pick<NodeJS.WriteStream, 'rows' | 'columns'>

function pictureOf(terminal: Terminal, open: OpenStreams, { rows, columns }: Size): string[] {
  const { data, has_more } = open
  // A line that is broken in two would push the picture out of the screen.
  const [head = '', ...lines] = rowsOf(data).map((line) => line.slice(0, columns))
  // Title, head, the line of what is left out, and the way out.
  const room = Math.max(1, rows - 6)
  const behind = data.reduce((most, { behind_events }) => Math.max(most, behind_events), 0)
  const many = `${counted(data.length, 'stream')}${has_more ? ' and more' : ''}`
  const title = 'pulse streams'
  const facts = `  ${many} on ${printable(open.server)}, at most ${counted(behind, 'event')} behind`
  return [
    `${terminal.style('bold', title)}${facts.slice(0, Math.max(0, columns - title.length))}`,
    '',
    terminal.style('bold', head),
    ...lines.slice(0, room),
    lines.length > room ? `… and ${count(lines.length - room)} more` : '',
    terminal.style('dim', 'Ctrl-C ends'),
  ]
}

/** The slowest first, because they are what one looks for. */
function rowsOf(open: readonly OpenStream[]): string[] {
  const sorted = [...open].sort(
    (a, b) => b.behind_events - a.behind_events || (a.subscriber ?? '').localeCompare(b.subscriber ?? ''),
  )
  const rows = sorted.map((stream) => [
    stream.subscriber ?? '–',
    stream.transport,
    stream.state,
    count(stream.behind_events),
    ageOf(stream),
    count(stream.delivered),
    count(stream.gaps),
    count(stream.lagged),
    duration((Date.now() - Date.parse(stream.opened_at)) / 1000),
    stream.filters.join(',') || '–',
  ])
  return table(
    ['SUBSCRIBER', 'OVER', 'STATE', 'BEHIND', 'AGE', 'DELIVERED', 'GAPS', 'LAGGED', 'OPEN FOR', 'FILTERS'],
    rows,
  )
}

function ageOf({ behind_events, behind_seconds }: OpenStream): string {
  if (behind_events === 0) return '–'
  return behind_seconds === null ? 'unknown' : duration(behind_seconds)
}

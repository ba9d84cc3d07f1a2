import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import {
  type Client,
  type ConnectionState,
  type Gap,
  PulseError,
  type ReceivedEvent,
  type Scope,
  type Subscription,
} from '@pulse/client'
import { Command } from 'commander'
import { type Cli, type Connected, connect } from '../cli.ts'
import { createEventLines } from '../event-lines.ts'
import { exitCodes } from '../exit-code.ts'
import { CommandError } from '../failure.ts'
import { moment, wholeNumber } from '../option-values.ts'
import { counted, type Terminal } from '../terminal.ts'

interface Options {
  readonly filter?: string
  readonly subscriber?: string
  readonly from?: string
  readonly since?: string
  readonly limit?: number
}

const examples = `Examples:
  pulse events tail                                             everything, as it comes in
  pulse events tail --filter 'event_type = "order.*" and properties.amount > 100'
  pulse events tail --subscriber user_1 --since 10m             what user_1 gets, the last 10 min first
  pulse events tail --filter 'user_id = "user_7"' --json --limit 5
`

const explanation = `
The stream outlives restarts of the server and losses of the network: it goes on exactly where it
stopped. Events that cannot come any more are told as a GAP. Ctrl-C ends it and prints the position
that --from takes to go on from there. With --json every line is an event with its position, or a
gap.`

/** `pulse events tail`: events as they come in, each once, for as long as nobody stops it. */
export function eventsTail(cli: Cli): Command {
  return new Command('tail')
    .description('follow events as they come in')
    .option('--filter <expression>', 'only what matches this expression (default: everything)')
    .option('--subscriber <id>', 'what this subscriber’s stored filters let through')
    .option('--from <position>', 'begin there; `start` is the oldest event of the log (default: now)')
    .option('--since <time>', 'begin with what was kept since: a span back such as 10m, or RFC 3339', moment)
    .option('--limit <number>', 'end after this many events', wholeNumber(1, 1_000_000_000))
    .addHelpText('before', examples)
    .addHelpText('after', explanation)
    .action(async (options: Options, command: Command) => {
      checkOptions(options)
      const connected = await connect(cli, command)
      const { client, signal } = connected
      // A wrong key or address is told at once: a subscription would go on trying.
      const { scopes } = await client.session({ signal })
      const from = options.since === undefined ? options.from : await client.streams.positionAt(options.since)
      await follow(cli, connected, { ...options, ...(from !== undefined && { from }) }).catch((error) => {
        const isBound = options.subscriber === undefined && scopes.some((scope) => readsStreams.has(scope))
        throw isBound && error instanceof PulseError && error.code === 'forbidden' ? boundTo() : error
      })
    })
}

const readsStreams: ReadonlySet<Scope> = new Set(['stream:read', 'admin'])

/** For a credential that may follow streams, but not one of its own making: the server would name that one. */
const boundTo = () =>
  new CommandError(
    exitCodes.auth,
    'The credential may only read the streams of some subscribers',
    'add --subscriber with one of them',
  )

function checkOptions({ filter, subscriber, from, since }: Options): void {
  const next = 'pulse events tail --help'
  if (filter !== undefined && subscriber !== undefined)
    throw new CommandError(exitCodes.usage, '--filter and --subscriber do not go together', next)
  if (from !== undefined && since !== undefined)
    throw new CommandError(exitCodes.usage, '--from and --since do not go together', next)
}

async function follow(cli: Cli, { client, terminal, signal }: Connected, options: Options): Promise<void> {
  const news = createNews(terminal)
  await using stream = openStream(client, options, { signal, onConnection: news.connection })
  const lineOf = createEventLines(terminal, cli.stdout.columns)
  let taken = 0
  for await (const item of stream) {
    // Taken before it is written, so that the position in its line lies behind it.
    stream.confirm()
    if (item.kind === 'gap') news.gap(item)
    else if (terminal.json) terminal.document('pulse.events.tail.v1', documentOf(item, stream))
    else terminal.print(lineOf(item.event))
    await written(cli.stdout, signal)
    if (item.kind === 'event' && ++taken === options.limit) break
  }
  news.summary(taken, stream.position)
}

interface How {
  readonly signal: AbortSignal
  readonly onConnection: (state: ConnectionState) => void
}

function openStream(client: Client, { filter, subscriber, from }: Options, how: How): Subscription {
  if (subscriber !== undefined) return client.subscribe({ subscriber, from, ...how })
  // Over pulse.v1 and not over server-sent events, because only its frames prove to this side that nothing is missing.
  // A filter of the connection needs no stored one: the name is that of nobody else, and only says who listens.
  const name = `tail-${randomUUID()}`
  return client.subscribe({ subscriber: name, filter: { expression: filter ?? 'everything' }, from, ...how })
}

const documentOf = ({ event, matched }: ReceivedEvent, { position }: Subscription) => ({
  data: event,
  matched,
  position: position ?? null,
})

/** Resolves once a slow reader has taken what was written, or the command is to end. */
async function written(stdout: NodeJS.WriteStream, signal: AbortSignal): Promise<void> {
  if (!stdout.writableNeedDrain || signal.aborted) return
  await once(stdout, 'drain', { signal }).catch(() => {})
}

/** Tells on standard error what happens to the stream. Only a gap is told under `--json` too, and then in the result. */
function createNews(terminal: Terminal) {
  let state: ConnectionState['kind'] = 'connecting'
  let wasLive = false
  let gaps = 0
  const note = (line: string) => terminal.json || terminal.note(line)
  return {
    connection({ kind }: ConnectionState): void {
      if (kind === 'live' && !wasLive) note(terminal.styleNote('dim', 'Connected. Ctrl-C ends.'))
      else if (kind === 'live' && state !== 'live') note('Connected again, going on where it stopped.')
      else if (kind === 'waiting' && state === 'live')
        note(terminal.styleNote('yellow', 'The connection is lost. Trying again …'))
      wasLive ||= kind === 'live'
      // Between two attempts it connects and waits in turn, which is one loss.
      if (kind === 'live' || kind === 'waiting') state = kind
    },
    gap({ from, to, reason }: Gap): void {
      gaps++
      if (terminal.json) terminal.document('pulse.events.gap.v1', { data: { from, to, reason } })
      const told = `GAP: events are missing here and will not come (${gapReasons[reason] ?? reason}), from ${from} to ${to}`
      terminal.note(terminal.styleNote('red', told))
    },
    summary(taken: number, position: string | undefined): void {
      const missing = gaps === 0 ? 'no gap' : terminal.styleNote('red', counted(gaps, 'gap'))
      note(`${counted(taken, 'event')}, ${missing}.`)
      if (position !== undefined) note(`Next: add --from '${position}' to go on from here`)
    },
  }
}

const gapReasons: Partial<Record<Gap['reason'], string>> = {
  retention: 'the log does not reach back that far',
  epoch: 'the position is that of another log',
  position_gone: 'the server does not know the position any more',
  dropped: 'the reader was too slow',
  corrupt: 'the log cannot be read there',
}

import { randomUUID } from 'node:crypto'
import type { Event } from '@pulse/protocol/event'
import { newWebhookSecret } from '@pulse/protocol/webhook-signature'
import { Command } from 'commander'
import { type Cli, connect, terminalOf } from '../cli.ts'
import { createEventLines } from '../event-lines.ts'
import { exitCodes } from '../exit-code.ts'
import { CommandError } from '../failure.ts'
import { type Forwarded, forwardEvent, forwardOnce, isTaken } from '../listen/forward.ts'
import { openReceiver, type Received } from '../listen/receiver.ts'
import { wholeNumber } from '../option-values.ts'
import { printable, type Style, type Terminal } from '../terminal.ts'

interface Options {
  readonly port: number
  readonly forwardTo?: string
  readonly secret?: string
  readonly subscriber?: string
  readonly filter?: string
  readonly limit?: number
}

const examples = `Examples:
  pulse listen --secret whsec_…                       a receiver for a webhook: checks and prints
  pulse listen --port 4321 --secret whsec_… --forward-to http://127.0.0.1:3000/hooks
  pulse listen --subscriber user_1 --forward-to http://127.0.0.1:3000/hooks
  pulse listen --filter 'event_type = "order.*"' --forward-to http://127.0.0.1:3000/hooks
`

const explanation = `
Without --subscriber and --filter it waits on this machine for the requests of a webhook, checks their
signatures (401 if they are wrong), prints the events and, with --forward-to, hands each request on and
answers with the status that came back.
With one of them it needs no webhook and no open port: it follows the stream, and sends each event,
signed, to --forward-to. It tries five times; then it says so and goes on with the next.`

/** `pulse listen`: a receiver of webhooks to develop against, and a way to get events to a program that no server can reach. */
export function listen(cli: Cli): Command {
  return new Command('listen')
    .description('receive webhooks here, or forward events to a program here')
    .option(
      '--port <number>',
      'port of this machine to listen on; 0 takes a free one',
      wholeNumber(0, 65_535),
      0,
    )
    .option('--forward-to <url>', 'send what comes to this address')
    .option('--secret <secret>', 'what requests are signed with, whsec_…')
    .option('--subscriber <id>', 'follow what this subscriber’s stored filters let through')
    .option('--filter <expression>', 'follow what matches this expression')
    .option('--limit <number>', 'end after this many events', wholeNumber(1, 1_000_000_000))
    .addHelpText('before', examples)
    .addHelpText('after', explanation)
    .action(async (options: Options, command: Command) => {
      checkOptions(options)
      const follows = options.subscriber !== undefined || options.filter !== undefined
      await (follows ? follow(cli, command, options) : receive(cli, command, options))
    })
}

function checkOptions({ subscriber, filter, forwardTo, secret }: Options): void {
  const wrong = (message: string) => new CommandError(exitCodes.usage, message, 'pulse listen --help')
  if (subscriber !== undefined && filter !== undefined)
    throw wrong('--filter and --subscriber do not go together')
  if ((subscriber !== undefined || filter !== undefined) && forwardTo === undefined)
    throw wrong('--subscriber and --filter need --forward-to; to look only, use pulse events tail')
  if (forwardTo !== undefined && !/^https?:$/.test(URL.parse(forwardTo)?.protocol ?? ''))
    throw wrong(`--forward-to is not a URL: ${forwardTo}`)
  if (secret !== undefined && !/^whsec_[A-Za-z0-9+/]+=*$/.test(secret))
    throw wrong('--secret does not begin with whsec_ followed by Base64')
}

async function receive(cli: Cli, command: Command, options: Options): Promise<void> {
  const terminal = terminalOf(cli, command)
  const { signal } = cli.interrupts
  const lines = createLines(terminal, cli.stdout.columns)
  const done = Promise.withResolvers<void>()
  let taken = 0
  const take = async (received: Received): Promise<number> => {
    const { forwardTo, limit } = options
    const forwarded = forwardTo === undefined ? undefined : await forwardOnce(forwardTo, received, signal)
    lines.received(received, forwarded)
    if (++taken === limit) setImmediate(done.resolve)
    if (!forwarded) return 204
    // A gateway that cannot reach what is behind it says so, and the webhook tries again.
    return 'status' in forwarded ? forwarded.status : 502
  }
  await using receiver = await openReceiver({
    ...{ port: options.port, secret: options.secret, take },
    refused: (received) => lines.received(received, undefined),
  })
  terminal.note(`Listening on ${receiver.url}. Ctrl-C ends.`)
  if (options.secret === undefined)
    terminal.note(terminal.styleNote('yellow', 'Signatures are not checked. Next: add --secret whsec_…'))
  signal.addEventListener('abort', () => done.resolve())
  await done.promise
}

async function follow(cli: Cli, command: Command, options: Options): Promise<void> {
  const { client, terminal, signal } = await connect(cli, command)
  const { forwardTo = '', subscriber, filter, limit } = options
  // A wrong key or address is told at once: a subscription would go on trying.
  await client.session({ signal })
  const secret = options.secret ?? newWebhookSecret()
  if (options.secret === undefined) terminal.note(`The signing secret is ${secret}`)
  const name = subscriber ?? `listen-${randomUUID()}`
  const own = filter === undefined ? {} : { filter: { expression: filter } }
  await using stream = client.subscribe({ subscriber: name, ...own, signal })
  terminal.note(`Forwarding to ${forwardTo}. Ctrl-C ends.`)
  const lines = createLines(terminal, cli.stdout.columns)
  let taken = 0
  for await (const item of stream) {
    if (item.kind === 'gap') {
      terminal.note(
        terminal.styleNote('red', `GAP: events are missing here and will not come (${item.reason})`),
      )
      continue
    }
    const { event } = item
    // Taken before it is sent, so that the position in it lies behind it, as in what the server sends.
    stream.confirm()
    const body = JSON.stringify({ ...event, position: stream.position })
    const outcome = await forwardEvent(forwardTo, { id: event.event_id, body, secret }, signal).catch(
      (error: unknown) => {
        if (signal.aborted) return undefined
        throw error
      },
    )
    if (!outcome) break
    lines.forwarded(event, outcome)
    if (++taken === limit) break
  }
}

const colours: Readonly<Record<Received['verdict'], Style>> = {
  ...{ good: 'green', unchecked: 'dim', unsigned: 'red', old: 'red', forged: 'red' },
}

function createLines(terminal: Terminal, width: number | undefined) {
  const lineOf = createEventLines(terminal, width)
  const marked = (mark: string, colour: Style, text: string, outcome: Forwarded | undefined) =>
    terminal.print(
      `${terminal.style(colour, mark.padEnd(9))}  ${outcome ? `${outcomeText(terminal, outcome)}  ` : ''}${text}`,
    )
  return {
    received({ id, verdict, isRepeat, body }: Received, outcome: Forwarded | undefined): void {
      const event = eventOf(body)
      const isGood = verdict === 'good' || verdict === 'unchecked'
      if (terminal.json) {
        const facts = { webhook_id: id, signature: verdict, repeat: isRepeat, forwarded: outcome ?? null }
        terminal.document('pulse.listen.v1', { data: event ?? null, ...facts })
      } else {
        const text = event ? lineOf(event) : `${printable(id)}  no event: ${printable(body.slice(0, 80))}`
        const [mark, colour] =
          isGood && isRepeat ? ['repeat', 'yellow' as const] : [verdict, colours[verdict]]
        marked(mark, colour, text, outcome)
      }
    },
    forwarded(event: Event, outcome: Forwarded): void {
      if (terminal.json) terminal.document('pulse.listen.v1', { data: event, forwarded: outcome })
      else terminal.print(`${outcomeText(terminal, outcome)}  ${lineOf(event)}`)
    },
  }
}

function outcomeText(terminal: Terminal, outcome: Forwarded): string {
  const text = 'status' in outcome ? String(outcome.status) : printable(outcome.error)
  return terminal.style(isTaken(outcome) ? 'green' : 'red', text)
}

function eventOf(body: string): Event | undefined {
  try {
    const value: unknown = JSON.parse(body)
    const isEvent =
      typeof value === 'object' &&
      value !== null &&
      'event_id' in value &&
      'event_type' in value &&
      'properties' in value
    return isEvent ? (value as Event) : undefined
  } catch {
    return undefined
  }
}

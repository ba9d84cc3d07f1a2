import { type Accepted, type Client, type EventLife, newEventId, PulseError } from '@pulse/client'
import type { SubmittedEvent } from '@pulse/protocol/event'
import { Command, InvalidArgumentError } from 'commander'
import { type Cli, connect, pause } from '../cli.ts'
import { exitCodes } from '../exit-code.ts'
import { CommandError } from '../failure.ts'
import { scalar } from '../option-values.ts'
import { randomEvent, sampleTypes } from '../random-events.ts'
import type { Terminal } from '../terminal.ts'

interface Options {
  readonly user?: string
  readonly id?: string
  readonly timestamp?: string
  readonly source?: string
  readonly properties?: Record<string, unknown>
  readonly sample?: boolean
  readonly wait?: boolean
}

const examples = `Examples:
  pulse events send purchase amount=42 currency=EUR --user user_7
  pulse events send order.created --properties '{"lines":[{"sku":"a","count":2}]}'
  pulse events send purchase --sample --wait    a made-up purchase, and what became of it
`

const waitMsMax = 30_000

/** `pulse events send`: one event, its receipt, and with `--wait` what became of it. */
export function eventsSend(cli: Cli): Command {
  return new Command('send')
    .description('send one event')
    .argument('<type>', 'what happened, for example purchase')
    .argument('[name=value...]', 'properties; numbers, true, false and null are read as such', property, {})
    .option('--user <id>', 'whom it is about')
    .option('--id <uuid>', 'its id; the same id sent twice counts once')
    .option('--timestamp <time>', 'when it happened, RFC 3339; now when left out')
    .option('--source <name>', 'which system sent it')
    .option('--properties <json>', 'properties as a JSON object', jsonObject)
    .option('--sample', `fill in made-up values (${sampleTypes.join(', ')})`)
    .option('--wait', 'wait until it is processed')
    .addHelpText('before', examples)
    .action(async (type: string, properties: Record<string, unknown>, options: Options, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      const accepted = await client.events.publish(eventOf(type, properties, options), { signal })
      const life = options.wait ? await untilSettled(client, accepted.event_id, signal) : undefined
      if (terminal.json) terminal.document('pulse.events.send.v1', { data: accepted, ...(life && { life }) })
      else report(terminal, accepted, life)
      if (life?.status === 'dead')
        throw new CommandError(
          exitCodes.failed,
          `The event could not be processed: ${life.dead_letter?.error.message ?? 'no reason given'}`,
          `pulse events get ${accepted.event_id}`,
        )
    })
}

function eventOf(type: string, properties: Record<string, unknown>, options: Options): SubmittedEvent {
  const sample = options.sample ? randomEvent(type) : undefined
  const user = options.user ?? sample?.user_id
  return {
    event_id: options.id ?? newEventId(),
    event_type: type,
    ...(user === undefined ? {} : { user_id: user }),
    ...(options.timestamp === undefined ? {} : { timestamp: options.timestamp }),
    ...(options.source === undefined ? {} : { source: options.source }),
    properties: { ...sample?.properties, ...options.properties, ...properties },
  }
}

function report(terminal: Terminal, { event_id, receipt }: Accepted, life: EventLife | undefined): void {
  terminal.note(`Kept (${receipt.durability}) at ${receipt.received_at}${life ? `, ${life.status}` : ''}.`)
  terminal.print(event_id)
  if (life === undefined) terminal.note(`Next: pulse events get ${event_id}`)
}

/** Asks until the event is processed, dead or dropped. Throws CommandError when that takes too long. */
async function untilSettled(client: Client, eventId: string, signal: AbortSignal): Promise<EventLife> {
  const deadline = Date.now() + waitMsMax
  while (Date.now() < deadline) {
    const life = await findLife(client, eventId, signal)
    if (life && ['processed', 'dead', 'dropped'].includes(life.status)) return life
    await pause(100, signal)
  }
  throw new CommandError(
    exitCodes.unavailable,
    `The event is kept, but was not processed within ${waitMsMax / 1000} s`,
    `pulse events get ${eventId}`,
  )
}

async function findLife(
  client: Client,
  eventId: string,
  signal: AbortSignal,
): Promise<EventLife | undefined> {
  try {
    return await client.events.get(eventId, { signal })
  } catch (error) {
    // Rows follow the log by some milliseconds.
    if (error instanceof PulseError && error.code === 'not_found') return undefined
    throw error
  }
}

function property(text: string, earlier: Record<string, unknown>): Record<string, unknown> {
  const cut = text.indexOf('=')
  if (cut < 1) throw new InvalidArgumentError('A property is written NAME=VALUE.')
  return { ...earlier, [text.slice(0, cut)]: scalar(text.slice(cut + 1)) }
}

function jsonObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  } catch {
    // Said below, like any other value that is not an object.
  }
  throw new InvalidArgumentError('It must be a JSON object.')
}

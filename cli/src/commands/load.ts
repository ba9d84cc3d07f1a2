import { randomUUID } from 'node:crypto'
import { instantOf } from '@pulse/protocol/instant'
import { Command } from 'commander'
import { type Cli, type Connected, connect } from '../cli.ts'
import { exitCodes } from '../exit-code.ts'
import { CommandError } from '../failure.ts'
import { createLoadFilters, type LoadFilters } from '../load/load-filters.ts'
import { type LoadResult, runOpenLoop } from '../load/open-loop.ts'
import { openReceivers, type Received, type Receivers } from '../load/receivers.ts'
import { notNegative, wholeNumber } from '../option-values.ts'
import { createProgress } from '../progress.ts'
import { randomEvent } from '../random-events.ts'
import { count, counted, milliseconds, type Terminal } from '../terminal.ts'

interface Options {
  readonly events: number
  readonly rate: number
  readonly connections: number
  readonly type: string
  readonly timeout: number
  readonly sockets?: number
  readonly subscribers: string
}

const examples = `Examples:
  pulse load --events 1000 --rate 100
  pulse load --events 600000 --rate 10000 --connections 256 --json
  pulse load --sockets 50 --events 3000 --rate 100      each event to 50 subscribers over WebSocket
`

const explanation = `
Requests start on a fixed schedule, whatever the server does, and latency counts from the intended
start. Every answer other than 2xx and every connection error is a failure. The events are real:
they are kept and processed.

With --sockets it first stores a filter for each of load_test_user_0, load_test_user_1, … and opens a
stream for each. All events match: what does not arrive at every socket is missing, and delivery
counts from the intended start to the arrival. In the end the filters are removed, also after Ctrl-C,
and one that was another before is put back.`

/** `pulse load`: an open-loop load test of `POST /events`, one event per request, and of its way to subscribers. */
export function load(cli: Cli): Command {
  return new Command('load')
    .description('measure how fast events are acknowledged, and delivered, at a fixed rate')
    .option('--events <number>', 'how many', wholeNumber(1, 1_000_000_000), 1_000)
    .option('--rate <number>', 'events per second', notNegative, 100)
    .option('--connections <number>', 'connections to send them on', wholeNumber(1, 10_000), 64)
    .option('--type <type>', 'event type', 'purchase')
    .option('--timeout <seconds>', 'an answer that takes longer is a failure', notNegative, 10)
    .option('--sockets <number>', 'subscribers that listen', wholeNumber(1, 10_000))
    .option('--subscribers <prefix>', 'with --sockets: what their names begin with', 'load_test_user_')
    .addHelpText('before', examples)
    .addHelpText('after', explanation)
    .action(async (options: Options, command: Command) => {
      if (options.rate === 0)
        throw new CommandError(exitCodes.usage, '--rate must be above 0', 'pulse load --rate 100')
      const connected = await connect(cli, command)
      const { client, terminal, signal } = connected
      // A wrong key or address is told as such and not as a thousand failures.
      await client.session({ signal })
      const source = `pulse-load-${randomUUID().slice(0, 8)}`
      const subscribers = subscribersOf(options)
      await using filters = filtersOf(connected, options, subscribers)
      await using receivers = await openSockets(connected, { filters, subscribers, source })
      const result = await sendAll(connected, options, bodyOf(options, source))
      const { succeeded: acknowledged, sent } = result
      const delivery = await receivers?.settled({ acknowledged, sent }, options.timeout * 1000)
      if (terminal.json)
        terminal.document('pulse.load.v1', {
          data: { asked: options, ...result, ...(delivery && { delivery }) },
        })
      else report(terminal, options, { result, delivery })
      signal.throwIfAborted()
      judge(result)
      judgeDelivery(delivery)
    })
}

// What the filter of the sockets asks for.
const user_tier = 'premium'
const min_amount = 100

/** None without `--sockets`. */
function subscribersOf({ sockets = 0, subscribers: prefix }: Options): readonly string[] {
  return Array.from({ length: sockets }, (_, n) => `${prefix}${n}`)
}

function filtersOf(
  { client, terminal, signal }: Connected,
  { type }: Options,
  subscribers: readonly string[],
): LoadFilters {
  const filter = { event_types: [type], user_tiers: [user_tier], min_amount }
  return createLoadFilters({ client, terminal, subscribers, filter, signal })
}

async function openSockets(
  { client, terminal, signal }: Connected,
  from: { filters: LoadFilters; subscribers: readonly string[]; source: string },
): Promise<Receivers | undefined> {
  const { filters, subscribers, source } = from
  if (subscribers.length === 0) return undefined
  using progress = createProgress(terminal, { unit: 'filters', total: subscribers.length })
  await filters.store((done) => progress.at(done, done))
  progress.stop()
  return await openReceivers({ client, subscribers, source, signal })
}

/** Makes bodies: made-up events; for sockets such as say when they were due, and match their filter. */
function bodyOf({ type, sockets }: Options, source: string): (dueAt: number) => string {
  if (sockets === undefined) return () => JSON.stringify(randomEvent(type))
  return (dueAt: number) => {
    const { properties, ...event } = randomEvent(type)
    const timestamp = instantOf(Math.round((performance.timeOrigin + dueAt) * 1000))
    const amount = min_amount + Math.floor(Math.random() * 10_000) / 100
    return JSON.stringify({ ...event, timestamp, source, properties: { ...properties, amount, user_tier } })
  }
}

async function sendAll(
  { target, terminal, signal }: Connected,
  options: Options,
  body: (dueAt: number) => string,
): Promise<LoadResult> {
  using progress = createProgress(terminal, { unit: 'requests', total: options.events })
  return await runOpenLoop({
    url: new URL(`${target.url}/events`),
    headers: {
      'content-type': 'application/json',
      ...(target.key === undefined ? {} : { authorization: `Bearer ${target.key}` }),
    },
    body,
    requests: options.events,
    rate: options.rate,
    connections: Math.min(options.connections, options.events),
    timeoutMsMax: options.timeout * 1000,
    signal,
    onProgress: (ended) => progress.at(ended, ended),
  })
}

interface Results {
  readonly result: LoadResult
  readonly delivery: Received | undefined
}

function report(terminal: Terminal, asked: Options, { result, delivery }: Results): void {
  const latency = result.latency_ms
  const row = (name: string, value: string) => terminal.print(`  ${name.padEnd(14)}${value}`)
  const why = Object.entries(result.failures).map(([outcome, number]) => `${outcome}: ${count(number)}`)
  row('sent', `${count(result.sent)} in ${result.seconds.toFixed(2)} s on ${asked.connections} connections`)
  row('rate', `${result.rate_reached.toFixed(1)}/s reached, ${asked.rate}/s asked`)
  row('succeeded', count(result.succeeded))
  row('failed', `${count(result.failed)}${why.length === 0 ? '' : ` (${why.join(', ')})`}`)
  if (latency) {
    row(
      'latency',
      `min ${milliseconds(latency.min)}, mean ${milliseconds(latency.mean)}, max ${milliseconds(latency.max)}`,
    )
    row('', percentiles(latency))
  }
  if (delivery) {
    const { sockets, received, missing, repeated, received_per_second: rate } = delivery
    row('delivered', `${count(received)} to ${counted(sockets, 'socket')}, ${count(rate)}/s`)
    row('', `${count(missing)} missing, ${count(repeated)} twice, ${counted(delivery.gaps, 'gap')}`)
    if (delivery.latency_ms) row('delivery', percentiles(delivery.latency_ms))
  }
  const good = result.failed === 0
  terminal.print(
    terminal.style(
      good ? 'green' : 'red',
      `  ${'success rate'.padEnd(14)}${(result.success_rate * 100).toFixed(2)} %`,
    ),
  )
}

const percentiles = ({ p50, p95, p99 }: { p50: number; p95: number; p99: number }) =>
  `p50 ${milliseconds(p50)}  p95 ${milliseconds(p95)}  p99 ${milliseconds(p99)}`

function judge({ sent, succeeded, failed }: LoadResult): void {
  if (failed === 0) return
  if (succeeded === 0)
    throw new CommandError(exitCodes.unavailable, `All ${counted(sent, 'request')} failed`, 'pulse doctor')
  throw new CommandError(
    exitCodes.partial,
    `${count(failed)} of ${counted(sent, 'request')} failed`,
    'pulse doctor',
  )
}

function judgeDelivery(delivery: Received | undefined): void {
  if (delivery === undefined || (delivery.missing === 0 && delivery.repeated === 0)) return
  const { missing, repeated } = delivery
  const wrong = `Of the deliveries, ${count(missing)} are missing and ${count(repeated)} came twice`
  throw new CommandError(exitCodes.partial, wrong, 'pulse streams')
}

import { Command } from 'commander'
import { type Cli, connect } from '../cli.ts'
import { exitCodes } from '../exit-code.ts'
import { CommandError } from '../failure.ts'
import { type LoadResult, runOpenLoop } from '../load/open-loop.ts'
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
}

const examples = `Examples:
  pulse load --events 1000 --rate 100
  pulse load --events 600000 --rate 10000 --connections 256 --json
`

const explanation = `
Requests start on a fixed schedule, whatever the server does, and latency counts from the intended
start. Every answer other than 2xx and every connection error is a failure. The events are real:
they are kept and processed.`

/** `pulse load`: an open-loop load test of `POST /events`, one event per request. */
export function load(cli: Cli): Command {
  return new Command('load')
    .description('measure how fast events are acknowledged at a fixed rate')
    .option('--events <number>', 'how many', wholeNumber(1, 1_000_000_000), 1_000)
    .option('--rate <number>', 'events per second', notNegative, 100)
    .option('--connections <number>', 'connections to send them on', wholeNumber(1, 10_000), 64)
    .option('--type <type>', 'event type', 'purchase')
    .option('--timeout <seconds>', 'an answer that takes longer is a failure', notNegative, 10)
    .addHelpText('before', examples)
    .addHelpText('after', explanation)
    .action(async (options: Options, command: Command) => {
      if (options.rate === 0)
        throw new CommandError(exitCodes.usage, '--rate must be above 0', 'pulse load --rate 100')
      const { client, target, terminal, signal } = await connect(cli, command)
      // A wrong key or address is told as such and not as a thousand failures.
      await client.session({ signal })
      using progress = createProgress(terminal, { unit: 'requests', total: options.events })
      const result = await runOpenLoop({
        url: new URL(`${target.url}/events`),
        headers: {
          'content-type': 'application/json',
          ...(target.key === undefined ? {} : { authorization: `Bearer ${target.key}` }),
        },
        body: () => JSON.stringify(randomEvent(options.type)),
        requests: options.events,
        rate: options.rate,
        connections: Math.min(options.connections, options.events),
        timeoutMsMax: options.timeout * 1000,
        signal,
        onProgress: (ended) => progress.at(ended, ended),
      })
      progress.stop()
      if (terminal.json) terminal.document('pulse.load.v1', { data: { asked: options, ...result } })
      else report(terminal, options, result)
      signal.throwIfAborted()
      judge(result)
    })
}

function report(terminal: Terminal, asked: Options, result: LoadResult): void {
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
    row(
      '',
      `p50 ${milliseconds(latency.p50)}  p95 ${milliseconds(latency.p95)}  p99 ${milliseconds(latency.p99)}`,
    )
  }
  const good = result.failed === 0
  terminal.print(
    terminal.style(
      good ? 'green' : 'red',
      `  ${'success rate'.padEnd(14)}${(result.success_rate * 100).toFixed(2)} %`,
    ),
  )
}

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

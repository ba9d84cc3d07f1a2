import type { Summary } from '@pulse/client'
import { Command } from 'commander'
import { type Cli, connect, pause } from '../cli.ts'
import { notNegative, wholeNumber } from '../option-values.ts'
import { openScreen, type Screen } from '../screen.ts'
import { count, duration, milliseconds, type Terminal } from '../terminal.ts'

interface Options {
  readonly interval: number
  readonly count?: number
}

const examples = `Examples:
  pulse top                        refreshed each second
  pulse top --interval 5 --json    one JSON document every 5 s
  pulse top --count 1              once
`

/** `pulse top`: what the server measures, live where a person watches, else a line each time. */
export function top(cli: Cli): Command {
  return new Command('top')
    .description('watch queue, rates and latencies')
    .option('--interval <seconds>', 'time between two looks', notNegative, 1)
    .option('--count <number>', 'end after this many looks', wholeNumber(1, 1_000_000_000))
    .addHelpText('before', examples)
    .action(async (options: Options, command: Command) => {
      const { client, terminal, target, signal } = await connect(cli, command, { retriesMax: 5 })
      using screen = terminal.interactive && !terminal.json ? openScreen(terminal) : undefined
      try {
        for (let look = 0; look < (options.count ?? Number.POSITIVE_INFINITY); look++) {
          if (look > 0) await pause(Math.max(50, options.interval * 1000), signal)
          show(terminal, await client.metrics.summary({ signal }), target.url, screen)
        }
      } catch (error) {
        // The way out that the screen names is no failure.
        if (!screen || !signal.aborted) throw error
      }
    })
}

function show(terminal: Terminal, summary: Summary, url: string, screen: Screen | undefined): void {
  if (terminal.json) terminal.document('pulse.top.v1', { data: summary })
  else if (screen) screen.paint(screenOf(terminal, summary, url))
  else terminal.print(lineOf(summary))
}

/** One look in one line. */
function lineOf(summary: Summary): string {
  const { rates, ack_ms, processing_ms } = summary
  return [
    summary.timestamp,
    `queue ${summary.queue_length ?? '–'}`,
    `pending ${summary.pending_messages ?? '–'}`,
    `received ${count(rates.received_per_second)}/s`,
    `processed ${count(rates.processed_per_second)}/s`,
    `failed ${summary.failed}`,
    `ack p95 ${milliseconds(ack_ms.p95)}`,
    `processing p95 ${milliseconds(processing_ms.p95)}`,
  ].join('  ')
}

const known = (value: number | null) => (value === null ? '–' : count(value))

function screenOf(terminal: Terminal, summary: Summary, url: string): string[] {
  const { rates, backlog, ack_ms, processing_ms, disk } = summary
  const bold = (text: string) => terminal.style('bold', text)
  const failed = terminal.style(summary.failed > 0 ? 'red' : 'green', count(summary.failed))
  const row = (name: string, ...cells: string[]) =>
    `  ${name.padEnd(14)}${cells.map((cell) => cell.padStart(14)).join('')}`
  const latency = (name: string, { p50, p95, p99 }: Summary['ack_ms']) =>
    row(name, milliseconds(p50), milliseconds(p95), milliseconds(p99))
  return [
    `${bold('pulse top')}  ${url}  up ${duration(summary.uptime_seconds)}  ${summary.timestamp.slice(11, 19)}Z`,
    '',
    bold(row('', 'now', 'since start')),
    row('received', `${count(rates.received_per_second)}/s`, count(summary.received)),
    row('processed', `${count(rates.processed_per_second)}/s`, count(summary.processed)),
    row('failed', '', '').slice(0, 30) + failed.padStart(14 + failed.length - count(summary.failed).length),
    row('retried', '', count(summary.retried)),
    row('duplicates', '', count(summary.duplicates)),
    row('rejected', '', count(summary.rejected)),
    '',
    bold(row('', 'events', 'behind')),
    row('queue', known(summary.queue_length), backlog.seconds === null ? '–' : duration(backlog.seconds)),
    row('pending', known(summary.pending_messages)),
    '',
    bold(row('', 'p50', 'p95', 'p99')),
    latency('acknowledge', ack_ms),
    latency('process', processing_ms),
    '',
    row('event loop', '', '', milliseconds(summary.event_loop_p99_ms)),
    row('memory', `${count(summary.memory_bytes / 1_048_576)} MiB`),
    ...(disk === null
      ? []
      : [
          row(
            'disk',
            `${(disk.used_ratio * 100).toFixed(0)} % used`,
            `${count(disk.free_bytes / 1_073_741_824)} GiB free`,
          ),
        ]),
    '',
    terminal.style('dim', '  Ctrl-C ends'),
  ]
}

import type { Client } from '@pulse/client'
import { Command } from 'commander'
import { type Cli, connect, pause } from '../cli.ts'
import { exitCodes } from '../exit-code.ts'
import { CommandError } from '../failure.ts'
import { notNegative, wholeNumber } from '../option-values.ts'
import { createProgress } from '../progress.ts'
import { randomEvent, sampleTypes } from '../random-events.ts'
import { count, counted } from '../terminal.ts'

interface Options {
  readonly count: number
  readonly rate: number
  readonly type?: string
}

const examples = `Examples:
  pulse generate events                               100 events, 10 a second
  pulse generate events --count 100000 --rate 0       as fast as they are taken
  pulse generate events --type purchase --rate 50
`

const batchEventsMax = 500

/** `pulse generate events`: made-up events at a steady rate. */
export function generateEvents(cli: Cli): Command {
  return new Command('events')
    .description('send made-up events at a steady rate')
    .option('--count <number>', 'how many', wholeNumber(1, 1_000_000_000), 100)
    .option('--rate <number>', 'events per second; 0 for as fast as they are taken', notNegative, 10)
    .option('--type <type>', `only this type (otherwise any of ${sampleTypes.join(', ')})`)
    .addHelpText('before', examples)
    .action(async (options: Options, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command, { retriesMax: 20 })
      using progress = createProgress(terminal, { unit: 'events', total: options.count })
      const startedAt = performance.now()
      const sent = await generate(client, options, signal, (total) => progress.at(total, total))
      const seconds = (performance.now() - startedAt) / 1000
      progress.stop()
      const accepted = sent.accepted
      if (terminal.json) terminal.document('pulse.generate.events.v1', { data: { ...sent, seconds } })
      else
        terminal.print(
          `Sent ${counted(accepted, 'event')} in ${seconds.toFixed(1)} s (${count(accepted / seconds)}/s).`,
        )
      if (sent.rejected > 0)
        throw new CommandError(
          exitCodes.partial,
          `${counted(sent.rejected, 'event')} rejected`,
          'pulse doctor',
        )
    })
}

interface Sent {
  accepted: number
  rejected: number
}

/** Sends what is due, as one batch when more than one is, so that any rate is reached with few requests. */
async function generate(
  client: Client,
  { count: total, rate, type }: Options,
  signal: AbortSignal,
  onSent: (total: number) => void,
): Promise<Sent> {
  const sent: Sent = { accepted: 0, rejected: 0 }
  const startedAt = performance.now()
  for (let next = 0; next < total; ) {
    const elapsed = (performance.now() - startedAt) / 1000
    const due = rate === 0 ? total : Math.min(total, Math.floor(elapsed * rate) + 1)
    const size = Math.min(due - next, batchEventsMax)
    if (size <= 0) {
      await pause(Math.max(1, (next / rate - elapsed) * 1000), signal)
      continue
    }
    const result = await client.events.publishBatch(
      Array.from({ length: size }, () => randomEvent(type)),
      { signal },
    )
    sent.accepted += result.accepted + result.duplicates
    sent.rejected += result.rejected
    next += size
    onSent(next)
  }
  return sent
}

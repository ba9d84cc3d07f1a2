import type { FilterTrialResult } from '@pulse/client'
import { Command } from 'commander'
import { type Cli, connect } from '../cli.ts'
import { type ConditionOptions, readCondition, withConditionOptions } from '../condition.ts'
import { createEventLines } from '../event-lines.ts'
import { list, moment, wholeNumber } from '../option-values.ts'
import { count, counted, printable, shortTime, type Terminal } from '../terminal.ts'

interface Options extends ConditionOptions {
  readonly from?: string
  readonly to?: string
  readonly among?: string[]
  readonly limit: number
}

const examples = `Examples:
  pulse filters test 'event_type = "purchase" and properties.amount >= 100'
  pulse filters test 'properties.origin in ("SFO", "OAK")' --from 24h --limit 5
  pulse filters test --pattern pattern.json --among purchase --json
`

/** `pulse filters test`: what a filter would have let through, what it costs, and whether it would be stored. */
export function filtersTest(cli: Cli): Command {
  const command = new Command('test')
    .description('try a filter on what came in; nothing is stored')
    .argument('[expression]', 'what it lets through')
    .option(
      '--from <time>',
      'look at what was received since: RFC 3339, a date, or a span back such as 2h (1h)',
      moment,
    )
    .option('--to <time>', 'received before', moment)
    .option('--among <types>', 'look at events of these types only', list)
    .option('--limit <number>', 'matches to show, the newest ones', wholeNumber(1, 100), 10)
    .addHelpText('before', examples)
  return withConditionOptions(command).action(
    async (expression: string | undefined, options: Options, self: Command) => {
      const condition = await readCondition(expression, options)
      const { client, terminal, signal } = await connect(cli, self)
      const { from, to, among, limit } = options
      const result = await client.filters.test(
        { condition, from, to, limit, ...(among && { event_types: among }) },
        { signal },
      )
      if (terminal.json) return terminal.document('pulse.filters.test.v1', { data: result })
      report(terminal, result, cli.stdout.columns)
    },
  )
}

const stops = {
  time: 'it ran out of time',
  records: 'there are too many events',
  log: 'a part of the log cannot be read',
} as const

function report(terminal: Terminal, result: FilterTrialResult, width: number | undefined): void {
  const { matched, per_hour, sample, looked, cost, refused, expression } = result
  const lineOf = createEventLines(terminal, width)
  for (const { event } of sample) terminal.print(lineOf(event))
  if (sample.length < matched)
    terminal.note(`The newest ${count(sample.length)} of them. Next: add --limit ${Math.min(100, matched)}`)
  const row = (name: string, value: string) => terminal.print(`  ${name.padEnd(12)}${value}`)
  row('filter', printable(expression))
  row('matched', `${count(matched)} of ${counted(looked.records, 'event')}, ${rate(per_hour)} an hour`)
  row('looked at', `${shortTime(looked.from)} to ${shortTime(looked.to)}`)
  if (looked.stopped_by !== null)
    row('', terminal.style('yellow', `no further back: ${stops[looked.stopped_by]}`))
  if (cost !== null) row('cost', `${counted(cost.clauses, 'alternative')}. ${printable(cost.reason)}`)
  row(
    'storing it',
    refused === null
      ? terminal.style('green', 'would be allowed')
      : terminal.style('red', `would be refused (${refused.code}): ${printable(refused.detail)}`),
  )
}

const rate = (perHour: number) => (perHour < 10 ? perHour.toFixed(1) : count(perHour))

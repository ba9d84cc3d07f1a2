import { type Client, type Condition, type Filter, PulseError } from '@pulse/client'
import { Command } from 'commander'
import { type Cli, connect } from '../cli.ts'
import { type ConditionOptions, readCondition, withConditionOptions } from '../condition.ts'
import { confirm } from '../confirm.ts'
import { group } from '../group.ts'
import { wholeNumber } from '../option-values.ts'
import { printable, shortTime, type Terminal, table } from '../terminal.ts'
import { filtersTest } from './filters-test.ts'

const defaultName = 'default'
const isPurchase = `'event_type = "purchase" and properties.amount >= 100'`

/** `pulse filters`: what subscribers get. */
export function filters(cli: Cli): Command {
  return group('filters', 'say what subscribers get', {
    commands: [filtersList(cli), filtersGet(cli), filtersSet(cli), filtersDelete(cli), filtersTest(cli)],
    examples: [`filters set user_1 ${isPurchase}`, `filters test ${isPurchase}`, 'filters list'],
  })
}

interface ListOptions {
  readonly subscriber?: string
  readonly limit: number
  readonly cursor?: string
}

function filtersList(cli: Cli): Command {
  return new Command('list')
    .description('list stored filters by subscriber and name')
    .option('--subscriber <id>', 'only those of this subscriber')
    .option('--limit <number>', 'rows of a page', wholeNumber(1, 1_000), 100)
    .option('--cursor <cursor>', 'go on where a page ended')
    .addHelpText(
      'before',
      'Examples:\n  pulse filters list\n  pulse filters list --subscriber user_1 --json\n',
    )
    .action(async ({ subscriber, limit, cursor }: ListOptions, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      const page = await client.filters.list({ subscriber_id: subscriber, limit, cursor }, { signal })
      if (terminal.json) return terminal.document('pulse.filters.list.v1', { ...page })
      const rows = page.data.map((one) => [
        one.subscriber_id,
        one.name,
        String(one.version),
        shortTime(one.updated_at),
        one.expression,
      ])
      const head = ['SUBSCRIBER', 'NAME', 'VERSION', 'CHANGED', 'LETS THROUGH']
      if (rows.length > 0) for (const line of table(head, rows)) terminal.print(line)
      else terminal.note(`No filters. Next: pulse filters set SUBSCRIBER ${isPurchase}`)
      if (page.has_more && page.cursor !== null)
        terminal.note(`There are more. Next: add --cursor ${page.cursor}`)
    })
}

function filtersGet(cli: Cli): Command {
  return new Command('get')
    .description('show one filter in every form that can say it')
    .argument('<subscriber>', 'whose filter')
    .argument('[name]', 'how it is called', defaultName)
    .addHelpText('before', 'Examples:\n  pulse filters get user_1\n  pulse filters get user_1 large --json\n')
    .action(async (subscriber: string, name: string, _options: unknown, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      const filter = await client.filters.get(subscriber, name, { signal })
      if (terminal.json) return terminal.document('pulse.filters.get.v1', { data: filter })
      terminal.print(terminal.style('bold', `${printable(subscriber)} ${printable(name)}`))
      printForms(terminal, filter)
      terminal.print(`  version     ${filter.version}, of ${filter.updated_at}`)
      terminal.print(`  effective   ${filter.effective ?? 'while it is being made known: not yet'}`)
      terminal.print(`  created     ${filter.created_at}`)
    })
}

function printForms(terminal: Terminal, filter: Filter): void {
  const { expression, pattern, event_types, user_tiers, min_amount } = filter
  terminal.print(`  expression  ${printable(expression)}`)
  if (pattern !== null) terminal.print(`  pattern     ${printable(JSON.stringify(pattern))}`)
  if (event_types === undefined) return
  const tiers = user_tiers?.length ? user_tiers.join(',') : 'any'
  const simple = `types ${event_types.join(',') || 'none'}; tiers ${tiers}; amount from ${min_amount ?? 0}`
  terminal.print(`  simple      ${printable(simple)}`)
}

const setExamples = `Examples:
  pulse filters set user_1 ${isPurchase}
  pulse filters set user_1 --name airports --pattern '{"properties":{"origin":["SFO","OAK"]}}'
  pulse filters set user_1 --types purchase --tiers premium --min-amount 100
`

interface SetOptions extends ConditionOptions {
  readonly name: string
}

function filtersSet(cli: Cli): Command {
  const command = new Command('set')
    .description('store a filter, or change the one that is stored')
    .argument('<subscriber>', 'whose filter')
    .argument('[expression]', 'what it lets through')
    .option('--name <name>', 'how it is called', defaultName)
    .addHelpText('before', setExamples)
    .addHelpText('after', '\nIt applies, to absent subscribers too, from its place in the log on.')
  return withConditionOptions(command).action(
    async (subscriber: string, expression: string | undefined, options: SetOptions, self: Command) => {
      const condition = await readCondition(expression, options)
      const { client, terminal, signal } = await connect(cli, self)
      const filter = await store(client, { subscriber, name: options.name, condition, signal })
      if (terminal.json) return terminal.document('pulse.filters.set.v1', { data: filter })
      const { version, expression: stored } = filter
      terminal.print(`Stored ${printable(`${options.name} of ${subscriber}`)}, version ${version}: ${stored}`)
      terminal.note(`Next: pulse events tail --subscriber ${subscriber}`)
    },
  )
}

interface Wanted {
  readonly subscriber: string
  readonly name: string
  readonly condition: Condition
  readonly signal: AbortSignal
}

/** Changes the filter, or makes it where there is none. */
async function store(client: Client, { subscriber, name, condition, signal }: Wanted): Promise<Filter> {
  try {
    return await client.filters.update(subscriber, name, condition, { signal })
  } catch (error) {
    if (!(error instanceof PulseError) || error.code !== 'not_found') throw error
    return await client.filters.create({ subscriber_id: subscriber, name, ...condition }, { signal })
  }
}

function filtersDelete(cli: Cli): Command {
  return new Command('delete')
    .description('delete a filter; what came before is still delivered by it')
    .argument('<subscriber>', 'whose filter')
    .argument('[name]', 'how it is called', defaultName)
    .option('--yes', 'do not ask')
    .addHelpText('before', 'Examples:\n  pulse filters delete user_1 --yes\n')
    .action(async (subscriber: string, name: string, options: { yes?: boolean }, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      await confirm(
        cli,
        `Delete the filter ${name} of ${subscriber}? It gets no later event by it.`,
        options.yes === true,
      )
      await client.filters.remove(subscriber, name, { signal })
      const data = { subscriber_id: subscriber, name, deleted: true }
      if (terminal.json) return terminal.document('pulse.filters.delete.v1', { data })
      terminal.print(`Deleted ${printable(`${name} of ${subscriber}`)}.`)
    })
}

import type { Webhook } from '@pulse/client'
import { Command } from 'commander'
import { type Cli, connect } from '../cli.ts'
import { type ConditionOptions, readCondition, withConditionOptions } from '../condition.ts'
import { confirm } from '../confirm.ts'
import { exitCodes } from '../exit-code.ts'
import { CommandError } from '../failure.ts'
import { group } from '../group.ts'
import { count, printable, type Style, shortTime, type Terminal, table } from '../terminal.ts'

const example = 'https://hooks.example.com/pulse'

/** `pulse webhooks`: addresses that events are sent to. */
export function webhooks(cli: Cli): Command {
  const commands = [
    ...[webhooksList(cli), webhooksCreate(cli), webhooksGet(cli), webhooksDelete(cli), webhooksTest(cli)],
    switching(cli, 'pause', 'paused', 'send nothing for now; what comes meanwhile waits in the log'),
    switching(cli, 'resume', 'active', 'go on where it was paused'),
  ]
  return group('webhooks', 'send events to addresses', {
    commands,
    examples: [`webhooks create user_1 ${example}`, 'webhooks list', 'webhooks test 0b1e…'],
  })
}

interface ListOptions {
  readonly subscriber?: string
}

function webhooksList(cli: Cli): Command {
  return new Command('list')
    .description('list webhooks, oldest first')
    .option('--subscriber <id>', 'only those of this subscriber')
    .addHelpText(
      'before',
      'Examples:\n  pulse webhooks list\n  pulse webhooks list --subscriber user_1 --json\n',
    )
    .action(async ({ subscriber }: ListOptions, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      const found: Webhook[] = []
      let cursor: string | undefined
      do {
        const page = await client.webhooks.list({ subscriber_id: subscriber, cursor }, { signal })
        found.push(...page.data)
        cursor = page.cursor ?? undefined
      } while (cursor !== undefined)
      if (terminal.json)
        return terminal.document('pulse.webhooks.list.v1', { data: found, cursor: null, has_more: false })
      if (found.length === 0)
        return terminal.note(`No webhooks. Next: pulse webhooks create SUBSCRIBER ${example}`)
      const rows = found.map((one) => [
        ...[one.id, one.subscriber_id, one.status, count(one.delivered), count(one.given_up)],
        ...[one.last_success_at === null ? 'never' : shortTime(one.last_success_at), one.url],
      ])
      const head = ['ID', 'SUBSCRIBER', 'STATUS', 'DELIVERED', 'GIVEN UP', 'LAST SUCCESS', 'URL']
      for (const line of table(head, rows)) terminal.print(line)
    })
}

const createExamples = `Examples:
  pulse webhooks create user_1 ${example}
  pulse webhooks create user_1 ${example} 'event_type = "order.*" and properties.amount > 100'
  pulse webhooks create user_1 http://127.0.0.1:4321      on a server with WEBHOOK_ALLOW_PRIVATE=true
`

function webhooksCreate(cli: Cli): Command {
  const command = new Command('create')
    .description('send events to an address from now on')
    .argument('<subscriber>', 'whose events')
    .argument('<url>', 'where to')
    .argument('[expression]', 'what is sent (default: what the subscriber’s stored filters let through)')
    .addHelpText('before', createExamples)
    .addHelpText('after', '\nPrints the secret that requests are signed with, this once.')
  return withConditionOptions(command).action(
    async (
      subscriber: string,
      url: string,
      expression: string | undefined,
      options: ConditionOptions,
      self: Command,
    ) => {
      const isFiltered = expression !== undefined || Object.keys(options).length > 0
      const filter = isFiltered ? await readCondition(expression, options) : null
      const { client, terminal, signal } = await connect(cli, self)
      const made = await client.webhooks.create({ subscriber_id: subscriber, url, filter }, { signal })
      if (terminal.json) return terminal.document('pulse.webhooks.create.v1', { data: made })
      terminal.print(made.secret)
      terminal.note(`Webhook ${made.id} is made. This is its secret, shown this once.`)
      terminal.note(`Next: pulse webhooks test ${made.id}`)
    },
  )
}

function webhooksGet(cli: Cli): Command {
  return new Command('get')
    .description('show one webhook')
    .argument('<id>', 'id of the webhook')
    .addHelpText('before', 'Examples:\n  pulse webhooks get 0b1e…\n  pulse webhooks get 0b1e… --json\n')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      const webhook = await client.webhooks.get(id, { signal })
      if (terminal.json) return terminal.document('pulse.webhooks.get.v1', { data: webhook })
      show(terminal, webhook)
    })
}

const colours: Readonly<Record<Webhook['status'], Style>> = {
  active: 'green',
  paused: 'yellow',
  failing: 'red',
}

const gapTold: Readonly<Record<NonNullable<Webhook['last_gap']>['told'], string>> = {
  not_yet: 'the receiver has not been told yet',
  yes: 'the receiver was told',
  never: 'the receiver could not be told',
}

function show(terminal: Terminal, webhook: Webhook): void {
  const { status, reason, filter, last_gap } = webhook
  const row = (name: string, value: string) => terminal.print(`  ${name.padEnd(14)}${value}`)
  terminal.print(terminal.style('bold', printable(webhook.url)))
  row('id', webhook.id)
  row('subscriber', printable(webhook.subscriber_id))
  row('filter', filter === null ? 'the stored filters of the subscriber' : printable(JSON.stringify(filter)))
  row(
    'status',
    `${terminal.style(colours[status], status)}${reason === null ? '' : `: ${printable(reason)}`}`,
  )
  row('delivered', count(webhook.delivered))
  row('given up', count(webhook.given_up))
  row('failures', webhook.failures === 0 ? 'none' : `${count(webhook.failures)} since the last success`)
  row('waiting since', webhook.waiting_since ?? 'nothing waits')
  row('parked', webhook.parked === 0 ? 'none' : `${count(webhook.parked)} behind blocked keys`)
  row('gaps', webhook.gaps === 0 ? 'none' : `${count(webhook.gaps)}, last ${webhook.last_gap_at}`)
  if (last_gap) row('last gap', `${last_gap.reason}; ${gapTold[last_gap.told]}`)
  row('last success', webhook.last_success_at ?? 'never')
  row('last failure', webhook.last_failure_at ?? 'never')
  row('position', webhook.position)
  row('created', webhook.created_at)
}

function switching(cli: Cli, name: string, status: 'active' | 'paused', description: string): Command {
  return new Command(name)
    .description(description)
    .argument('<id>', 'id of the webhook')
    .addHelpText('before', `Examples:\n  pulse webhooks ${name} 0b1e…\n`)
    .action(async (id: string, _options: unknown, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      const webhook = await client.webhooks.change(id, { status }, { signal })
      if (terminal.json) return terminal.document(`pulse.webhooks.${name}.v1`, { data: webhook })
      terminal.print(`Webhook ${webhook.id} is ${webhook.status}.`)
    })
}

function webhooksDelete(cli: Cli): Command {
  return new Command('delete')
    .description('delete a webhook; its dead letters stay')
    .argument('<id>', 'id of the webhook')
    .option('--yes', 'do not ask')
    .addHelpText('before', 'Examples:\n  pulse webhooks delete 0b1e… --yes\n')
    .action(async (id: string, options: { yes?: boolean }, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      const question = `Delete the webhook ${id}? Nothing is sent by it any more.`
      await confirm(cli, question, options.yes === true)
      await client.webhooks.remove(id, { signal })
      if (terminal.json) return terminal.document('pulse.webhooks.delete.v1', { data: { id, deleted: true } })
      terminal.print(`Deleted the webhook ${printable(id)}.`)
    })
}

function webhooksTest(cli: Cli): Command {
  return new Command('test')
    .description('send one signed event now, and see what comes of it')
    .argument('<id>', 'id of the webhook')
    .addHelpText('before', 'Examples:\n  pulse webhooks test 0b1e…\n')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      // The receiver has its own time; the server answers after it.
      const result = await client.webhooks.test(id, { signal, timeoutMsMax: 130_000 })
      if (terminal.json) terminal.document('pulse.webhooks.test.v1', { data: result })
      else if (result.delivered)
        terminal.print(`Delivered: ${result.status} after ${count(result.duration_ms)} ms.`)
      if (!result.delivered)
        throw new CommandError(exitCodes.failed, `not delivered: ${printable(result.error ?? '')}`)
    })
}

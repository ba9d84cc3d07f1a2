import { Command } from 'commander'
import { type Cli, connect } from '../cli.ts'
import { group } from '../group.ts'
import { wholeNumber } from '../option-values.ts'
import { counted, printable, shortTime, table } from '../terminal.ts'

/** `pulse dead-letters`: events that could not be processed. */
export function deadLetters(cli: Cli): Command {
  const commands = [deadLettersList(cli), deadLettersGet(cli), deadLettersRedrive(cli)]
  return group('dead-letters', 'see why events failed, and send them again', {
    commands,
    examples: [
      'dead-letters list --type purchase',
      'dead-letters redrive d9a0d69b-217b-4c8a-982f-81b0bcd125d0',
    ],
  })
}

interface ListOptions {
  readonly type?: string
  readonly limit: number
  readonly cursor?: string
}

function deadLettersList(cli: Cli): Command {
  return new Command('list')
    .description('list dead letters, newest first')
    .option('--type <type>', 'only this event type')
    .option('--limit <number>', 'rows of a page', wholeNumber(1, 1_000), 20)
    .option('--cursor <cursor>', 'go on where a page ended')
    .addHelpText(
      'before',
      'Examples:\n  pulse dead-letters list\n  pulse dead-letters list --type purchase --json\n',
    )
    .action(async ({ type, limit, cursor }: ListOptions, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      const page = await client.deadLetters.list({ event_type: type, limit, cursor }, { signal })
      if (terminal.json) return terminal.document('pulse.dead-letters.list.v1', { ...page })
      const rows = page.data.map((one) => {
        const why = `${one.error.class}: ${one.error.message}`
        return [one.id, shortTime(one.failed_at), one.event_type, one.state, String(one.attempts), why]
      })
      const head = ['ID', 'FAILED', 'TYPE', 'STATE', 'ATTEMPTS', 'WHY']
      if (rows.length > 0) for (const line of table(head, rows)) terminal.print(line)
      else terminal.note('No dead letters.')
      if (page.has_more && page.cursor !== null)
        terminal.note(`There are more. Next: add --cursor ${page.cursor}`)
    })
}

function deadLettersGet(cli: Cli): Command {
  return new Command('get')
    .description('show one dead letter')
    .argument('<id>', 'the id of the dead letter')
    .addHelpText('before', 'Examples:\n  pulse dead-letters get d9a0d69b-217b-4c8a-982f-81b0bcd125d0\n')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      const letter = await client.deadLetters.get(id, { signal })
      if (terminal.json) return terminal.document('pulse.dead-letters.get.v1', { data: letter })
      const { topic, partition, offset } = letter.origin
      terminal.print(`${terminal.style('bold', printable(letter.event_type))} ${letter.event_id}`)
      terminal.print(
        `  why         ${terminal.style('red', printable(letter.error.class))}: ${printable(letter.error.message)}`,
      )
      terminal.print(`  handler     ${printable(letter.handler)}, ${counted(letter.attempts, 'attempt')}`)
      terminal.print(`  state       ${letter.state}`)
      terminal.print(`  received    ${letter.received_at}`)
      terminal.print(`  failed      ${letter.failed_at}`)
      terminal.print(`  origin      ${topic}, partition ${partition}, offset ${offset}`)
      terminal.print(`  event       ${printable(JSON.stringify(letter.event))}`)
      if (letter.state === 'dead') terminal.note(`Next: pulse dead-letters redrive ${letter.id}`)
    })
}

function deadLettersRedrive(cli: Cli): Command {
  return new Command('redrive')
    .description('send a dead letter to its handler again')
    .argument('<id>', 'the id of the dead letter')
    .addHelpText('before', 'Examples:\n  pulse dead-letters redrive d9a0d69b-217b-4c8a-982f-81b0bcd125d0\n')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      const redriven = await client.deadLetters.redrive(id, { signal })
      if (terminal.json) return terminal.document('pulse.dead-letters.redrive.v1', { data: redriven })
      terminal.print(`Dead letter ${redriven.id} is on its way again.`)
      terminal.note(`Next: pulse events get ${redriven.event_id}`)
    })
}

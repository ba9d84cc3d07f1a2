import type { EventLife } from '@pulse/client'
import { Command } from 'commander'
import { type Cli, connect } from '../cli.ts'
import { printable, shortTime, type Terminal, table } from '../terminal.ts'

const examples = `Examples:
  pulse events get 0193c1a8-5a44-7c7e-9a51-0d8e3f1c2b4a
  pulse events get 0193c1a8-5a44-7c7e-9a51-0d8e3f1c2b4a --json
`

/** `pulse events get`: the whole life of one event. */
export function eventsGet(cli: Cli): Command {
  return new Command('get')
    .description('show the whole life of one event')
    .argument('<event_id>', 'the id of the event')
    .addHelpText('before', examples)
    .action(async (eventId: string, _options: unknown, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      const life = await client.events.get(eventId, { signal })
      if (terminal.json) return terminal.document('pulse.events.get.v1', { data: life })
      printLife(terminal, life)
    })
}

function printLife(terminal: Terminal, life: EventLife): void {
  const { event } = life
  terminal.print(`${terminal.style('bold', printable(event.event_type))} ${event.event_id}`)
  terminal.print(`  status      ${life.status}`)
  terminal.print(`  user        ${printable(event.user_id ?? '–')}`)
  terminal.print(`  happened    ${event.timestamp}`)
  terminal.print(`  received    ${life.received_at}`)
  terminal.print(`  processed   ${life.processed_at ?? '–'}`)
  terminal.print(`  position    ${life.position}`)
  terminal.print(`  properties  ${printable(JSON.stringify(event.properties))}`)
  if (life.enriched !== null) terminal.print(`  enriched    ${printable(JSON.stringify(life.enriched))}`)
  terminal.print('')
  const steps = life.life.map(({ at, step, title, detail }) => [shortTime(at), step, title, detail])
  for (const line of table(['AT', 'STEP', 'WHAT', 'DETAIL'], steps)) terminal.print(line)
  if (life.dead_letter?.state === 'dead') {
    terminal.note(`It is a dead letter. Next: pulse dead-letters redrive ${life.dead_letter.id}`)
  }
}

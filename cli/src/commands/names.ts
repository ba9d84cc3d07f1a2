import { type NameStats, type NameVerdict, PulseError } from '@pulse/client'
import { Command } from 'commander'
import { type Cli, connect } from '../cli.ts'
import { confirm } from '../confirm.ts'
import { exitCodes } from '../exit-code.ts'
import { CommandError } from '../failure.ts'
import { group } from '../group.ts'
import { count, counted, printable, type Style, type Terminal, table } from '../terminal.ts'
import { namesImport } from './names-import.ts'

/** `pulse names`: which names are free, and taking them. */
export function names(cli: Cli): Command {
  return group('names', 'find out which names are free, and take them', {
    commands: [
      ...[namesCheck(cli), namesClaim(cli), namesRelease(cli), namesImport(cli)],
      ...[namesStats(cli), namesRebuild(cli)],
    ],
    examples: [
      'names check ada.lovelace',
      'names claim ada.lovelace --owner user_42',
      'names import names.txt',
    ],
  })
}

/** Names of one request. */
const checkedMax = 1_000

function namesCheck(cli: Cli): Command {
  return new Command('check')
    .description('say which names are free; one alone needs no key')
    .argument('<names...>', 'the names')
    .addHelpText(
      'before',
      'Examples:\n  pulse names check ada.lovelace\n  pulse names check ada bob carol --json\n',
    )
    .action(async (asked: string[], _options: unknown, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      const found: NameVerdict[] = []
      const [only = ''] = asked
      if (asked.length === 1) found.push(await client.names.check(only, { signal }))
      else
        for (let from = 0; from < asked.length; from += checkedMax)
          found.push(...(await client.names.checkMany(asked.slice(from, from + checkedMax), { signal })))
      if (terminal.json) terminal.document('pulse.names.check.v1', { data: found })
      else printVerdicts(terminal, found)
      const invalid = found.filter(({ reason }) => reason !== undefined)
      if (invalid.length > 0)
        throw new CommandError(exitCodes.partial, `${counted(invalid.length, 'name')} not valid`)
    })
}

function printVerdicts(terminal: Terminal, found: readonly NameVerdict[]): void {
  const lines = table(
    ['ANSWER', 'SAID BY', 'NAME'],
    found.map((verdict) => [answerOf(verdict), saidBy(verdict), verdict.username]),
  )
  const styleOf = ({ available, reason }: NameVerdict): Style =>
    available ? 'green' : reason === undefined ? 'red' : 'yellow'
  const [head = '', ...rows] = lines
  terminal.print(head)
  rows.forEach((row, at) => {
    const verdict = found[at]
    const reason = verdict?.reason === undefined ? '' : `: ${printable(verdict.reason)}`
    // Coloured here and not in the cell: the table counts characters.
    const [word = ''] = /^\S+/.exec(row) ?? []
    terminal.print(
      `${verdict ? terminal.style(styleOf(verdict), word) : word}${row.slice(word.length)}${reason}`,
    )
  })
}

const answerOf = ({ available, reason }: NameVerdict) =>
  available ? 'free' : reason === undefined ? 'taken' : 'invalid'

const saidBy = ({ source, reason }: NameVerdict) =>
  reason !== undefined ? 'rules' : source === undefined ? 'memory' : 'database'

interface ClaimOptions {
  readonly owner?: string
  readonly idempotencyKey?: string
}

function namesClaim(cli: Cli): Command {
  return new Command('claim')
    .description('take a name')
    .argument('<name>', 'the name')
    .option('--owner <text>', 'whom it is for, in your own terms')
    .option('--idempotency-key <key>', 'the same key makes the same claim again, and not another one')
    .addHelpText(
      'before',
      'Examples:\n  pulse names claim ada.lovelace\n  pulse names claim ada.lovelace --owner user_42 --idempotency-key signup-42\n',
    )
    .action(async (username: string, { owner, idempotencyKey }: ClaimOptions, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      try {
        const claimed = await client.names.claim({ username, owner }, { signal, idempotencyKey })
        if (terminal.json) return terminal.document('pulse.names.claim.v1', { data: claimed })
        terminal.print(`${printable(claimed.username)} is yours since ${claimed.claimed_at}.`)
      } catch (error) {
        // With --json they stand in the problem.
        if (!terminal.json && error instanceof PulseError && error.suggestions.length > 0)
          terminal.note(`Free: ${error.suggestions.map(printable).join(', ')}`)
        throw error
      }
    })
}

function namesRelease(cli: Cli): Command {
  return new Command('release')
    .description('let go of a name: it is free for everybody again')
    .argument('<name>', 'the name')
    .option('--yes', 'do not ask')
    .addHelpText('before', 'Examples:\n  pulse names release ada.lovelace --yes\n')
    .action(async (username: string, options: { yes?: boolean }, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      const question = `Let go of ${printable(username)}? Whoever is quickest can take it.`
      await confirm(cli, question, options.yes === true)
      await client.names.release(username, { signal })
      if (terminal.json)
        return terminal.document('pulse.names.release.v1', { data: { username, released: true } })
      terminal.print(`${printable(username)} is free.`)
    })
}

function namesStats(cli: Cli): Command {
  return new Command('stats')
    .description('show the filter of names of the server that answers')
    .addHelpText('before', 'Examples:\n  pulse names stats\n  pulse names stats --json\n')
    .action(async (_options: unknown, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      const stats = await client.names.stats({ signal })
      if (terminal.json) return terminal.document('pulse.names.stats.v1', { data: stats })
      show(terminal, stats)
    })
}

const percent = (part: number | null, digits = 1) =>
  part === null ? 'not measured yet' : `${(part * 100).toFixed(digits)} %`

function show(terminal: Terminal, stats: NameStats): void {
  const { capacity, bits, false_positive_rate: rate } = stats
  const row = (name: string, value: string) => terminal.print(`  ${name.padEnd(20)}${value}`)
  const free = stats.certain
    ? 'from memory'
    : terminal.style('yellow', 'from the database, until memory is certain')
  row('profile', stats.profile)
  row('free names', free)
  row('names', `about ${count(stats.names_estimated)} of ${count(capacity)}, ${percent(stats.fill)}`)
  row('bits', `${count(bits)}, ${percent(stats.bits_set_ratio)} set`)
  row(
    'false positives',
    `${percent(rate.expected, 3)} expected, ${percent(rate.measured, 3)}${rate.measured === null ? '' : ' measured'}`,
  )
  row('generation', `${stats.generation}${stats.rebuilding ? ', and the next one is being made' : ''}`)
  row('lag', stats.lag === 0 ? 'none' : `${counted(stats.lag, 'claim')} in the log not applied here`)
  row('servers', `${count(stats.servers)} answering from memory`)
}

function namesRebuild(cli: Cli): Command {
  return new Command('rebuild')
    .description('make a new filter from the names in the database, beside the work')
    .addHelpText('before', 'Examples:\n  pulse names rebuild\n')
    .action(async (_options: unknown, command: Command) => {
      const { client, terminal, signal } = await connect(cli, command)
      await client.names.rebuild({ signal })
      if (terminal.json) return terminal.document('pulse.names.rebuild.v1', { data: { rebuilding: true } })
      terminal.note('A new filter is being made; the old one answers until it is verified.')
      terminal.note('Next: pulse names stats')
    })
}

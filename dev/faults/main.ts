import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { describeMachine } from '../bench/machine.ts'
import { clusterRounds } from './cluster-rounds.ts'
import {
  asMarkdown,
  type FaultReport,
  faultKinds,
  type RoundOptions,
  violationsInAll,
} from './fault-report.ts'
import { killRounds } from './kill-rounds.ts'
import { streamRounds } from './stream-rounds.ts'

// `npm run faults` does the full counts, prints the report and writes it; a violation makes the exit code 1.

/** Each kind of fault, and the part of `--rounds` that it gets: those that wait for seconds are made less often. */
const kinds: readonly {
  readonly name: string
  readonly part: number
  readonly run: (options: RoundOptions) => Promise<FaultReport>
}[] = [
  { name: 'server-killed', part: 1, run: (options) => killRounds('server-killed', options) },
  { name: 'database-killed', part: 1, run: (options) => killRounds('database-killed', options) },
  { name: 'both-killed', part: 0.2, run: (options) => killRounds('both-killed', options) },
  { name: 'server-stopped', part: 0.2, run: (options) => killRounds('server-stopped', options) },
  { name: 'database-stopped', part: 0.2, run: (options) => killRounds('database-stopped', options) },
  { name: 'cluster-killed', part: 0.2, run: clusterRounds },
  { name: 'subscribers', part: 1, run: streamRounds },
]

process.exitCode = await main(process.argv.slice(2))

async function main(argv: readonly string[]): Promise<number> {
  let options: ReturnType<typeof readArguments>
  try {
    options = readArguments(argv)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${usage()}`)
    return 2
  }
  if (options.help) {
    process.stdout.write(usage())
    return 0
  }
  const startedAt = new Date()
  const startedMs = performance.now()
  const machine = await describeMachine()
  const reports: FaultReport[] = []
  for (const { name, part, run } of kinds) {
    if (options.only !== undefined && options.only !== name) continue
    const rounds = Math.max(1, Math.round(options.rounds * part))
    const tell = (line: string) => process.stderr.write(`${name}: ${line}\n`)
    tell(`${rounds} faults, seed ${options.seed}`)
    reports.push(await run({ rounds, seed: options.seed, tell }))
  }
  const result = { startedAt, tookMs: performance.now() - startedMs, machine, reports }
  const text = asMarkdown(result)
  process.stdout.write(text)
  if (options.out !== undefined) await writeFile(options.out, text)
  return violationsInAll(result) === 0 ? 0 : 1
}

function readArguments(argv: readonly string[]) {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      rounds: { type: 'string', default: '50' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
      only: { type: 'string' },
      out: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  const { only, out, help } = values
  if (only !== undefined && !(only in faultKinds)) throw new Error(`there is no fault ${only}`)
  return { rounds: whole('--rounds', values.rounds), seed: whole('--seed', values.seed), only, out, help }
}

function whole(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1)
    throw new Error(`${name} takes a whole number from 1, not ${text}`)
  return value
}

function usage(): string {
  const list = Object.entries(faultKinds).map(([name, { what }]) => `  ${name.padEnd(18)}${what}`)
  return `usage: npm run faults -- [options]

${list.join('\n')}

  --rounds 50     kills of the server, also with subscribers, and of the database; of each other fault a fifth as many
  --seed N        repeats the moments and batches of another run
  --only NAME     one kind of fault
  --out FILE      writes the report there too, for example docs/faults.md
`
}

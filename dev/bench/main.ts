import { parseArgs } from 'node:util'
import type { Bench, BenchResult } from './bench.ts'
import { intakeBatch } from './intake-batch.ts'
import { intakeSingle } from './intake-single.ts'
import { type Load, openLoad } from './load/load.ts'
import { busyFrom, describeMachine } from './machine.ts'
import { matchBench } from './match.ts'
import { memory } from './memory.ts'
import { namesBench } from './names/names.ts'
import { overload } from './overload.ts'
import { peersBench } from './peers/peers.ts'
import { processBench } from './process.ts'
import { asJson, asTable } from './report.ts'
import { startBench } from './start.ts'
import { connections } from './streams/connections.ts'
import { endToEnd } from './streams/end-to-end.ts'
import { fanout } from './streams/fanout.ts'
import { resume } from './streams/resume.ts'

// `npm run bench -- NAME [options]` measures on this machine and says on what; nothing is judged, so the exit code is 0
// also when a figure is missed.

const benches: readonly Bench[] = [
  startBench,
  intakeSingle,
  intakeBatch,
  processBench,
  overload,
  memory,
  matchBench,
  namesBench,
  peersBench,
  fanout,
  connections,
  resume,
  endToEnd,
]
const exit = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const

process.exitCode = await main(process.argv.slice(2))

async function main(argv: readonly string[]): Promise<number> {
  let read: ReturnType<typeof readArguments>
  try {
    read = readArguments(argv)
  } catch (error) {
    return misused(error instanceof Error ? error.message : String(error))
  }
  const { name, json, help, ...options } = read
  if (help || name === undefined) {
    process.stdout.write(usage())
    return exit.ok
  }
  const bench = benches.find((one) => one.name === name)
  if (!bench) return misused(`there is no bench ${name}`)
  const interrupted = new AbortController()
  process.once('SIGINT', () => interrupted.abort())
  process.once('SIGTERM', () => interrupted.abort())
  const say = (line: string) => process.stderr.write(`${bench.name}: ${line}\n`)
  const machine = await describeMachine()
  if (machine.loadBefore > busyFrom) say(`this machine is busy (load ${machine.loadBefore})`)
  const at = new Date().toISOString()
  let result: BenchResult
  try {
    await using load = await openLoad()
    result = await bench.measure({ ...options, load: saying(load, say), say, signal: interrupted.signal })
  } catch (error) {
    // Ctrl-C reaches the servers and the generator as well; what fails after it is no news.
    if (interrupted.signal.aborted) return exit.interrupted
    throw error
  }
  const report = { bench: bench.name, at, runs: options.runs, machine, ...result }
  process.stdout.write(`${json ? asJson(report) : asTable(report)}\n`)
  return interrupted.signal.aborted ? exit.interrupted : exit.ok
}

/** Failures are only counted in the tables; whoever looks for their cause wants to know what was answered. */
function saying(load: Load, say: (line: string) => void): Load {
  return {
    async run(plan) {
      const result = await load.run(plan)
      const strange = Object.keys(result.outcomes).some((outcome) => !/^(20[02]|429)$/.test(outcome))
      if (strange) say(`answers: ${JSON.stringify(result.outcomes)}`)
      return result
    },
    [Symbol.asyncDispose]: () => load[Symbol.asyncDispose](),
  }
}

function readArguments(argv: readonly string[]) {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      runs: { type: 'string', default: '5' },
      seconds: { type: 'string' },
      ids: { type: 'string' },
      names: { type: 'string' },
      roles: { type: 'string' },
      profile: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  const [name, ...more] = positionals
  if (more.length > 0) throw new Error(`one bench at a time, not also ${more.join(', ')}`)
  return {
    name,
    json: values.json,
    help: values.help,
    runs: wholeNumber('--runs', values.runs) ?? 5,
    seconds: wholeNumber('--seconds', values.seconds),
    ids: wholeNumber('--ids', values.ids),
    names: wholeNumber('--names', values.names),
    roles: values.roles,
    profile: values.profile,
  }
}

function wholeNumber(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1)
    throw new Error(`${name} takes a whole number from 1, not ${text}`)
  return value
}

function misused(why: string): number {
  process.stderr.write(`${why}\n\n${usage()}`)
  return exit.usage
}

function usage(): string {
  const list = benches.map(({ name, summary }) => `  ${name.padEnd(16)}${summary}`)
  return `usage: npm run bench -- NAME [options]

${list.join('\n')}

  --runs 5        times that everything is measured; the median counts
  --seconds N     length of one measurement
  --ids N         remembered ids that intake-batch prepares (20 M take a minute or two and 3 GB of disk)
  --names N       names that names uses instead of all 4.5 M (figures are for all of them)
  --roles ROLES   roles of the server instead of the bench's own
  --profile DIR   writes CPU profiles of the server into that folder
  --json          one JSON document instead of a table
`
}

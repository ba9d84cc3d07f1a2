// `npm test`: starts the services that tests share, runs every test file, tells where the time went.
import { createWriteStream, mkdirSync } from 'node:fs'
import { relative } from 'node:path'
import { finished } from 'node:stream/promises'
import { run } from 'node:test'
import { junit, spec } from 'node:test/reporters'
import { parseArgs } from 'node:util'
import {
  addressVariables,
  openServices,
  ServiceError,
  type Services,
  serviceNames,
} from '../services/services.ts'
import { endLeftovers } from './leftovers.ts'
import { root, SetupError } from './place.mjs'
import { watchRunningFiles } from './running-files.ts'
import { findTestFiles } from './test-files.ts'
import { describeTimes, type FileResult, shares } from './test-shares.ts'

const limits = {
  /**
   * For two cores. A file waits for a third of its time (for clocks of the product, syncs, pages), so two files leave
   * much of the processor idle; three keep it busy, and with four each would only take longer.
   */
  filesAtOnce: 3,
  testMsMax: 180_000,
  fileMsMax: 300_000,
} as const

interface Counts {
  readonly tests: number
  readonly passed: number
  readonly skipped: number
  readonly todo: number
}

interface Outcome {
  readonly counts: Counts
  /** Per file that came to its end: how many tests it holds. */
  readonly tests: Map<string, number>
}

/** Runs the files with a spec report on stdout and a JUnit report in `reports/`. */
async function runFiles(
  files: readonly string[],
  names: readonly string[],
  signal: AbortSignal,
): Promise<Outcome> {
  const tests: Outcome['tests'] = new Map()
  let counts: Counts = { tests: 0, passed: 0, skipped: 0, todo: 0 }
  const stream = run({
    files: files.map((file) => `${root}/${file}`),
    cwd: root,
    concurrency: limits.filesAtOnce,
    timeout: limits.testMsMax,
    testNamePatterns: [...names],
    signal,
  })
  stream.on('test:summary', (summary) => {
    if (summary.file === undefined) counts = summary.counts
    else tests.set(relative(root, summary.file), summary.counts.tests)
  })
  mkdirSync(`${root}/reports`, { recursive: true })
  const report = stream.compose(junit).pipe(createWriteStream(`${root}/reports/junit.xml`))
  const shown = stream.compose(spec)
  shown.pipe(process.stdout, { end: false })
  await Promise.all([finished(report), finished(shown)])
  return { counts, tests }
}

/**
 * Starts every service once and puts the addresses where the tests look first. A run of named files leaves that
 * to them: the one service that a test needs starts faster than all four.
 */
async function shareServices(files: readonly string[]): Promise<Services> {
  const services = await openServices(files.length === 0 ? serviceNames : [])
  const there = files.length === 0 ? serviceNames.filter((name) => services.skip(name) === false) : []
  for (const name of there) process.env[addressVariables[name]] = services.address(name)
  if (there.length > 0) process.stderr.write(`Services are up: ${there.join(', ')}.\n`)
  return services
}

/** Gives the exit code: 0 only when at least one test passed, none failed and nothing was left running. */
async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { name: { type: 'string', multiple: true, short: 'n', default: [] } },
  })
  const files = findTestFiles(root, positionals)
  // Listening before anything starts: a signal while the services come up must not leave them behind.
  const asked = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => asked.abort())
  const startedAt = performance.now()
  await using _services = await shareServices(positionals)
  const setUpMs = Number(process.env.SETUP_MS ?? 0) + performance.now() - startedAt
  return report({ ...(await judge(files, values.name, asked.signal)), setUpMs })
}

/** Runs the files under watch: how long each takes, whether each ends, what each leaves running. */
async function judge(
  files: readonly string[],
  names: readonly string[],
  signal: AbortSignal,
): Promise<Omit<Run, 'setUpMs'>> {
  const stopped: string[] = []
  const times = new Map<string, number>()
  // What a file loads was compiled for one before it already: half of the time of a small file.
  process.env.NODE_COMPILE_CACHE ??= `${root}/node_modules/.cache/tests`
  // Every process that a test starts inherits this, so that the forgotten ones can be found.
  process.env.TEST_RUN = `${process.pid}-${Date.now()}`
  using _watch = watchRunningFiles({
    fileMsMax: limits.fileMsMax,
    onEnded: (file, ms) => times.set(relative(root, file), ms),
    onStopped: (file) => stopped.push(relative(root, file)),
  })
  const startedAt = performance.now()
  const { counts, tests } = await runFiles(files, names, signal)
  const testMs = performance.now() - startedAt
  const leftovers = await endLeftovers(`TEST_RUN=${process.env.TEST_RUN}`)
  return {
    counts,
    files: [...times].map(([file, ms]) => ({ file, ms, tests: tests.get(file) ?? 0 })),
    testMs,
    stopped,
    leftovers: leftovers.map(({ pid, command }) => `${pid} ${command}`),
  }
}

interface Run {
  readonly counts: Counts
  readonly files: readonly FileResult[]
  readonly setUpMs: number
  readonly testMs: number
  readonly stopped: readonly string[]
  readonly leftovers: readonly string[]
}

/** Prints the end of the report and gives the exit code. Its last line is the counts, for machines to read. */
function report(done: Run): number {
  const { counts } = done
  const skipped = counts.skipped + counts.todo
  // Whatever neither passed nor was skipped: failures, and tests cancelled by a failing parent or by a time limit.
  const failed = counts.tests - counts.passed - skipped
  const say = (line: string) => process.stdout.write(`${line}\n`)
  say('')
  for (const line of describeTimes(done.files, shares)) say(line)
  say(`Set-up ${seconds(done.setUpMs)}, tests ${seconds(done.testMs)}.`)
  for (const file of done.stopped) say(`Stopped after ${seconds(limits.fileMsMax)}, it never ended: ${file}`)
  for (const leftover of done.leftovers) say(`Left running by a test, now killed: ${leftover}`)
  say(`${counts.passed} passed, ${failed} failed, ${skipped} skipped`)
  const clean = failed === 0 && done.stopped.length === 0 && done.leftovers.length === 0
  return clean && counts.passed > 0 ? 0 : 1
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

try {
  process.exitCode = await main()
} catch (error) {
  if (!(error instanceof SetupError || error instanceof ServiceError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}

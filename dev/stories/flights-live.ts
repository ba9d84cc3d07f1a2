import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { pulse } from '@pulse/cli'
import { createClient } from '@pulse/client'
import { type Comparison, watchFlights } from './flight-watchers.ts'
import { flightWishes } from './flight-wishes.ts'
import { openServerDatabase, type ServerDatabase } from './server-database.ts'
import type { Story } from './stories.ts'

interface Options {
  readonly data: string
  readonly over: string
  readonly flights: number
  readonly subscribers: number
  readonly json: boolean
}

const settleMsMax = 60_000

/**
 * Stores 200 different filters, opens a stream for each, replays the flights in a minute through the command that users
 * have, and compares what each subscriber got with what SQL finds in the rows. Sets the exit code: 1 if they differ.
 */
export async function flightsLive(
  onProcess: NodeJS.Process,
  story: Story,
  words: readonly string[],
): Promise<void> {
  const options = readOptions(words)
  const client = createClient(await serverIn(options.data))
  await using database = await openServerDatabase(options.data)
  const run = randomUUID().slice(0, 8)
  const source = `flights-live-${run}`
  await using file = await firstFlights(story.file, options.flights)
  const say = (line: string) => onProcess.stderr.write(`${line}\n`)
  say(`${options.subscribers} subscribers store their filters and connect.`)
  const wishes = flightWishes(options.subscribers, file.airports)
  const signal = interruptOf(onProcess)
  await using watching = await watchFlights({ client, wishes, prefix: source, signal })
  say(`All of them listen. The flights are replayed, ${file.flights} over ${options.over}.`)
  await pulse(onProcess, [
    ...['events', 'import', file.path, ...story.options, '--source', source],
    ...['--replay', '--over', options.over, '--again', run, '--data', options.data],
    ...(options.json ? ['--json'] : []),
  ])
  if (onProcess.exitCode) return
  say('Each stream tells within seconds that it stands at the end; then what came is compared with SQL.')
  await untilProcessed(database, { source, flights: file.flights, signal })
  const comparison = await watching.compare(database, source, settleMsMax)
  if (options.json)
    onProcess.stdout.write(`${JSON.stringify({ schema: 'pulse.flights-live.v1', data: comparison })}\n`)
  else onProcess.stdout.write(describe(comparison))
  onProcess.exitCode = isExact(comparison) ? 0 : 1
}

/** The first Ctrl-C ends the story and takes its filters away, the second ends the process. */
function interruptOf(onProcess: NodeJS.Process): AbortSignal {
  const asked = new AbortController()
  const ask = () => asked.abort(new Error('Interrupted.'))
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) onProcess.once(name, ask)
  return asked.signal
}

function readOptions(words: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...words],
    options: {
      data: { type: 'string', default: 'pulse-data' },
      over: { type: 'string', default: '60s' },
      flights: { type: 'string', default: '20000' },
      subscribers: { type: 'string', default: '200' },
      json: { type: 'boolean', default: false },
    },
  })
  const { over, json } = values
  return {
    ...{ over, json },
    // PostgreSQL's socket is only known as one by a path from the root.
    data: resolve(values.data),
    flights: wholeNumber('flights', values.flights),
    subscribers: wholeNumber('subscribers', values.subscribers),
  }
}

function wholeNumber(name: string, text: string): number {
  if (!/^[1-9]\d{0,4}$/.test(text))
    throw new Error(`--${name} is a whole number from 1 to 99999, not ${text}.`)
  return Number(text)
}

/** Address and key of the server that runs in a data folder. Rejects if none does. */
async function serverIn(data: string): Promise<{ url: string; credential: string }> {
  try {
    const note = JSON.parse(await readFile(join(data, 'server.json'), 'utf8')) as { url: string }
    return { url: note.url, credential: (await readFile(join(data, 'key'), 'utf8')).trim() }
  } catch (cause) {
    throw new Error(`No server runs with the data folder ${data}: npm start, or name another with --data.`, {
      cause,
    })
  }
}

interface FlightsFile extends AsyncDisposable {
  readonly path: string
  readonly flights: number
  /** The busiest first. */
  readonly airports: readonly string[]
}

async function firstFlights(file: string, count: number): Promise<FlightsFile> {
  const all = JSON.parse(await readFile(file, 'utf8')) as { readonly origin: string }[]
  const flights = all.slice(0, count)
  const busy = new Map<string, number>()
  for (const { origin } of flights) busy.set(origin, (busy.get(origin) ?? 0) + 1)
  const airports = [...busy].sort((a, b) => b[1] - a[1]).map(([airport]) => airport)
  const folder = await mkdtemp(join(tmpdir(), 'pulse-flights-'))
  const path = join(folder, 'flights.json')
  await writeFile(path, JSON.stringify(flights))
  return {
    path,
    flights: flights.length,
    airports,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

/** Rows follow the log: waits until all of the run are there. */
async function untilProcessed(
  database: ServerDatabase,
  { source, flights, signal }: { source: string; flights: number; signal: AbortSignal },
): Promise<void> {
  const deadline = performance.now() + settleMsMax
  for (;;) {
    signal.throwIfAborted()
    const [counted] = await database.query<{ n: number }>(
      'select count(*)::int n from pulse.events where source = $1',
      [source],
    )
    if (counted?.n === flights) return
    if (performance.now() > deadline)
      throw new Error(`${counted?.n} of ${flights} rows after ${settleMsMax / 1000} s`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

const isExact = ({ missing, unexpected, twice, out_of_order, gaps }: Comparison) =>
  missing + unexpected + twice + out_of_order + gaps === 0

function describe(found: Comparison): string {
  const number = (value: number) => value.toLocaleString('en-US')
  const { latency_ms: latency } = found
  const ms = (value: number) => `${value.toFixed(1)} ms`
  return `${number(found.flights)} flights, ${number(found.subscribers)} subscribers, each with another filter
  delivered     ${number(found.received)}
  SQL says      ${number(found.expected)}
  missing       ${number(found.missing)}
  unexpected    ${number(found.unexpected)}
  twice         ${number(found.twice)}
  out of order  ${number(found.out_of_order)}
  gaps          ${number(found.gaps)}
${latency ? `  kept to delivered  p50 ${ms(latency.p50)}  p95 ${ms(latency.p95)}  p99 ${ms(latency.p99)}\n` : ''}`
}

import { setTimeout as delay } from 'node:timers/promises'
import type { Bench, BenchResult, Settings } from './bench.ts'
import { sampleMemory } from './memory-samples.ts'
import { memoryOf, processTree } from './memory-use.ts'
import { connectTo, describeDatabase, type Pulse, startPulse } from './pulse.ts'
import { Figures } from './statistics.ts'

const eventsPerSecond = 5_000
const perRequest = 10
const settleMs = 10_000
const warmUpSecondsMax = 60

/** What server and database take when idle, and whether it stays so under load. */
export const memory: Bench = {
  name: 'memory',
  summary: 'server and database together: idle, then over ten minutes at 5,000 events/s',
  measure,
}

async function measure(settings: Settings): Promise<BenchResult> {
  const found = new Figures()
  const seconds = settings.seconds ?? 600
  let database: BenchResult['database'] = {}
  // Ten minutes are long: the idle figure is taken at every run, the long run once.
  for (let run = 1; run <= settings.runs && !settings.signal.aborted; run++) {
    await using pulse = await startPulse({ roles: settings.roles ?? 'all' })
    settings.say(`idle: run ${run} of ${settings.runs}`)
    await delay(Math.min(settleMs, seconds * 1_000))
    const [server, postgres] = await Promise.all([memoryOf([pulse.pid]), memoryOf(await databaseTree(pulse))])
    found.add('idle server', mebibytes(server.pssBytes))
    found.add('idle database', mebibytes(postgres.pssBytes))
    found.add('idle', mebibytes(server.pssBytes + postgres.pssBytes))
    found.add('idle RSS', mebibytes(server.rssBytes))
    if (run < settings.runs) continue
    settings.say(`${seconds} s at ${eventsPerSecond} events/s`)
    database = await underLoad({ settings, pulse, found, seconds })
  }
  return { figures: figuresOf(found), database, notes: notesOf(seconds) }
}

/** The postmaster with its children; it outlives a killed server, so it may not be below the server's process. */
async function databaseTree(pulse: Pulse): Promise<readonly number[]> {
  return pulse.postmaster === undefined ? [] : processTree(pulse.postmaster)
}

async function underLoad(of: {
  settings: Settings
  pulse: Pulse
  found: Figures
  seconds: number
}): Promise<BenchResult['database']> {
  const { pulse, found, seconds } = of
  const plan = {
    ...{ targets: [pulse], connections: 64, batch: perRequest, repeats: 0, windowEvents: 0, warmUpMs: 0 },
    pace: { kind: 'open', requestsPerSecond: eventsPerSecond / perRequest },
  } as const
  // A heap grows to its working size first, and the database's buffers fill: that is not what is looked for.
  await of.settings.load.run({ ...plan, measuredMs: Math.min(warmUpSecondsMax, seconds / 4) * 1_000 })
  await using server = sampleMemory(() => [pulse.pid])
  await using all = sampleMemory(async () => [pulse.pid, ...(await databaseTree(pulse))])
  const result = await of.settings.load.run({ ...plan, measuredMs: seconds * 1_000 })
  const [serverUse, allUse] = [await server.end(), await all.end()]
  found.add('rate', result.accepted / result.seconds)
  found.add('failed', result.failed)
  found.add('server first', mebibytes(serverUse.first))
  found.add('server last', mebibytes(serverUse.last))
  found.add('server growth', serverUse.growth * 100)
  found.add('all growth', allUse.growth * 100)
  found.add('all most', mebibytes(allUse.most.pssBytes))
  const client = await connectTo(pulse.databaseUrl)
  try {
    return await describeDatabase(client)
  } finally {
    await client.end()
  }
}

const mebibytes = (bytes: number) => bytes / 2 ** 20

function figuresOf(found: Figures): BenchResult['figures'] {
  const figure = (name: string, series: string, unit = 'MiB') => ({ name, unit, series: found.of(series) })
  return [
    { ...figure('idle, server and database', 'idle'), wanted: { most: 300 } },
    figure('idle, server', 'idle server'),
    figure('idle, database', 'idle database'),
    figure('idle, server as in top (RSS)', 'idle RSS'),
    figure('under load, rate reached', 'rate', 'events/s'),
    figure('under load, server, first quarter', 'server first'),
    figure('under load, server, last quarter', 'server last'),
    {
      ...figure('under load, server, last quarter against first', 'server growth', '%'),
      wanted: { most: 10 },
    },
    { ...figure('under load, all, last quarter against first', 'all growth', '%'), wanted: { most: 10 } },
    figure('under load, all, most', 'all most'),
    { ...figure('failed requests', 'failed', ''), wanted: { most: 0 } },
  ]
}

const notesOf = (seconds: number) => [
  'Memory is PSS out of /proc/PID/smaps_rollup, where pages that processes share count once, over the server, the postmaster and all of its processes.',
  `Under load: ${seconds} s with ${eventsPerSecond} events per second in requests of ${perRequest}, all roles, after a warm-up; once, not at every run.`,
]

import type { Bench, BenchResult, Figure, Settings } from './bench.ts'
import { sampleMemory } from './memory-samples.ts'
import { connectTo, describeDatabase, startPulse } from './pulse.ts'
import { Figures } from './statistics.ts'

const budget = 1_000
const offered = 10_000

/** Ten times more than is allowed in: who is let in is served in time, who is not is told at once. */
export const overload: Bench = {
  name: 'overload',
  summary: 'a budget of 1,000 events/s and 10,000 offered: delays of both kinds of answer, memory',
  measure,
}

async function measure(settings: Settings): Promise<BenchResult> {
  const found = new Figures()
  await using pulse = await startPulse({
    roles: settings.roles ?? 'all',
    settings: { INTAKE_RATE_MAX: String(budget) },
    profile: settings.profile,
  })
  const client = await connectTo(pulse.databaseUrl)
  const database = await describeDatabase(client)
  await client.end()
  const measuredMs = (settings.seconds ?? 15) * 1_000
  const plan = {
    ...{
      targets: [pulse],
      connections: 256,
      batch: 0,
      repeats: 0,
      windowEvents: 0,
      warmUpMs: 1_000,
      measuredMs,
    },
    pace: { kind: 'open', requestsPerSecond: offered },
  } as const
  settings.say('warming up')
  await settings.load.run({ ...plan, measuredMs: Math.min(measuredMs, 5_000) })
  for (let run = 1; run <= settings.runs && !settings.signal.aborted; run++) {
    settings.say(`run ${run} of ${settings.runs}`)
    await using memory = sampleMemory(() => [pulse.pid])
    const result = await settings.load.run(plan)
    const { growth, most } = await memory.end()
    const others = Object.entries(result.outcomes).filter(
      ([outcome]) => outcome !== '202' && outcome !== '429',
    )
    found.add('admitted', result.accepted / result.seconds)
    found.add(
      'offered',
      Object.values(result.outcomes).reduce((sum, count) => sum + count, 0) / result.seconds,
    )
    found.add('admitted p95', result.succeeded?.p95 ?? Number.NaN)
    found.add('refused p95', result.refused?.p95 ?? Number.NaN)
    found.add('refused p99', result.refused?.p99 ?? Number.NaN)
    found.add('refused max', result.refused?.max ?? Number.NaN)
    found.add('stall', result.generatorStallMs)
    found.add(
      'others',
      others.reduce((sum, [, count]) => sum + count, 0),
    )
    found.add('growth', growth * 100)
    found.add('memory', most.rssBytes / 2 ** 20)
  }
  return { figures: figuresOf(found), database, notes }
}

function figuresOf(found: Figures): Figure[] {
  return [
    { name: 'requests answered', unit: 'requests/s', series: found.of('offered') },
    { name: 'admitted', unit: 'events/s', series: found.of('admitted') },
    { name: 'admitted, p95', unit: 'ms', series: found.of('admitted p95'), wanted: { most: 100 } },
    { name: 'refused, p95', unit: 'ms', series: found.of('refused p95'), wanted: { most: 20 } },
    { name: 'refused, p99', unit: 'ms', series: found.of('refused p99'), wanted: { most: 20 } },
    { name: 'refused, slowest', unit: 'ms', series: found.of('refused max'), wanted: { most: 20 } },
    { name: "generator's longest stall", unit: 'ms', series: found.of('stall') },
    { name: 'neither 202 nor 429', unit: 'requests', series: found.of('others'), wanted: { most: 0 } },
    { name: 'server memory (RSS), most', unit: 'MiB', series: found.of('memory') },
    {
      name: 'server memory, last quarter against first',
      unit: '%',
      series: found.of('growth'),
      wanted: { most: 10 },
    },
  ]
}

const notes = [
  `INTAKE_RATE_MAX=${budget}; ${offered} single events per second offered on a fixed schedule over 256 connections, whatever is answered; nobody heeds Retry-After.`,
  'A delay counts from the intended start, so it includes what a request waits for in the generator and in the kernel; its longest stall is the longest time between two looks at its schedule, wanted every millisecond.',
  'All roles run; server, database and generator share the cores.',
]

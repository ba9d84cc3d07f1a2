import type { Bench, BenchResult, Figure, Settings } from './bench.ts'
import type { Load } from './load/load.ts'
import type { LoadPlan } from './load/plan.ts'
import { connectTo, describeDatabase, type Pulse, startPulse } from './pulse.ts'
import { Figures } from './statistics.ts'

const loads = [
  { connections: 64, rate: 12_000, p99: 25 },
  { connections: 256, rate: 18_000, p99: 50 },
] as const
const openLoopP95 = 15

/** Single events over many connections: how many, how fast, and how late at half of that rate. */
export const intakeSingle: Bench = {
  name: 'intake-single',
  summary: 'single events at 64 and 256 connections, then at half of the rate found',
  measure,
}

type Name = `${number} ${'rate' | 'p50' | 'p99' | 'half p95' | 'half p99' | 'generator'}` | 'failed'

async function measure(settings: Settings): Promise<BenchResult> {
  const roles = settings.roles ?? 'intake'
  const measuredMs = (settings.seconds ?? 5) * 1_000
  const found = new Figures<Name>()
  await using pulse = await startPulse({ roles, profile: settings.profile })
  const client = await connectTo(pulse.databaseUrl)
  const database = await describeDatabase(client)
  await client.end()
  settings.say('warming up')
  await settings.load.run(planOf(pulse, { connections: 64, measuredMs: Math.min(measuredMs, 3_000) }))
  for (let run = 1; run <= settings.runs && !settings.signal.aborted; run++) {
    settings.say(`run ${run} of ${settings.runs}`)
    for (const { connections } of loads)
      await oneRun({ pulse, found, connections, measuredMs, load: settings.load })
  }
  return {
    figures: figuresOf(found),
    database,
    notes: [
      `POST /events with one varied event of about 300 bytes and a random id of the client's; every answer is a 202 after the sync.`,
      `Closed loop first; then a fixed schedule at half of that rate, where a delay counts from the intended start.`,
      `The server has the roles ${roles}; server, database and generator share the cores.`,
    ],
  }
}

async function oneRun(of: {
  pulse: Pulse
  found: Figures<Name>
  connections: number
  measuredMs: number
  load: Load
}): Promise<void> {
  const { pulse, found, connections, measuredMs } = of
  const closed = await of.load.run(planOf(pulse, { connections, measuredMs }))
  const rate = closed.accepted / closed.seconds
  found.add(`${connections} rate`, rate)
  found.add(`${connections} p50`, closed.succeeded?.p50 ?? Number.NaN)
  found.add(`${connections} p99`, closed.succeeded?.p99 ?? Number.NaN)
  found.add(`${connections} generator`, closed.generatorCpu * 100)
  const half = await of.load.run({
    ...planOf(pulse, { connections, measuredMs }),
    pace: { kind: 'open', requestsPerSecond: Math.max(1, Math.round(rate / 2)) },
  })
  found.add(`${connections} half p95`, half.succeeded?.p95 ?? Number.NaN)
  found.add(`${connections} half p99`, half.succeeded?.p99 ?? Number.NaN)
  found.add('failed', closed.failed + half.failed)
}

const planOf = (pulse: Pulse, of: { connections: number; measuredMs: number }): LoadPlan => ({
  targets: [pulse],
  pace: { kind: 'closed' },
  batch: 0,
  repeats: 0,
  windowEvents: 0,
  warmUpMs: 500,
  ...of,
})

function figuresOf(found: Figures<Name>): Figure[] {
  const each = loads.flatMap(({ connections, rate, p99 }): Figure[] => {
    const at = `${connections} connections`
    const series = (name: 'rate' | 'p50' | 'p99' | 'half p95' | 'half p99' | 'generator') =>
      found.of(`${connections} ${name}`)
    return [
      { name: `${at}, rate`, unit: 'requests/s', series: series('rate'), wanted: { least: rate } },
      { name: `${at}, p50`, unit: 'ms', series: series('p50') },
      { name: `${at}, p99`, unit: 'ms', series: series('p99'), wanted: { most: p99 } },
      {
        name: `${at}, p95 at half the rate`,
        unit: 'ms',
        series: series('half p95'),
        wanted: { most: openLoopP95 },
      },
      { name: `${at}, p99 at half the rate`, unit: 'ms', series: series('half p99') },
      { name: `${at}, generator's part of a core`, unit: '%', series: series('generator') },
    ]
  })
  return [...each, { name: 'failed requests', unit: '', series: found.of('failed'), wanted: { most: 0 } }]
}

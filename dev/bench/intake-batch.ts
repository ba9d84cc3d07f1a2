import type { Bench, BenchResult, Figure, Settings } from './bench.ts'
import { fillIdWindow, type IdWindow } from './id-window.ts'
import type { LoadPlan, LoadResult } from './load/plan.ts'
import { connectTo, describeDatabase, type Pulse, startPulse } from './pulse.ts'
import { Figures } from './statistics.ts'

const batch = 100
const connections = 32
const serversMax = 4
const idsByDefault = 20_000_000

const cases = [
  { servers: 1, repeats: 0, wanted: { least: 100_000 }, p99: { most: 100 } },
  { servers: 1, repeats: 0.2, wanted: { least: 60_000 }, p99: undefined },
  { servers: 2, repeats: 0, wanted: { least: 100_000 }, p99: undefined },
  { servers: 4, repeats: 0, wanted: { least: 100_000 }, p99: undefined },
] as const

/** Batches into a window of ids that a week of traffic has filled. */
export const intakeBatch: Bench = {
  name: 'intake-batch',
  summary: 'batches of 100 with 20 M remembered ids: fresh, with 20 % repeats, on 1, 2 and 4 servers',
  measure,
}

async function measure(settings: Settings): Promise<BenchResult> {
  const roles = settings.roles ?? 'intake'
  const measuredMs = (settings.seconds ?? 8) * 1_000
  const found = new Figures()
  await using servers = await startServers(roles, settings.profile)
  const first = servers.all[0]
  const client = await connectTo(first.databaseUrl)
  let window: IdWindow
  let database: BenchResult['database']
  try {
    database = await describeDatabase(client)
    window = await fillIdWindow(client, settings.ids ?? idsByDefault, settings.say)
  } finally {
    await client.end()
  }
  const plan = (servers_: number, repeats: number): LoadPlan => ({
    targets: servers.all.slice(0, servers_),
    ...{ connections, batch, repeats, measuredMs, warmUpMs: 1_000 },
    pace: { kind: 'closed' },
    windowEvents: repeats > 0 ? window.repeatable : 0,
  })
  settings.say('warming up')
  await settings.load.run({ ...plan(serversMax, 0.2), measuredMs: Math.min(measuredMs, 3_000) })
  for (let run = 1; run <= settings.runs && !settings.signal.aborted; run++) {
    settings.say(`run ${run} of ${settings.runs}`)
    for (const one of cases) note(found, one, await settings.load.run(plan(one.servers, one.repeats)))
  }
  return {
    figures: figuresOf(found),
    database,
    notes: [
      `POST /events with ${batch} varied events of about 300 bytes each and random ids of the client's over ${connections} connections; a 200 after the sync.`,
      `The window holds ${window.ids.toLocaleString('en-GB')} ids: ${window.sealedGenerations} sealed generations and a current one, written by SQL in the tables' own form; the server built the filters.`,
      `Of the repeats, half are events of this run and half are of the sealed generations (${window.repeatable.toLocaleString('en-GB')} of their ids carry true fingerprints).`,
      `The servers have the roles ${roles} and share one database; servers, database and generator share the cores.`,
    ],
  }
}

/** One server with its own database, and the others on the same. */
async function startServers(
  roles: string,
  profile: string | undefined,
): Promise<{ all: readonly [Pulse, ...Pulse[]] } & AsyncDisposable> {
  await using opened = new AsyncDisposableStack()
  const first = opened.use(await startPulse({ roles, profile }))
  const all: [Pulse, ...Pulse[]] = [first]
  while (all.length < serversMax)
    all.push(opened.use(await startPulse({ roles, databaseUrl: first.databaseUrl })))
  const kept = opened.move()
  return { all, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

type Case = (typeof cases)[number]
const nameOf = ({ servers, repeats }: Case) =>
  `${servers} server${servers === 1 ? '' : 's'}${repeats > 0 ? `, ${repeats * 100} % repeats` : ''}`

function note(found: Figures, one: Case, result: LoadResult): void {
  const name = nameOf(one)
  found.add(`${name}, rate`, (result.accepted + result.duplicates) / result.seconds)
  found.add(`${name}, p50`, result.succeeded?.p50 ?? Number.NaN)
  found.add(`${name}, p99`, result.succeeded?.p99 ?? Number.NaN)
  found.add(`${name}, repeats`, (100 * result.duplicates) / Math.max(1, result.accepted + result.duplicates))
  found.add(`${name}, generator`, result.generatorCpu * 100)
  found.add('failed', result.failed)
}

function figuresOf(found: Figures): Figure[] {
  const each = cases.flatMap((one): Figure[] => {
    const name = nameOf(one)
    const figures: Figure[] = [
      { name: `${name}, rate`, unit: 'events/s', series: found.of(`${name}, rate`), wanted: one.wanted },
      { name: `${name}, p50`, unit: 'ms', series: found.of(`${name}, p50`) },
      {
        ...{ name: `${name}, p99`, unit: 'ms', series: found.of(`${name}, p99`) },
        ...(one.p99 ? { wanted: one.p99 } : {}),
      },
      { name: `${name}, generator's part of a core`, unit: '%', series: found.of(`${name}, generator`) },
    ]
    if (one.repeats > 0)
      figures.push({ name: `${name}, found as such`, unit: '%', series: found.of(`${name}, repeats`) })
    return figures
  })
  return [...each, { name: 'failed requests', unit: '', series: found.of('failed'), wanted: { most: 0 } }]
}

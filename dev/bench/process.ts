import { setTimeout as delay } from 'node:timers/promises'
import { removeFolder, temporaryFolder } from '@pulse/dev/services/places'
import type pg from 'pg'
import type { Bench, BenchResult, Settings } from './bench.ts'
import type { LoadPlan } from './load/plan.ts'
import { connectTo, describeDatabase, type Pulse, startPulse } from './pulse.ts'
import { Figures, type Series } from './statistics.ts'
import { watchVisibility } from './visibility.ts'

const eventsPerSecond = 5_000
const perRequest = [1, 10] as const
const drainedPerSecondOfRun = 60_000

/** From acceptance to the row, and how fast a backlog becomes rows. */
export const processBench: Bench = {
  name: 'process',
  summary: 'delay from acceptance to the row at 5,000 events/s, and the drain of a backlog',
  measure,
}

async function measure(settings: Settings): Promise<BenchResult> {
  const found = new Figures()
  const database = await measureDelay(settings, found)
  await measureDrain(settings, found)
  const p95 = (name: string, unit: string, series: Series) => ({ name, unit, series, wanted: { most: 100 } })
  return {
    figures: [
      ...perRequest.flatMap((events) => [
        p95(`${events} per request, accepted to row, p95`, 'ms', found.of(`${events} row p95`)),
        {
          name: `${events} per request, accepted to row, p99`,
          unit: 'ms',
          series: found.of(`${events} row p99`),
        },
        p95(`${events} per request, accepted to seen by a query, p95`, 'ms', found.of(`${events} seen p95`)),
        {
          name: `${events} per request, events/s reached`,
          unit: 'events/s',
          series: found.of(`${events} rate`),
        },
      ]),
      {
        ...{ name: 'drain of a backlog', unit: 'rows/s', series: found.of('drain') },
        wanted: { least: 50_000 },
      },
      { name: 'failed requests', unit: '', series: found.of('failed'), wanted: { most: 0 } },
    ],
    database,
    notes: [
      `${eventsPerSecond} varied events of about 300 bytes per second on a fixed schedule, in requests of 1 and of 10; the built-in handlers; all roles.`,
      'Accepted to row is processed_at - received_at of every row, in SQL; processed_at is the start of the transaction that commits the row.',
      'Seen by a query: a few more events are asked for by SQL every 2 ms until their row is there, which includes the commit.',
      'Drain: a backlog is taken in with processing off; then a server without intake starts, and rows are counted by the committed offsets of the group, from its first to its last commit. The table has its four indexes.',
    ],
  }
}

async function measureDelay(settings: Settings, found: Figures): Promise<BenchResult['database']> {
  await using pulse = await startPulse({ roles: settings.roles ?? 'all', profile: settings.profile })
  const client = await connectTo(pulse.databaseUrl)
  try {
    const measuredMs = (settings.seconds ?? 10) * 1_000
    settings.say('warming up')
    await settings.load.run({ ...planOf(pulse, 10), measuredMs: Math.min(measuredMs, 3_000) })
    for (let run = 1; run <= settings.runs && !settings.signal.aborted; run++) {
      settings.say(`delay: run ${run} of ${settings.runs}`)
      for (const events of perRequest) {
        const { rows } = await client.query<{ now: Date }>('select clock_timestamp() as now')
        await using visibility = await watchVisibility(pulse)
        const result = await settings.load.run({ ...planOf(pulse, events), measuredMs })
        found.add(`${events} seen p95`, (await visibility.end()).p95)
        await drained(client)
        found.add(`${events} rate`, result.accepted / result.seconds)
        found.add('failed', result.failed)
        await noteRows(client, found, { events, since: rows[0]?.now ?? new Date() })
      }
    }
    return await describeDatabase(client)
  } finally {
    await client.end()
  }
}

const planOf = (pulse: Pulse, events: number): Omit<LoadPlan, 'measuredMs'> => ({
  targets: [pulse],
  connections: 64,
  pace: { kind: 'open', requestsPerSecond: eventsPerSecond / events },
  batch: events === 1 ? 0 : events,
  repeats: 0,
  windowEvents: 0,
  warmUpMs: 1_000,
})

async function noteRows(
  client: pg.Client,
  found: Figures,
  of: { events: number; since: Date },
): Promise<void> {
  const { rows } = await client.query<{ ms: number[] }>(
    `select percentile_cont(array[0.95, 0.99]) within group
       (order by extract(epoch from processed_at - received_at)::float8 * 1000) as ms
     from events where received_at >= $1`,
    [of.since],
  )
  found.add(`${of.events} row p95`, rows[0]?.ms[0] ?? Number.NaN)
  found.add(`${of.events} row p99`, rows[0]?.ms[1] ?? Number.NaN)
}

/** One data folder over all runs: the table grows, as it does in life. */
async function measureDrain(settings: Settings, found: Figures): Promise<void> {
  const dataFolder = await temporaryFolder('bench-drain')
  try {
    for (let run = 1; run <= settings.runs && !settings.signal.aborted; run++) {
      settings.say(`drain: run ${run} of ${settings.runs}`)
      await takeIn(settings, dataFolder, found)
      const profile = settings.profile
      await using pulse = await startPulse({ roles: 'processing', dataFolder, profile })
      const client = await connectTo(pulse.databaseUrl)
      try {
        found.add('drain', await drained(client))
      } finally {
        await client.end()
      }
    }
  } finally {
    await removeFolder(dataFolder)
  }
}

async function takeIn(settings: Settings, dataFolder: string, found: Figures): Promise<void> {
  await using pulse = await startPulse({ roles: 'intake', dataFolder })
  const wanted = drainedPerSecondOfRun * (settings.seconds ?? 10)
  const client = await connectTo(pulse.databaseUrl)
  try {
    while ((await progressOf(client)).left < wanted) {
      const closed: LoadPlan = {
        ...{
          ...planOf(pulse, 500),
          connections: 8,
          pace: { kind: 'closed' },
          warmUpMs: 0,
          measuredMs: 1_000,
        },
      }
      found.add('failed', (await settings.load.run(closed)).failed)
    }
  } finally {
    await client.end()
  }
}

/** Waits until nothing is left to process; rows per second from the first commit that is seen to the last. */
async function drained(client: pg.Client): Promise<number> {
  const before = await progressOf(client)
  let first = before
  let last = before
  for (;;) {
    const now = await progressOf(client)
    if (first.done === before.done) first = now
    if (now.done > last.done) last = now
    if (now.left === 0) return (last.done - first.done) / Math.max(0.001, last.at - first.at)
    if (now.at - last.at > 30) throw new Error('processing has stopped before the end')
    await delay(20)
  }
}

async function progressOf(client: pg.Client): Promise<{ done: number; left: number; at: number }> {
  const { rows } = await client.query<{ done: string; total: string; at: number }>(
    `select extract(epoch from clock_timestamp())::float8 as at, (select coalesce(sum(next_offset), 0) from log_heads) as total,
       (select coalesce(sum(next_offset), 0) from log_group_partitions where group_name = 'processing') as done`,
  )
  const [done, total] = [Number(rows[0]?.done), Number(rows[0]?.total)]
  return { done, left: total - done, at: rows[0]?.at ?? 0 }
}

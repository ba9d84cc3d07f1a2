import type { Bench, BenchResult, Settings } from '../bench.ts'
import { connectTo, describeDatabase, startPulse } from '../pulse.ts'
import { Figures, percentile } from '../statistics.ts'
import { publish } from './publisher.ts'
import { openReaders } from './readers.ts'

const sockets = 1_000
const eventsPerSecond = 2_000

/** From the request that sends an event to the socket that receives it. */
export const endToEnd: Bench = {
  name: 'end-to-end',
  summary: '2,000 events/s to 1,000 sockets, each event to one: from sent to received',
  measure,
}

async function measure(settings: Settings): Promise<BenchResult> {
  const found = new Figures()
  await using pulse = await startPulse({ roles: settings.roles ?? 'all', profile: settings.profile })
  const client = await connectTo(pulse.databaseUrl)
  const database = await describeDatabase(client)
  await client.end()
  await using readers = await openReaders()
  const filter = 'event_type = "bench.happened" and properties.reader = {n}'
  await readers.run({ kind: 'open', url: pulse.url, key: pulse.key, count: sockets, filter })
  const plan = {
    ...{ eventsPerSecond, batch: 1 },
    properties: (number: number) => ({ reader: number % sockets }),
  }
  settings.say('warming up')
  await publish(pulse, { ...plan, ms: 3_000 })
  for (let run = 1; run <= settings.runs && !settings.signal.aborted; run++) {
    settings.say(`run ${run} of ${settings.runs}`)
    await readers.run({ kind: 'reset' })
    const events = await publish(pulse, { ...plan, ms: (settings.seconds ?? 10) * 1_000 })
    const { latencies } = await readers.run({ kind: 'await', events, msMax: 60_000 })
    for (const percent of [50, 95, 99]) found.add(`p${percent}`, percentile(latencies, percent))
  }
  const figures = [
    { name: 'sent to received, p50', unit: 'ms', series: found.of('p50'), wanted: { most: 10 } },
    { name: 'sent to received, p95', unit: 'ms', series: found.of('p95') },
    { name: 'sent to received, p99', unit: 'ms', series: found.of('p99'), wanted: { most: 50 } },
  ]
  return { figures, database, notes }
}

const notes = [
  `${eventsPerSecond} single requests per second on a fixed schedule; each event matches one of ${sockets} sockets of pulse.v1; all roles run. A delay counts from just before the request is sent, so keeping the event on disk is in it.`,
]

import { setTimeout as delay } from 'node:timers/promises'
import type { Bench, BenchResult, Figure, Settings } from '../bench.ts'
import { connectTo, describeDatabase, type Pulse, startPulse } from '../pulse.ts'
import { Figures, percentile } from '../statistics.ts'
import { processorSeconds } from './processor-time.ts'
import { anEvent, publish, send } from './publisher.ts'
import { openReaders, type Readers } from './readers.ts'
import { openSocketIo } from './socket-io-peer.ts'

const connections = 1_000
const eventsPerSecond = 1_000
const padding = 'x'.repeat(20)
/** Of twenty, the slowest one alone would be more than the last hundredth of all arrivals. */
const idleEvents = 50

/** Every event to every socket: what a delivery costs the server, and how soon the last of many idle readers has it. */
export const fanout: Bench = {
  name: 'fanout',
  summary: '1,000 sockets that all match: deliveries per second of processor time, one event to idle readers',
  measure,
}

async function measure(settings: Settings): Promise<BenchResult> {
  const found = new Figures()
  await using pulse = await startPulse({
    roles: settings.roles ?? 'intake,delivery',
    profile: settings.profile,
  })
  const client = await connectTo(pulse.databaseUrl)
  const database = await describeDatabase(client)
  await client.end()
  await using readers = await openReaders()
  const filter = 'event_type = "bench.happened"'
  await readers.run({ kind: 'open', url: pulse.url, key: pulse.key, count: connections, filter })
  const parts = { pulse, readers, found }
  settings.say('warming up')
  await underLoad({ ...parts, found: new Figures() }, { ms: 2_000, batch: 20 })
  for (let run = 1; run <= settings.runs && !settings.signal.aborted; run++) {
    settings.say(`run ${run} of ${settings.runs}`)
    const ms = (settings.seconds ?? 5) * 1_000
    await underLoad(parts, { ms, batch: 20 })
    await underLoad(parts, { ms, batch: 1 })
    await whileIdle(parts)
    // Opened for its own turn only, so that nothing of it runs beside what it is compared with.
    await using peer = await openSocketIo(connections)
    const plan = { eventsPerSecond: 200, batch: 20, padding }
    await peer.measure({ ...plan, ms: 1_000 })
    found.add('Socket.IO, per CPU-second', await peer.measure({ ...plan, ms }))
    const own = found.of('batches of 20, per CPU-second').at(-1) ?? Number.NaN
    found.add('ratio', own / (found.of('Socket.IO, per CPU-second').at(-1) ?? Number.NaN))
  }
  return { figures: figuresOf(found), database, notes }
}

interface Parts {
  readonly pulse: Pulse
  readonly readers: Readers
  readonly found: Figures
}

async function underLoad(
  { pulse, readers, found }: Parts,
  load: { ms: number; batch: number },
): Promise<void> {
  await readers.run({ kind: 'reset' })
  const [cpu, from] = [await processorSeconds(pulse.pid), performance.now()]
  const events = await publish(pulse, {
    ...{ eventsPerSecond: load.batch === 1 ? eventsPerSecond / 2 : eventsPerSecond, ...load },
    properties: (number) => ({ number, padding }),
  })
  const report = await readers.run({ kind: 'await', events: events * connections, msMax: 60_000 })
  const seconds = (performance.now() - from) / 1_000
  const used = (await processorSeconds(pulse.pid)) - cpu
  if (report.events !== events * connections)
    throw new Error(`${report.events} deliveries of ${events * connections}`)
  const name = load.batch === 1 ? 'singles' : `batches of ${load.batch}`
  found.add(`${name}, per CPU-second`, report.events / used)
  found.add(`${name}, rate`, report.events / seconds)
  found.add(`${name}, bytes`, report.bytes / report.events)
  found.add(`${name}, p50`, percentile(report.latencies, 50))
  found.add(`${name}, p99`, percentile(report.latencies, 99))
}

/** One event at a time, with quiet in between. */
async function whileIdle({ pulse, readers, found }: Parts): Promise<void> {
  const latencies: number[] = []
  for (let n = 0; n < idleEvents; n++) {
    await delay(100)
    await readers.run({ kind: 'reset' })
    await send(pulse, [anEvent({ number: n, padding })])
    const report = await readers.run({ kind: 'await', events: connections, msMax: 10_000 })
    latencies.push(...report.latencies)
  }
  found.add('idle, p50', percentile(latencies, 50))
  found.add('idle, p99', percentile(latencies, 99))
}

function figuresOf(found: Figures): Figure[] {
  const loaded = ['batches of 20', 'singles'].flatMap((name) => [
    {
      name: `${name}, deliveries per CPU-second of the server`,
      unit: 'deliveries',
      series: found.of(`${name}, per CPU-second`),
      ...(name !== 'singles' && { wanted: { least: 1_000_000 } }),
    },
    { name: `${name}, deliveries`, unit: '1/s', series: found.of(`${name}, rate`) },
    { name: `${name}, bytes of a delivery`, unit: 'bytes', series: found.of(`${name}, bytes`) },
    { name: `${name}, sent to received, p50`, unit: 'ms', series: found.of(`${name}, p50`) },
    { name: `${name}, sent to received, p99`, unit: 'ms', series: found.of(`${name}, p99`) },
  ])
  return [
    ...loaded,
    {
      name: 'Socket.IO rooms, deliveries per CPU-second of the server',
      unit: 'deliveries',
      series: found.of('Socket.IO, per CPU-second'),
    },
    { name: 'Pulse / Socket.IO', unit: 'times', series: found.of('ratio'), wanted: { least: 5 } },
    { name: 'one event to 1,000 idle readers, p50', unit: 'ms', series: found.of('idle, p50') },
    {
      name: 'one event to 1,000 idle readers, p99',
      unit: 'ms',
      series: found.of('idle, p99'),
      wanted: { most: 20 },
    },
  ]
}

const notes = [
  `${connections} WebSockets speak pulse.v1, each for a subscriber of its own with a filter that every event matches; ${eventsPerSecond} events/s in batches of 20, and half as many as single requests.`,
  'Processor time is that of the server process in user and kernel mode, taking the events in, storing and matching them included; the database and the readers are processes of their own on the same cores.',
  'Socket.IO 4 has its sockets in one room, over WebSocket without compression; it makes its events of the same form itself, 20 at a time, so it neither takes them in nor keeps them.',
  'A delay counts from just before the request is sent to the arrival at the reader, over a clock that both share; of several events that a reader reads at once it is that of the oldest.',
]

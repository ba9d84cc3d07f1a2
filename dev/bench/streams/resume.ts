import type { Bench, BenchResult, Settings } from '../bench.ts'
import { connectTo, describeDatabase, type Pulse, startPulse } from '../pulse.ts'
import { Figures } from '../statistics.ts'
import { anEvent, publish, send } from './publisher.ts'
import { openReaders } from './readers.ts'

const sockets = 2_000
const stored = 1_000_000
const rare = 1_000

/** Sockets that were cut come back all at once; one reader replays a long past. */
export const resume: Bench = {
  name: 'resume',
  summary: '2,000 sockets dropped at once, and a replay of 1 M events of which 0.1 % match',
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
  const start = await positionNow(pulse)
  settings.say(`storing ${stored} events`)
  await store(pulse)
  for (let run = 1; run <= settings.runs && !settings.signal.aborted; run++) {
    settings.say(`run ${run} of ${settings.runs}`)
    found.add('replay', await replay(pulse, start))
    found.add('storm', await storm(pulse))
  }
  const figures = [
    { name: 'replay of 1 M events, 0.1 % match', unit: 's', series: found.of('replay'), wanted: { most: 3 } },
    { name: '2,000 sockets back and caught up', unit: 's', series: found.of('storm'), wanted: { most: 30 } },
  ]
  return { figures, database, notes }
}

async function positionNow(pulse: Pulse): Promise<string> {
  const response = await fetch(`${pulse.url}/stream?filter=${encodeURIComponent('event_id exists')}`, {
    headers: { authorization: `Bearer ${pulse.key}` },
  })
  let text = ''
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString()
    const position = /"position":"([^"]+)"/.exec(text)?.[1]
    if (position) return position
  }
  throw new Error(`no position came: ${text.slice(0, 200)}`)
}

async function store(pulse: Pulse): Promise<void> {
  let next = 0
  const worker = async () => {
    while (next < stored) {
      const first = next
      next += 1_000
      await send(
        pulse,
        Array.from({ length: 1_000 }, (_, n) =>
          anEvent({
            number: first + n,
            kind: (first + n) % rare === 0 ? 'rare' : 'common',
            airport: `A${n % 300}`,
          }),
        ),
      )
    }
  }
  await Promise.all(Array.from({ length: 8 }, worker))
}

async function replay(pulse: Pulse, position: string): Promise<number> {
  await using readers = await openReaders()
  await readers.run({ kind: 'reset' })
  const from = performance.now()
  await readers.run({
    ...{ kind: 'open', url: pulse.url, key: pulse.key, count: 1, position },
    filter: 'properties.kind = "rare"',
  })
  await readers.run({ kind: 'await', events: stored / rare, msMax: 60_000 })
  return (performance.now() - from) / 1_000
}

/** All sockets follow 500 events/s, each its own hundredth of them; cut, they come back while the events go on. */
async function storm(pulse: Pulse): Promise<number> {
  await using readers = await openReaders()
  const filter = 'event_type = "bench.happened" and properties.hundredth = {n}'
  await readers.run({
    kind: 'open',
    url: pulse.url,
    key: pulse.key,
    count: sockets,
    filter: filter.replace('{n}', '1'),
  })
  await readers.run({ kind: 'reset' })
  let isOver = false
  let sent = 0
  const publishing = (async () => {
    while (!isOver) {
      const first = sent
      sent += await publish(pulse, {
        ...{ eventsPerSecond: 500, batch: 10, ms: 500 },
        properties: (number) => ({ hundredth: (first + number) % 100 }),
      })
    }
  })()
  const expected = () => Math.ceil(sent / 100) * sockets
  await readers.run({ kind: 'await', events: 20 * sockets, msMax: 60_000 })
  const from = performance.now()
  await readers.run({ kind: 'cut-and-resume' })
  isOver = true
  await publishing
  await readers.run({ kind: 'await', events: expected() - sockets, msMax: 60_000 })
  return (performance.now() - from) / 1_000
}

const notes = [
  `The log holds ${stored} events of about 300 bytes; a socket resumes from before the first with a filter that ${stored / rare} of them match, and the last one’s arrival ends the measurement.`,
  `${sockets} sockets are cut at the same moment while 500 events/s come in, and resume from their positions; the time until every one has what it missed.`,
]

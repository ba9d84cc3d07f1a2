import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { relative } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { processedEvents, startTestServer, type TestServer } from '@pulse/cli/test-server'
import { eventually } from '../services/eventually.ts'
import type { Comparison } from './flight-watchers.ts'
import { openServerDatabase } from './server-database.ts'

const program = fileURLToPath(new URL('main.ts', import.meta.url))
const config = fileURLToPath(import.meta.resolve('@pulse/examples/handlers/pulse.config.ts'))
const dataset = fileURLToPath(new URL('../data/flights-20k.json', import.meta.resolve('vega-datasets')))

let server: TestServer
before(async () => {
  server = await startTestServer({ words: ['--config', config] })
})
after(() => server?.[Symbol.asyncDispose]())

interface Flight {
  readonly date: string
  readonly delay: number
  readonly distance: number
  readonly origin: string
  readonly destination: string
}

async function query<Row extends object>(sql: string): Promise<Row[]> {
  await using database = await openServerDatabase(server.data)
  return await database.query<Row>(sql)
}

test('the flights come in once, are handled by the example, and are counted right; again adds nothing', async () => {
  const first = await server.run(program, ['flights', '--json'])
  assert.equal(first.exitCode, 0, first.stderr)
  const { data } = JSON.parse(first.stdout) as { data: Record<string, number> }
  assert.deepEqual([data.accepted, data.duplicates, data.rejected], [20_000, 0, 0])
  const rows = await processedEvents(server.client, 'flight.departed', 20_000)
  assert.equal(rows.length, 20_000)

  const flights = JSON.parse(await readFile(dataset, 'utf8')) as Flight[]
  const late = flights.filter(({ delay }) => delay >= 15 && delay < 60).length
  const earliest = flights[0] ?? assert.fail('no flights')
  const [counted] = await query<{ flights: string; late: string; miles: string }>(
    `select count(*) flights, count(*) filter (where delay_class = 'late') late, sum(distance_miles) miles from flight_delays`,
  )
  assert.deepEqual(counted, {
    flights: '20000',
    late: String(late),
    miles: String(flights.reduce((sum, { distance }) => sum + distance, 0)),
  })
  const [departed] = await query<{ departed_at: Date; origin: string }>(
    'select departed_at, origin from flight_delays order by departed_at limit 1',
  )
  assert.equal(
    departed?.departed_at.toISOString(),
    `${earliest.date.replaceAll('/', '-').replace(' ', 'T')}:00.000Z`,
  )
  assert.equal(departed?.origin, earliest.origin)

  const again = await server.run(program, ['flights'])
  assert.deepEqual([again.exitCode, again.stderr], [0, ''])
  assert.match(again.stdout, /^0 added, 20,000 were there already, 0 rejected in /)
  assert.equal((await query<{ n: string }>('select count(*) n from flight_delays'))[0]?.n, '20000')
})

test('what the handler added is seen with the event, and found by a property over any span of time', async () => {
  const { stdout } = await server.pulse([
    'events',
    'list',
    '--property',
    'origin=DTW',
    '--type',
    'flight.departed',
    '--limit',
    '1',
    '--json',
  ])
  const { data } = JSON.parse(stdout) as { data: { event_id: string; enriched: { route: string } }[] }
  assert.match(data[0]?.enriched.route ?? '', /^DTW-[A-Z]{3}$/)
  const shown = await server.pulse(['events', 'get', data[0]?.event_id ?? ''])
  assert.match(shown.stdout, /enriched {4}\{.*"delay_class":"(early|on_time|late|very_late)"/)
})

test('a flight that makes no sense becomes a dead letter with the handler’s words', async () => {
  const { exitCode, stderr } = await server.pulse([
    'events',
    'send',
    'flight.departed',
    'delay=soon',
    '--wait',
  ])
  assert.equal(exitCode, 1)
  assert.match(stderr, /could not be processed: delay must be whole minutes/)
})

test('ES-12 the flights, replayed to 200 subscribers, reach each of them exactly as SQL finds them in the rows', async () => {
  // A path from here, as the default is one.
  const folder = relative('', server.data)
  const words = ['flights-live', '--flights', '2000', '--over', '3s', '--data', folder, '--json']
  const { exitCode, stdout, stderr } = await server.run(program, words)
  assert.equal(exitCode, 0, stdout + stderr)
  const { data } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as { data: Comparison }
  const { subscribers, flights, expected, received, missing, unexpected, twice, out_of_order, gaps } = data
  assert.deepEqual([subscribers, flights, received], [200, 2_000, expected])
  assert.equal((await server.client.filters.list()).data.length, 0, 'the story leaves no filters behind')
  assert.deepEqual([missing, unexpected, twice, out_of_order, gaps], [0, 0, 0, 0, 0])
  // One of them gets all; the others are worth something only if most of them get some and none gets all.
  assert.ok(expected > 6_000 && data.idle_subscribers < 40, JSON.stringify(data))
})

test('a live story that is interrupted takes its filters with it, whatever it was at', async () => {
  const filters = async () => (await server.client.filters.list({ limit: 1_000 })).data.length
  for (const count of [20, 200]) {
    const ctrlC = new AbortController()
    const words = ['flights-live', '--flights', '2000', '--over', '60s', '--data', server.data]
    const running = server.run(program, words, { interrupt: ctrlC.signal })
    await eventually(`${count} filters`, async () => (await filters()) >= count || undefined, 60_000)
    ctrlC.abort()
    const { exitCode, stderr } = await running
    assert.notEqual(exitCode, 0)
    assert.match(stderr, /Interrupted\.\n$/)
    assert.equal(await filters(), 0)
  }
})

test('story lists the stories, and names them when asked for one that it does not have', async () => {
  const list = await server.run(program, [])
  assert.deepEqual([list.exitCode, list.stderr], [0, ''])
  assert.match(list.stdout, /^ {2}flights {7}20,000 US flights/m)
  const wrong = await server.run(program, ['fligths'])
  assert.equal(wrong.exitCode, 2)
  assert.match(wrong.stderr, /^There is no story 'fligths'\.\nStories/)
  const nobody = await server.run(program, ['flights-live', '--data', '/nowhere'])
  assert.equal(nobody.exitCode, 1)
  assert.match(nobody.stderr, /^No server runs with the data folder \/nowhere: npm start, or .*\n$/)
})

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { eventually, processedEvents, startTestServer, type TestServer } from './server.ts'
import { openTemporaryFolder } from './temporary-folder.ts'

// So slow that an import can be met on its way, and that the server refuses some of it with 429.
const eventsPerSecond = 1_500

let server: TestServer
before(async () => {
  server = await startTestServer({ env: { INTAKE_RATE_MAX: String(eventsPerSecond) } })
})
after(() => server?.[Symbol.asyncDispose]())

const freshType = (name: string) => `${name}.${randomUUID().slice(0, 8)}`
const stateFolder = () => join(server.home, '.local', 'state', 'pulse', 'imports')
const statesLeft = async () => (await readdir(stateFolder()).catch(() => [])).length

const csv = `ride,rider,date,price,note
r1,7,2001/01/01 00:47,9.50,"said ""hi"", twice"
r2,8,2001/07/01 12:00,11,
r3,9,not a date,12,x
r4,9
`
const csvWords = [
  '--id',
  'ride',
  '--map',
  'user_id=rider,timestamp=date,properties.fare=price',
  '--timezone',
  'Europe/Berlin',
]

test('CSV becomes events by a mapping; bad records are named by line and kept; again adds nothing', async () => {
  await using folder = await openTemporaryFolder()
  const [type, file, errors] = [
    freshType('ride'),
    await folder.write('rides.csv', csv),
    join(folder.path, 'bad.ndjson'),
  ]
  const words = ['events', 'import', file, '--type', type, ...csvWords, '--errors', errors]
  const first = await server.pulse(words)
  assert.equal(first.exitCode, 8)
  assert.match(first.stdout, /^2 added, 0 were there already, 2 rejected in /)
  assert.equal(
    first.stderr,
    `line 4: 'not a date' is no date and time
line 5: 2 fields, but the header has 5
pulse: 2 records rejected. Next: see ${errors}
`,
  )
  const bad = (await readFile(errors, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { line: number; text: string })
  assert.deepEqual(
    bad.map(({ line, text }) => [line, text]),
    [
      [4, 'r3,9,not a date,12,x'],
      [5, 'r4,9'],
    ],
  )
  const rows = await processedEvents(server.client, type, 2)
  const told = rows.map(({ user_id, timestamp, properties }) => ({ user_id, timestamp, properties }))
  told.sort((one, other) => String(one.user_id).localeCompare(String(other.user_id)))
  assert.deepEqual(told, [
    {
      user_id: '7',
      timestamp: '2000-12-31T23:47:00.000000Z',
      properties: { fare: 9.5, note: 'said "hi", twice' },
    },
    { user_id: '8', timestamp: '2001-07-01T10:00:00.000000Z', properties: { fare: 11 } },
  ])
  const again = await server.pulse(words)
  assert.match(again.stdout, /^0 added, 2 were there already, 2 rejected in /)
  assert.equal(await statesLeft(), 0)
})

test('NDJSON events keep their own ids; what the server refuses is named by line too', async () => {
  const type = freshType('ndjson')
  const id = randomUUID()
  const lines = [
    { event_id: id, event_type: type, properties: { n: 1 } },
    { event_type: type, schema_version: -1 },
    { event_type: type, user_id: 'u' },
  ]
  const input = `${lines.map((line) => JSON.stringify(line)).join('\n')}\n{"event_type":\n`
  const { exitCode, stdout, stderr } = await server.pulse(['events', 'import', '-', '--json'], { input })
  assert.equal(exitCode, 8)
  const { schema, data } = JSON.parse(stdout) as {
    schema: string
    data: { accepted: number; bad: { line: number; reason: string }[] }
  }
  assert.deepEqual([schema, data.accepted], ['pulse.events.import.v1', 2])
  assert.deepEqual(
    data.bad.map(({ line }) => line),
    [2, 4],
  )
  assert.match(data.bad[0]?.reason ?? '', /\/schema_version/)
  assert.match(data.bad[1]?.reason ?? '', /not valid JSON/)
  assert.equal((JSON.parse(stderr) as { exit_code: number }).exit_code, 8)
  const rows = await processedEvents(server.client, type, 2)
  assert.ok(rows.some(({ event_id }) => event_id === id))
})

test('the same file with another mapping is told as a conflict and changes nothing', async () => {
  await using folder = await openTemporaryFolder()
  const type = freshType('array')
  const file = await folder.write(
    'a.json',
    JSON.stringify([
      { n: 1, who: 'a' },
      { n: 2, who: 'b' },
    ]),
  )
  assert.equal((await server.pulse(['events', 'import', file, '--type', type])).exitCode, 0)
  const other = await server.pulse(['events', 'import', file, '--type', type, '--map', 'user_id=who'])
  assert.equal(other.exitCode, 8)
  assert.match(
    other.stderr,
    /^line 1: event_id \S+ stands for another event already; was this imported with another mapping\?/,
  )
})

test('an event above the limits of a request is rejected alone, and its neighbours are not', async () => {
  const type = freshType('large')
  const lines = [1, 5_000_000, 3].map((size) =>
    JSON.stringify({ event_type: type, properties: { text: 'x'.repeat(size) } }),
  )
  const { exitCode, stdout } = await server.pulse(['events', 'import', '-'], { input: lines.join('\n') })
  assert.equal(exitCode, 8)
  assert.match(stdout, /^2 added, 0 were there already, 1 rejected/)
})

test('a column that does not exist is a wrong command line, and nothing is sent', async () => {
  await using folder = await openTemporaryFolder()
  const file = await folder.write('rides.csv', csv)
  const { exitCode, stderr } = await server.pulse([
    'events',
    'import',
    file,
    '--type',
    't',
    '--map',
    'user_id=ridr',
  ])
  assert.equal(exitCode, 2)
  assert.match(stderr, /has no column 'ridr'; it has ride, rider, date, price, note/)
})

// More than the server takes at once, which is a tenth of what it takes in a second: each batch meets a refusal, and
// waits for the whole second that the refusal asks for. Eight of them are long enough to be met on their way.
const batchEvents = 250
const events = 8 * batchEvents
const inBatches = ['--batch', String(batchEvents)]

const manyLines = (type: string, count: number) =>
  Array.from(
    { length: count },
    (_, n) => `${JSON.stringify({ event_type: type, properties: { n } })}\n`,
  ).join('')

/** Resolves once a running import has noted that it came some way. */
const underWay = () => eventually(async () => ((await statesLeft()) > 0 ? true : undefined))

test('an import that is interrupted exits with 130, and the same command goes on without doubling an event', async () => {
  await using folder = await openTemporaryFolder()
  const type = freshType('interrupted')
  const file = await folder.write('many.ndjson', manyLines(type, events))
  const words = ['events', 'import', file, ...inBatches]
  const stop = new AbortController()
  const running = server.pulse(words, { interrupt: stop.signal })
  await underWay()
  stop.abort()
  const first = await running
  assert.equal(first.exitCode, 130, first.stderr)
  assert.match(first.stderr, /The same command goes on where this one stopped\.\npulse: Interrupted\.\n$/)
  const second = await server.pulse([...words, '--json'])
  assert.equal(second.exitCode, 0, second.stderr)
  const { data } = JSON.parse(second.stdout) as {
    data: { accepted: number; duplicates: number; rejected: number; resumedAfter: number }
  }
  assert.ok(data.resumedAfter >= batchEvents && data.resumedAfter < events)
  assert.deepEqual([data.accepted + data.duplicates, data.rejected], [events, 0])
  const rows = await processedEvents(server.client, type, events)
  assert.equal(new Set(rows.map(({ properties }) => properties.n)).size, events)
  assert.equal(rows.length, events)
  assert.equal(await statesLeft(), 0)
})

test('an import lives through kill -9 of the server, and every event is there once', async () => {
  await using folder = await openTemporaryFolder()
  const type = freshType('crashed')
  const file = await folder.write('many.ndjson', manyLines(type, events))
  const running = server.pulse(['events', 'import', file, ...inBatches, '--in-flight', '3', '--json'])
  await underWay()
  await server.crashAndRestart()
  const { exitCode, stdout, stderr } = await running
  assert.equal(exitCode, 0, stderr)
  const { data } = JSON.parse(stdout) as { data: { accepted: number; duplicates: number; rejected: number } }
  assert.deepEqual([data.accepted + data.duplicates, data.rejected], [events, 0])
  const rows = await processedEvents(server.client, type, events)
  assert.equal(new Set(rows.map(({ properties }) => properties.n)).size, events)
  assert.equal(rows.length, events)
})

test('EF-25 refusals and lost connections count as failures of a load test', async () => {
  const rate = eventsPerSecond * 2
  const over = await server.pulse(['load', '--events', String(rate * 2), '--rate', String(rate), '--json'])
  assert.equal(over.exitCode, 8)
  const refused = JSON.parse(over.stdout) as {
    data: { failures: Record<string, number>; success_rate: number }
  }
  assert.deepEqual(Object.keys(refused.data.failures), ['429'])
  assert.ok(refused.data.success_rate > 0.3 && refused.data.success_rate < 0.8)

  const running = server.pulse(['load', '--events', '2000', '--rate', '500', '--json', '--timeout', '2'])
  const { received } = await server.client.metrics.summary()
  await eventually(async () =>
    (await server.client.metrics.summary()).received > received + 100 ? true : undefined,
  )
  await server.crashAndRestart()
  const lost = await running
  assert.equal(lost.exitCode, 8)
  const { data } = JSON.parse(lost.stdout) as {
    data: { sent: number; failed: number; failures: Record<string, number> }
  }
  assert.equal(data.sent, 2000)
  assert.ok((data.failures.ECONNREFUSED ?? 0) > 0, JSON.stringify(data.failures))
})

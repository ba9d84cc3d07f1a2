import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { request } from 'node:http'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Explanation, Filter, FilterTrialResult, OpenStreams } from '@pulse/client'
import type { Event } from '@pulse/protocol/event'
import { formatStreamPosition, parseStreamPosition } from '@pulse/protocol/stream-position'
import { kept, type Ran } from './run-pulse.ts'
import { eventually, processedEvents, startTestServer, type TestServer } from './server.ts'
import { openTemporaryFolder } from './temporary-folder.ts'

let server: TestServer
before(async () => {
  server = await startTestServer()
})
/** Ends what a test that failed has left: it would wait for the server for ever, and this file for it. */
const over = new AbortController()
after(async () => {
  over.abort()
  await server?.[Symbol.asyncDispose]()
})

const freshType = (name: string) => `${name}.${randomUUID().slice(0, 8)}`
const freshSubscriber = () => `user-${randomUUID().slice(0, 8)}`
const document = <Shape>(line: string) => JSON.parse(line) as Shape
const linesOf = (text: string) => text.split('\n').filter((line) => line !== '')

interface Tail {
  /** Lines that it has printed so far. */
  lines(): string[]
  /** Waits until it has printed that many. */
  until(lines: number): Promise<void>
  /** Ends it as Ctrl-C does, and gives what it said. */
  stop(): Promise<Ran>
}

/** Starts `pulse events tail` and waits until the server knows of its stream. */
async function startTail(words: readonly string[]): Promise<Tail> {
  const before = await openStreams()
  const ctrlC = new AbortController()
  let printed = ''
  const ran = server.pulse(['events', 'tail', ...words], {
    interrupt: AbortSignal.any([ctrlC.signal, over.signal]),
    onStdout: (text) => {
      printed = text
    },
  })
  const lines = () => linesOf(printed)
  await eventually(async () => {
    const open = await openStreams()
    return open.some(
      ({ session, state }) => state === 'live' && !before.some((one) => one.session === session),
    )
      ? true
      : undefined
  })
  return {
    lines,
    until: async (expected) => void (await eventually(async () => lines().length >= expected || undefined)),
    stop: () => {
      ctrlC.abort()
      return ran
    },
  }
}

const openStreams = async () => (await server.client.streams.list()).data

async function send(type: string, ...amounts: number[]): Promise<string[]> {
  const events = amounts.map((amount) => ({ event_type: type, user_id: 'u1', properties: { amount } }))
  const { results } = await server.client.events.publishBatch(events)
  return results.map(({ event_id }) => event_id ?? assert.fail('not accepted'))
}

test('tail shows what matches a filter, a line each, and ends with 0 and the way to go on', async () => {
  const type = freshType('tailed')
  const tail = await startTail(['--filter', `event_type = "${type}" and properties.amount > 10`])
  const [, large] = await send(type, 5, 42)
  await tail.until(1)
  const { exitCode, stdout, stderr } = await tail.stop()
  assert.equal(exitCode, 0)
  assert.match(stdout, new RegExp(`^\\S+ \\S+Z  ${type}  u1        ${large}  amount=42\\n$`))
  assert.match(
    stderr,
    /^Connected\. Ctrl-C ends\.\n1 event, no gap\.\nNext: add --from '\S+' to go on from here\n$/,
  )

  const from = /--from '(\S+)'/.exec(stderr)?.[1] ?? ''
  const [later] = await send(type, 43)
  const again = await server.pulse([
    'events',
    'tail',
    '--filter',
    `event_type = "${type}"`,
    '--from',
    from,
    '--limit',
    '1',
  ])
  assert.equal(again.exitCode, 0)
  assert.match(again.stdout, new RegExp(`^.*${later}  amount=43\\n$`))
})

test('tail --subscriber shows what the stored filters let through, and --since begins in the past', async () => {
  const [type, subscriber] = [freshType('since'), freshSubscriber()]
  assert.equal((await server.pulse(['filters', 'set', subscriber, `event_type = "${type}"`])).exitCode, 0)
  const [first, second] = await send(type, 1, 2)
  const { stdout } = await server.pulse([
    'events',
    'tail',
    '--subscriber',
    subscriber,
    '--since',
    '10m',
    '--limit',
    '2',
    '--json',
  ])
  const told = linesOf(stdout).map((line) =>
    document<{ schema: string; data: Event; matched: string[]; position: string }>(line),
  )
  assert.deepEqual(
    told.map(({ schema, data, matched }) => [schema, data.event_id, matched]),
    [
      ['pulse.events.tail.v1', first, ['default']],
      ['pulse.events.tail.v1', second, ['default']],
    ],
  )
  const from = told[0]?.position ?? ''
  const rest = await server.pulse([
    'events',
    'tail',
    '--subscriber',
    subscriber,
    '--from',
    from,
    '--limit',
    '1',
    '--json',
  ])
  assert.equal(document<{ data: Event }>(rest.stdout).data.event_id, second)
})

test('ES-26 tail outlives kill -9 of the server: what came meanwhile follows, each event once and in order', async () => {
  const type = freshType('survived')
  const tail = await startTail(['--filter', `event_type = "${type}"`, '--json'])
  await send(type, 1, 2)
  await tail.until(2)
  await server.crashAndRestart()
  await send(type, 3)
  await tail.until(3)
  await send(type, 4)
  await tail.until(4)
  const { exitCode, stdout, stderr } = await tail.stop()
  assert.deepEqual([exitCode, stderr], [0, ''])
  const amounts = linesOf(stdout).map((line) => document<{ data: Event }>(line).data.properties.amount)
  assert.deepEqual(amounts, [1, 2, 3, 4])
})

test('tail says loudly that events are missing, also under --json, and goes on', async () => {
  const type = freshType('gap')
  const now = await server.client.streams.positionAt(new Date().toISOString())
  const ofAnotherLog = (parseStreamPosition(now) ?? []).map((position) => ({ ...position, epoch: 1 }))
  const tail = await startTail([
    ...['--filter', `event_type = "${type}"`, '--json'],
    ...['--from', formatStreamPosition(ofAnotherLog)],
  ])
  await send(type, 1)
  await tail.until(2)
  const { exitCode, stdout, stderr } = await tail.stop()
  assert.equal(exitCode, 0)
  const [gap, event] = linesOf(stdout).map((line) =>
    document<{ schema: string; data: { reason?: string } }>(line),
  )
  assert.deepEqual(
    [gap?.schema, gap?.data.reason, event?.schema],
    ['pulse.events.gap.v1', 'epoch', 'pulse.events.tail.v1'],
  )
  assert.match(
    stderr,
    /^GAP: events are missing here and will not come \(the position is that of another log\), from \S+ to \S+\n$/,
  )
})

test('tail ends with 0 when nobody reads its output any more', async () => {
  const type = freshType('piped')
  await send(type, 1, 2, 3)
  const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))
  const child = spawn(
    process.execPath,
    [main, 'events', 'tail', '--filter', `event_type = "${type}"`, '--since', '10m', '--json'],
    { env: { ...kept, DATA: server.data }, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  await once(child.stdout, 'data')
  child.stdout.destroy()
  const gone = once(child, 'exit')
  const sending = new AbortController()
  const keepSending = async () => {
    while (!sending.signal.aborted) {
      await send(type, 4)
      await pause(50)
    }
  }
  const [[code, signal]] = await Promise.all([gone.finally(() => sending.abort()), keepSending()])
  assert.deepEqual([code, signal], [0, null])
})

test('tail fails at once, with the code that says why, on a wrong filter, subscriber or position', async () => {
  const wrong: [words: string[], exitCode: number, line: RegExp][] = [
    [['--filter', 'properties.amount >'], 2, /expected .*character/i],
    [['--subscriber', freshSubscriber()], 5, /no filter.* Next: pulse filters set SUBSCRIBER EXPRESSION$/m],
    [['--from', 'yesterday'], 2, /position is damaged: yesterday/],
    [['--filter', 'everything', '--subscriber', 'a'], 2, /do not go together/],
    [['--from', 'start', '--since', '1h'], 2, /do not go together/],
    [['--data', '/nowhere', '--url', server.url], 4, /Next: pulse login/],
  ]
  for (const [words, exitCode, line] of wrong) {
    const ran = await server.pulse(['events', 'tail', ...words])
    assert.deepEqual([ran.exitCode, ran.stdout], [exitCode, ''], words.join(' '))
    assert.match(ran.stderr, line)
    assert.equal(linesOf(ran.stderr).length, 1)
  }
})

test('tail is refused at once to a key that may not read the stream, and not to one that may', async () => {
  const subscriber = freshSubscriber()
  const key = await server.client.keys.create({
    name: 'one',
    scopes: ['stream:read'],
    subscribers: subscriber,
  })
  const tail = (...words: string[]) =>
    server.pulse(['events', 'tail', ...words, '--since', '10m', '--limit', '1', '--key', key.key])
  const refusals: [words: string[], line: RegExp][] = [
    [['--filter', 'everything'], /only read the streams of some subscribers\. Next: add --subscriber/],
    [['--subscriber', freshSubscriber()], /may not read the stream of .* Next: pulse keys create/],
  ]
  for (const [words, line] of refusals) {
    const refused = await tail(...words)
    assert.deepEqual([refused.exitCode, refused.stdout], [4, ''])
    assert.match(refused.stderr, line)
  }
  const type = freshType('own')
  await server.client.filters.create({ subscriber_id: subscriber, expression: `event_type = "${type}"` })
  await send(type, 1)
  assert.equal((await tail('--subscriber', subscriber)).exitCode, 0)
})

test('tail --since begins at an instant and not before', async () => {
  const type = freshType('instant')
  await send(type, 1)
  // Rounded up: an instant has no microseconds here, and the first event must lie before it.
  const between = new Date(Date.now() + 1).toISOString()
  const [later] = await send(type, 2)
  const words = ['events', 'tail', '--filter', `event_type = "${type}"`, '--since', between, '--limit', '1']
  assert.match((await server.pulse(words)).stdout, new RegExp(`${later}  amount=2\\n$`))
})

test('a filter is set in three ways, shown in all of them, listed, changed and deleted', async () => {
  const subscriber = freshSubscriber()
  await using folder = await openTemporaryFolder()
  const file = await folder.write(
    'pattern.json',
    '{"event_type":["purchase"],"properties":{"amount":[{"numeric":[">",5]}]}}',
  )
  const set = (...words: string[]) => server.pulse(['filters', 'set', subscriber, ...words])
  const first = await set('event_type = "purchase" and properties.amount > 5')
  assert.equal(
    first.stdout,
    `Stored default of ${subscriber}, version 1: event_type = "purchase" and properties.amount > 5\n`,
  )
  assert.equal(first.stderr, `Next: pulse events tail --subscriber ${subscriber}\n`)
  assert.match(
    (await set('--pattern', file)).stdout,
    /version 2: event_type = "purchase" and properties.amount > 5\n$/,
  )
  assert.match((await set('--name', 'inline', '--pattern', '{"user_id":["u1"]}')).stdout, /user_id = "u1"\n$/)
  const simple = await set(
    '--name',
    'simple',
    '--types',
    'purchase,refund',
    '--tiers',
    'premium',
    '--min-amount',
    '100',
    '--json',
  )
  const { data } = document<{ data: Filter }>(simple.stdout)
  assert.deepEqual(
    [data.event_types, data.user_tiers, data.min_amount],
    [['purchase', 'refund'], ['premium'], 100],
  )

  const shown = await server.pulse(['filters', 'get', subscriber, 'simple'])
  assert.match(
    shown.stdout,
    /expression .*\n {2}pattern {5}\{.*\n {2}simple {6}types purchase,refund; tiers premium; amount from 100\n/,
  )
  const listed = await server.pulse(['filters', 'list', '--subscriber', subscriber, '--json'])
  const names = document<{ data: Filter[] }>(listed.stdout).data.map(({ name, version }) => [name, version])
  assert.deepEqual(names, [
    ['default', 2],
    ['inline', 1],
    ['simple', 1],
  ])

  const remove = () => server.pulse(['filters', 'delete', subscriber, 'simple', '--yes'])
  assert.equal((await remove()).stdout, `Deleted simple of ${subscriber}.\n`)
  assert.equal((await remove()).exitCode, 5)
  assert.equal((await server.pulse(['filters', 'get', subscriber, 'simple'])).exitCode, 5)
})

test('a filter that cannot be read is a wrong command line, with the place', async () => {
  const { exitCode, stderr } = await server.pulse(['filters', 'set', freshSubscriber(), 'event_type = '])
  assert.equal(exitCode, 2)
  assert.match(stderr, /^pulse: [^(]*expected a text[^(]* \(at character 14\)\. \[request \S+\]\n$/)
})

test('filters test shows what would have matched, what it costs, and whether it would be stored', async () => {
  const type = freshType('tried')
  await send(type, 1, 20)
  await send(type, 30)
  await processedEvents(server.client, type, 3)
  const words = ['filters', 'test', `event_type = "${type}" and properties.amount >= 20`]
  const { exitCode, stdout } = await server.pulse([...words, '--among', type, '--limit', '1'])
  assert.equal(exitCode, 0)
  assert.match(stdout, new RegExp(`^.*${type} .*amount=30\\n {2}filter `))
  assert.match(stdout, /matched {5}2 of [\d,]+ events, .* an hour/)
  assert.match(
    stdout,
    /cost {8}1 alternative\. Found by event_type\.|cost {8}1 alternative\. Found by properties\.amount/,
  )
  assert.match(stdout, /storing it {2}would be allowed/)
  const json = await server.pulse([...words, '--json'])
  const { data } = document<{ data: FilterTrialResult }>(json.stdout)
  assert.deepEqual([data.matched, data.refused], [2, null])
})

test('explain says why a subscriber got an event, and why another did not', async () => {
  const [type, wants, late] = [freshType('explained'), freshSubscriber(), freshSubscriber()]
  await server.pulse(['filters', 'set', wants, `event_type = "${type}" and properties.amount > 10`])
  const tail = await startTail(['--subscriber', wants])
  const [small = '', large = ''] = await send(type, 5, 50)
  await tail.until(1)
  await server.pulse(['filters', 'set', late, `event_type = "${type}"`])
  await processedEvents(server.client, type, 2)
  const explain = async (event: string, subscriber: string) => {
    const words = await server.pulse(['explain', event, '--subscriber', subscriber])
    const json = await server.pulse(['explain', event, '--subscriber', subscriber, '--json'])
    assert.deepEqual([words.exitCode, json.exitCode], [0, 0])
    return { words: words.stdout, verdict: document<{ data: Explanation }>(json.stdout).data.verdict }
  }
  const got = await explain(large, wants)
  assert.equal(got.verdict, 'matches')
  assert.match(got.words, /^It matches default[^\n]*\n\nFILTER .*\ndefault {2}1 {8}yes +yes +–\n/)
  const missed = await explain(small, wants)
  assert.equal(missed.verdict, 'does_not_match')
  assert.match(missed.words, /properties\.amount > 10: found 5/)
  assert.match(got.words, /stream {5}\S+ \(websocket, live\) has sent it\n$/)
  assert.match(missed.words, /stream {5}\S+ \(websocket, live\) has no filter that lets it through\n$/)
  await tail.stop()
  assert.equal((await explain(large, late)).verdict, 'filter_stored_later')
  assert.equal((await explain(large, freshSubscriber())).verdict, 'no_filter')
  assert.equal((await server.pulse(['explain', randomUUID(), '--subscriber', wants])).exitCode, 5)
})

test('streams shows who listens and on which server, once or until Ctrl-C', async () => {
  const { pid } = document<{ pid: number }>(await readFile(join(server.data, 'server.json'), 'utf8'))
  const name = `${hostname()}:${pid}`
  const subscriber = freshSubscriber()
  await server.pulse(['filters', 'set', subscriber, 'event_type = "nothing.of.the.kind"'])
  const tail = await startTail(['--subscriber', subscriber])
  const shown = await server.pulse(['streams', '--subscriber', subscriber])
  assert.match(shown.stdout, new RegExp(`^SUBSCRIBER .*\\n${subscriber}  websocket  live .* default\\n$`))
  assert.equal(shown.stderr, `These are open on ${name}.\n`)
  const watched = await server.pulse(
    ['streams', '--subscriber', subscriber, '--watch', '--interval', '0.1', '--json'],
    {
      onStdout: (text, stop) => {
        if (linesOf(text).length >= 2) stop('SIGINT')
      },
    },
  )
  assert.equal(watched.exitCode, 0)
  for (const line of linesOf(watched.stdout)) {
    const { schema, data, ...page } = document<{ schema: string } & OpenStreams>(line)
    assert.deepEqual([schema, data.length, data[0]?.subscriber], ['pulse.streams.v1', 1, subscriber])
    assert.deepEqual(page, { server: name, cursor: null, has_more: false })
  }
  await tail.stop()
  const nobody = await server.pulse(['streams', '--subscriber', subscriber])
  const stderr = `Nobody listens on ${name}. Next: pulse events tail\n`
  assert.deepEqual(nobody, { exitCode: 0, stdout: '', stderr })
})

test('streams tells of one that does not read how far it is behind, in events and in the age of the oldest', async () => {
  const [type, subscriber] = [freshType('unread'), freshSubscriber()]
  await server.client.filters.create({ subscriber_id: subscriber, expression: `event_type = "${type}"` })
  const headers = { authorization: `Bearer ${server.key}` }
  // Its answer has no listener, so it is left in the buffers of the network until those are full.
  const reader = request(`${server.url}/stream?subscriber=${subscriber}`, { headers }).end()
  await once(reader, 'response')
  const large = { event_type: type, user_id: 'u1', properties: { text: 'x'.repeat(60_000) } }
  const look = async () => (await server.client.streams.list({ subscriber })).data[0]
  await eventually(async () => {
    await server.client.events.publishBatch(Array.from({ length: 20 }, () => large))
    return (await look())?.state === 'lagging' || undefined
  })
  await eventually(async () => ((await look())?.behind_seconds ?? 0) >= 1 || undefined)
  const { stdout } = await server.pulse(['streams', '--subscriber', subscriber])
  assert.match(stdout, /^SUBSCRIBER +OVER {2}STATE +BEHIND {2}AGE +DELIVERED /)
  assert.match(stdout, new RegExp(`\\n${subscriber}  sse   lagging  [1-9]\\d* +[1-9]\\d* s +`))
  reader.destroy()
})

test('import --replay sends events at the distances of their own timestamps, in the time asked for', async () => {
  await using folder = await openTemporaryFolder()
  const type = freshType('replayed')
  const hours = ['00:00:00', '01:00:00', '01:00:00', '04:00:00']
  const file = await folder.write(
    'hours.csv',
    `at,n\n${hours.map((at, n) => `2001-01-01T${at}Z,${n}\n`).join('')}`,
  )
  const words = ['events', 'import', file, '--type', type, '--map', 'timestamp=at']
  const begin = Date.now()
  const first = await server.pulse([...words, '--replay', '--over', '2s'])
  assert.deepEqual([first.exitCode, first.stderr], [0, ''])
  assert.match(first.stdout, /^4 added, 0 were there already, 0 rejected in \d+ s\.\n$/)
  const rows = await processedEvents(server.client, type, 4)
  rows.sort((a, b) => Number(a.properties.n) - Number(b.properties.n))
  assert.deepEqual(
    rows.map(({ timestamp }) => timestamp.slice(11, 19)),
    hours,
  )
  // A machine may be as slow as it likes; that none is late beyond that is for the tests of the pace itself.
  const received = rows.map(({ received_at }) => Date.parse(received_at) - begin)
  for (const [n, due] of [0, 500, 500, 2_000].entries())
    assert.ok((received[n] ?? 0) >= due, `event ${n} came after ${received[n]} ms, and was due after ${due}`)
  assert.match((await server.pulse(words)).stdout, /^0 added, 4 were there already/)
  assert.match((await server.pulse([...words, '--again', 'monday'])).stdout, /^4 added, 0 were there already/)
  assert.match((await server.pulse([...words, '--again', 'monday'])).stdout, /^0 added, 4 were there already/)
})

test('a replay of records without times is refused before anything is sent', async () => {
  const input = `${JSON.stringify({ event_type: freshType('timeless') })}\n`
  const { exitCode, stdout, stderr } = await server.pulse(['events', 'import', '-', '--replay'], { input })
  assert.deepEqual([exitCode, stdout], [2, ''])
  assert.match(stderr, /the records have no different times\. Next: --map timestamp=COLUMN\n$/)
})

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import type { Received } from '../src/load/receivers.ts'
import { eventually, startTestServer, type TestServer } from './server.ts'

// `pulse load --sockets`: what subscribers get of a load test, and that nothing of it stays.

let server: TestServer
before(async () => {
  server = await startTestServer()
})
after(() => server?.[Symbol.asyncDispose]())

const freshPrefix = () => `user-${randomUUID().slice(0, 8)}-`
const document = <Shape>(line: string) => JSON.parse(line) as Shape

/** Waits until a load test delivers to this subscriber, so that all of its filters are stored. */
const delivering = (subscriber: string) =>
  eventually(async () => {
    const open = await server.client.streams.list({ subscriber })
    return open.data.some(({ delivered }) => delivered > 0) || undefined
  })

/** Who has a filter, of the subscribers of one test. */
async function withFilter(prefix: string): Promise<string[]> {
  const { data } = await server.client.filters.list({ limit: 1_000 })
  return data.map((one) => one.subscriber_id).filter((name) => name.startsWith(prefix))
}

test('ES-34 load --sockets stores the filters of load_test_user_0 to N-1, opens a socket for each, every event reaches all, and the filters go', async () => {
  // It runs for five seconds: the filter has to be looked at before they are over.
  const words = ['load', '--sockets', '20', '--events', '1000', '--rate', '200', '--json']
  const running = server.pulse(words)
  await delivering('load_test_user_19')
  const filter = await server.client.filters.get('load_test_user_19')
  assert.deepEqual(
    [filter.event_types, filter.user_tiers, filter.min_amount, filter.version],
    [['purchase'], ['premium'], 100, 1],
  )
  const { exitCode, stdout, stderr } = await running
  assert.equal(exitCode, 0, stderr)
  const { data } = document<{ data: { succeeded: number; delivery: Received } }>(stdout)
  const { sockets, received, missing, repeated, gaps, latency_ms, seconds } = data.delivery
  const counts = [data.succeeded, sockets, received, missing, repeated, gaps]
  assert.deepEqual(counts, [1_000, 20, 20_000, 0, 0, 0])
  assert.equal(data.delivery.received_per_second, received / seconds)
  const { p50, p95, p99 } = latency_ms ?? assert.fail('no latency')
  assert.ok(0 < p50 && p50 <= p95 && p95 <= p99)
  assert.deepEqual(await withFilter('load_test_user_'), [])
})

test('filters that were there before a load test are there behind it, as they were', async () => {
  const prefix = freshPrefix()
  const right = { event_types: ['purchase'], user_tiers: ['premium'], min_amount: 100 }
  const other = { expression: 'user_id = "ann" and properties.amount < 5' }
  await server.client.filters.create({ subscriber_id: `${prefix}0`, ...right })
  await server.client.filters.create({ subscriber_id: `${prefix}1`, ...other })
  const { exitCode, stdout } = await server.pulse([
    ...['load', '--sockets', '3', '--subscribers', prefix, '--events', '20', '--rate', '100'],
  ])
  assert.equal(exitCode, 0)
  assert.match(
    stdout,
    /delivered {5}60 to 3 sockets, .*\n {16}0 missing, 0 twice, 0 gaps\n {2}delivery {6}p50 /,
  )
  assert.deepEqual(await withFilter(prefix), [`${prefix}0`, `${prefix}1`])
  assert.equal((await server.client.filters.get(`${prefix}0`)).version, 1, 'one that is right is left alone')
  assert.equal((await server.client.filters.get(`${prefix}1`)).expression, other.expression)
})

test('a load test that is interrupted, or fails, takes its filters with it', async () => {
  const prefix = freshPrefix()
  const words = ['load', '--sockets', '40', '--subscribers', prefix, '--events', '100000', '--rate', '100']
  const ctrlC = new AbortController()
  const running = server.pulse(words, { interrupt: ctrlC.signal })
  await delivering(`${prefix}39`)
  ctrlC.abort()
  const { exitCode, stderr } = await running
  assert.equal(exitCode, 130, stderr)
  assert.match(stderr, /^Removing 40 filters; a second Ctrl-C leaves them\.$/m)
  assert.deepEqual(await withFilter(prefix), [])

  // A name that nobody may have: filters of those before it are stored by then.
  const long = `${prefix}${'x'.repeat(99 - prefix.length)}`
  const failed = await server.pulse(['load', '--sockets', '40', '--subscribers', long])
  assert.equal(failed.exitCode, 2, failed.stderr)
  assert.deepEqual(await withFilter(prefix), [])
})

test('a load test that may not remove its filters any more says what is left', async () => {
  const prefix = freshPrefix()
  const scopes = ['events:write', 'filters:write', 'events:read', 'stream:read'] as const
  const made = await server.client.keys.create({ name: 'load', scopes })
  const words = ['load', '--sockets', '3', '--subscribers', prefix, '--timeout', '1']
  // Five seconds, within which the key is revoked.
  const running = server.pulse([...words, '--events', '1000', '--rate', '200'], {
    env: { PULSE_KEY: made.key },
  })
  await delivering(`${prefix}2`)
  await server.client.keys.revoke(made.id)
  const { exitCode, stderr } = await running
  assert.equal(exitCode, 8, stderr)
  assert.match(
    stderr,
    new RegExp(`^3 filters of this test could not be removed: .* Next: .*filters delete ${prefix}`, 'm'),
  )
  assert.equal((await withFilter(prefix)).length, 3)
})

test('ES-34 an event that does not reach a socket is told as missing', async () => {
  const prefix = freshPrefix()
  // Five seconds, within which the filter is changed.
  const running = server.pulse([
    ...['load', '--sockets', '3', '--subscribers', prefix, '--events', '1000', '--rate', '200'],
    ...['--timeout', '1', '--json'],
  ])
  const last = `${prefix}2`
  await delivering(last)
  await server.client.filters.update(last, 'default', { event_types: [] })
  const { exitCode, stdout, stderr } = await running
  assert.equal(exitCode, 8, stderr)
  const { delivery } = document<{ data: { delivery: Received } }>(stdout).data
  assert.ok(delivery.missing > 0 && delivery.missing === 3_000 - delivery.received)
})

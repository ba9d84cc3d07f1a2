import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { Writable } from 'node:stream'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { Registry } from 'prom-client'
import type { Caller } from '../http/access.ts'
import { createHttp } from '../http/http.ts'
import { healthSchema, historySchema, summarySchema } from './answers.ts'
import type { Backlog } from './backlog.ts'
import { createLogger } from './logger.ts'
import { createObservations } from './observations.ts'
import { type OperationsNeeds, openOperations } from './operations.ts'
import { operationsRoutes } from './operations-routes.ts'

/** Waits until the condition holds. */
async function until(what: string, holds: () => boolean | Promise<boolean>, msMax = 20_000): Promise<void> {
  const deadline = performance.now() + msMax
  while (!(await holds())) {
    assert.ok(performance.now() < deadline, `${what}: not within ${msMax} ms`)
    await pause(20)
  }
}

/** A service that accepts connections, can be stopped, and can be made to hang. */
async function openService() {
  const server = createServer((socket) => socket.on('error', () => undefined).end('ok'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  /** `hanging`: so many were asked and have not been answered. */
  const state = { hangs: false, asked: 0, hanging: 0 }
  const probe = async (signal: AbortSignal) => {
    state.asked++
    if (state.hangs) {
      state.hanging++
      await once(signal, 'abort')
      state.hanging--
      signal.throwIfAborted()
    }
    const socket = connect(port, '127.0.0.1').on('error', () => undefined)
    await once(socket, 'data', { signal }).finally(() => socket.destroy())
  }
  const stop = () => new Promise<void>((resolve) => server.close(() => resolve()))
  return { probe, state, stop, start: () => server.listen(port, '127.0.0.1') }
}

const everything: Caller = {
  kind: 'open',
  id: 'open',
  name: 'open',
  scopes: new Set(['read:stats', 'admin']),
}

/** The operations of a server with two real services, behind its real HTTP layer. */
async function openWorld(more: Partial<OperationsNeeds> = {}) {
  const lines: string[] = []
  const to = new Writable({ write: (chunk, _encoding, done) => done(void lines.push(String(chunk))) })
  const log = createLogger({ level: 'info', to })
  const metrics = new Registry()
  const observed = createObservations()
  const services = { database: await openService(), log: await openService(), cache: await openService() }
  const failing: string[] = []
  const operations = await openOperations({
    probes: { database: services.database.probe, log: services.log.probe, cache: services.cache.probe },
    backlog: async () => ({ events: 42, seconds: 1.5, parked: 3 }),
    isReady: () => failing,
    observed,
    dataDir: tmpdir(),
    version: '1.2.3',
    startedAt: new Date(),
    metrics,
    log,
    ...more,
  })
  const http = await createHttp({
    settings: { trustedProxies: [], corsOrigins: [], bodyBytesMax: 1_000 },
    gatekeeper: { authenticate: () => everything, carriesCredential: () => true, limit: () => undefined },
    log,
    metrics,
    version: '1.2.3',
  })
  operationsRoutes(http, { operations, version: '1.2.3' })
  await http.ready()
  return {
    operations,
    observed,
    services,
    failing,
    http,
    lines,
    async [Symbol.asyncDispose]() {
      await http.close()
      await operations[Symbol.asyncDispose]()
      await Promise.all(Object.values(services).map((service) => service.stop()))
    },
  }
}

test('how long a service took for its answer is known while it is up', async () => {
  await using world = await openWorld()
  const { operations, services } = world
  assert.ok((operations.answerMs('database') ?? -1) > 0)
  assert.equal(operations.answerMs('nothing of this name'), undefined)
  await services.database.stop()
  await until('database down', () => operations.answerMs('database') === undefined)
})

test('EF-03 /health is 200 with everything up, 503 with the database or the log down, and mends itself', async () => {
  await using world = await openWorld()
  const health = async () => {
    const answer = await world.http.inject('/health')
    return { code: answer.statusCode, ...healthSchema.parse(answer.json()) }
  }
  const first = await health()
  assert.deepEqual([first.code, first.status, first.database, first.version], [200, 'healthy', true, '1.2.3'])
  for (const name of ['database', 'log'] as const) {
    await world.services[name].stop()
    await until(`${name} down`, async () => (await health()).code === 503)
    const ill = await health()
    assert.deepEqual(
      [ill.status, ill.services[name], ill.database],
      ['unhealthy', 'down', name !== 'database'],
    )
    assert.equal((await world.http.inject('/readyz')).statusCode, 503)
    assert.deepEqual((await world.http.inject('/readyz')).json().failing, [name])
    assert.equal((await world.http.inject('/livez')).statusCode, 200)
    world.services[name].start()
    await until(`${name} up`, async () => (await health()).status === 'healthy')
  }
  assert.equal(world.lines.filter((line) => line.includes('service is down')).length, 2)
  assert.equal(world.lines.filter((line) => line.includes('service is up again')).length, 2)
})

test('a service that events do not need makes the server degraded, still 200 and ready', async () => {
  await using world = await openWorld()
  await world.services.cache.stop()
  await until('degraded', async () => (await world.http.inject('/health')).json().status === 'degraded')
  assert.equal((await world.http.inject('/health')).statusCode, 200)
  assert.equal((await world.http.inject('/readyz')).statusCode, 200)
})

test('a service that hangs is down two seconds after its last answer, and no request waits for it', async () => {
  await using world = await openWorld()
  const { state } = world.services.database
  state.hangs = true
  await until('asked in vain', () => state.hanging > 0)
  const began = performance.now()
  await until('down', async () => {
    const answer = await world.http.inject('/health')
    // Whoever had waited for its answer would have come behind it.
    assert.equal(state.hanging, 1)
    return answer.statusCode === 503
  })
  // Long before it is given up and asked once more.
  assert.ok(performance.now() - began < 8_000)
})

test('requests for health do not reach the services', async () => {
  await using world = await openWorld()
  const before = world.services.database.state.asked
  for (let count = 0; count < 200; count++) await world.http.inject('/health')
  // In the background it is asked once a second.
  assert.ok(world.services.database.state.asked - before < 50)
})

test('a server that starts or drains is not ready and says why', async () => {
  await using world = await openWorld()
  world.failing.push('draining')
  const ready = await world.http.inject('/readyz')
  assert.deepEqual([ready.statusCode, ready.json()], [503, { status: 'not_ready', failing: ['draining'] }])
  assert.deepEqual(
    [(await world.http.inject('/health')).statusCode, (await world.http.inject('/health')).json().status],
    [200, 'degraded'],
  )
})

test('EF-19 /metrics covers throughput, latency, errors and queue depth, in text that parses and balances', async () => {
  await using world = await openWorld()
  const { observed } = world
  observed.received('purchase', 90)
  observed.received('odd "type"\n\\', 10)
  observed.duplicate('purchase', 4)
  observed.rejected('invalid_event', 2)
  observed.acknowledged(4, 100)
  observed.acknowledged(40_000, 1)
  observed.committed(100, 3)
  observed.processed('purchase', 89, 12)
  observed.failed('purchase', 'ValidationError', 1)
  observed.handled('purchase', 90, 2)
  const answer = await world.http.inject('/metrics')
  assert.equal(answer.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8')
  const found = parseExposition(answer.body)
  assert.equal(found.get('pulse_events_received_total{event_type="purchase"}'), 90)
  assert.equal(found.get('pulse_events_received_total{event_type="odd \\"type\\"\\n\\\\"}'), 10)
  assert.equal(found.get('pulse_events_failed_total{event_type="purchase",error_type="ValidationError"}'), 1)
  assert.equal(found.get('pulse_events_rejected_total{reason="invalid_event"}'), 2)
  assert.equal(found.get('pulse_events_duplicate_total{event_type="purchase"}'), 4)
  assert.equal(found.get('pulse_ack_seconds_bucket{le="0.005"}'), 100)
  assert.equal(found.get('pulse_ack_seconds_bucket{le="30"}'), 100)
  assert.equal(found.get('pulse_ack_seconds_bucket{le="60"}'), 101)
  assert.equal(found.get('pulse_ack_seconds_count'), 101)
  assert.equal(found.get('pulse_processing_seconds_count{event_type="purchase"}'), 89)
  assert.equal(found.get('pulse_log_commit_events_sum'), 100)
  assert.equal(found.get('pulse_backlog_events'), 42)
  assert.equal(found.get('pulse_backlog_seconds'), 1.5)
  assert.equal(found.get('pulse_parked_events'), 3)
  assert.equal(found.get('pulse_service_up{service="database"}'), 1)
  const ratio = found.get('pulse_disk_used_ratio') ?? -1
  assert.ok(ratio > 0 && ratio < 1)
  // Twice the same facts, twice the same numbers: a scrape changes nothing.
  const again = parseExposition((await world.http.inject('/metrics')).body)
  assert.equal(again.get('pulse_events_received_total{event_type="purchase"}'), 90)
})

test('a backlog that cannot be measured is absent, not zero', async () => {
  const state: { backlog: Backlog | undefined } = { backlog: undefined }
  const backlog = async () => {
    if (state.backlog) return state.backlog
    throw new Error('no database')
  }
  await using world = await openWorld({ backlog })
  assert.ok(!(await world.operations.scrape()).text.includes('\npulse_backlog_events '))
  assert.equal(world.operations.summary().queue_length, null)
  state.backlog = { events: 5, seconds: 0.25, parked: 0 }
  await until('measured', () => world.operations.summary().queue_length === 5)
  assert.ok((await world.operations.scrape()).text.includes('\npulse_backlog_events 5\n'))
  assert.equal(world.lines.filter((line) => line.includes('backlog cannot be measured')).length, 1)
})

test('the summary and the history show what was counted, second by second', async () => {
  await using world = await openWorld()
  world.observed.received('a', 30)
  world.observed.acknowledged(8, 30)
  world.observed.processed('a', 30, 16)
  const history = () =>
    historySchema.parse(
      JSON.parse(JSON.stringify({ interval_seconds: 1, series: world.operations.history(600) })),
    )
  await until('a second', () => history().series.received_per_second.some((rate) => rate === 30))
  const answer = await world.http.inject('/metrics/history?seconds=60')
  const { series } = historySchema.parse(answer.json())
  assert.equal(series.at.length, series.memory_bytes.length)
  const second = series.received_per_second.indexOf(30)
  assert.equal(series.backlog_events[second], 42)
  assert.ok(Math.abs((series.ack_p95_ms[second] ?? 0) - 8) < 0.1)
  const summary = summarySchema.parse((await world.http.inject('/metrics/summary')).json())
  assert.deepEqual(
    [summary.received, summary.processed, summary.queue_length, summary.pending_messages],
    [30, 30, 42, 3],
  )
  assert.ok(Math.abs((summary.processing_ms.p99 ?? 0) - 16) < 0.2)
  assert.ok(summary.rates.received_per_second > 0 && summary.memory_bytes > 1e6)
  for (const bad of ['0', '901', 'x', '1.5']) {
    assert.equal((await world.http.inject(`/metrics/history?seconds=${bad}`)).statusCode, 400, bad)
  }
})

test('the front page sends a browser to the dashboard and tells everybody else what this is', async () => {
  await using world = await openWorld()
  const browser = await world.http.inject({ url: '/', headers: { accept: 'text/html,*/*;q=0.8' } })
  assert.deepEqual(
    [browser.statusCode, browser.headers.location, browser.headers.vary],
    [302, '/ui/', 'Accept'],
  )
  const tool = await world.http.inject({ url: '/', headers: { accept: '*/*' } })
  assert.equal(tool.headers.vary, 'Accept')
  assert.deepEqual(tool.json(), { service: 'Pulse', version: '1.2.3', status: 'healthy', docs: '/docs' })
})

/** The text format 0.0.4 as its specification has it: every line is a comment, empty, or a sample of a known family. */
function parseExposition(text: string): ReadonlyMap<string, number> {
  const found = new Map<string, number>()
  const families = new Map<string, string>()
  assert.ok(text.endsWith('\n'))
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const type = /^# TYPE ([a-z_\d]+) (counter|gauge|histogram)$/.exec(line)
    if (type?.[1] && type[2]) families.set(type[1], type[2])
    if (line.startsWith('#')) continue
    const sample =
      /^([a-z_\d]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*\})? (-?[\d.e+-]+|NaN|[+-]Inf)$/.exec(line)
    assert.ok(sample?.[1], `not a sample: ${line}`)
    const family = sample[1].replace(/_(bucket|sum|count)$/, '')
    assert.ok(families.has(sample[1]) || families.get(family) === 'histogram', `no TYPE for ${line}`)
    const series = `${sample[1]}${sample[2] ?? ''}`
    assert.ok(!found.has(series), `twice: ${series}`)
    found.set(series, Number(sample[3]))
  }
  return found
}

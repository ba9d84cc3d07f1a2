import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { eventually } from '@pulse/dev/services/eventually'
import { Registry } from 'prom-client'
import { asWriter, openHttpWorld } from '../http/http-world.ts'
import { type HistorySeries, historyColumns } from './history.ts'
import { eventsOf, type Measured } from './measurement.ts'
import { createMeasuring, measurementRoutes } from './measurement-routes.ts'
import { MeasurementRing, measurementLimits, openMeasurementStream } from './measurement-stream.ts'

const waitMsMax = 20_000

const aMeasurement = (more: Partial<Measured> = {}): Measured => ({
  ...{ at: new Date(), receivedPerSecond: 1_234, processedPerSecond: 617, backlogEvents: 1_234 },
  ...{ requestsPerSecond: 40, refusedPerSecond: 4, failedPerSecond: 2, streams: 3, viewers: 1 },
  ...{ namesCheckedPerSecond: 70, namesClaimedPerSecond: 0.26 },
  ...{ busyRatio: 0.123, eventLoopP99Ms: 3.26, memoryBytes: 148_600_000, databaseMs: 0.41 },
  ...more,
})

/** A server that measures only when it is told to, and has done so once. */
async function openWorld(viewersMax: number = measurementLimits.viewersMax) {
  const measure = (viewers: number) => aMeasurement({ viewers })
  const measurements = new MeasurementRing({ measure, viewersMax })
  measurements.take()
  const world = await openHttpWorld({
    routes: (http) => {
      measurementRoutes(http, measurements)
      http.get('/stream', {
        exposeHeadRoute: false,
        config: { access: 'events:write' },
        handler: async () => ({ stream: 'of a subscriber' }),
      })
    },
  })
  return {
    ...{ measurements, world },
    [Symbol.asyncDispose]: async () => {
      await measurements[Symbol.asyncDispose]()
      await world[Symbol.asyncDispose]()
    },
  }
}

/** A viewer over a plain connection, with everything that it was sent. */
async function openViewer(port: number, lastEventId?: string) {
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  let text = ''
  socket.setEncoding('utf8').on('data', (part) => {
    text += part
  })
  const last = lastEventId === undefined ? '' : `Last-Event-ID: ${lastEventId}\r\n`
  socket.write(`GET /stream HTTP/1.1\r\nHost: x\r\n${last}\r\n`)
  const wholeIds = () => [...text.matchAll(/^id: (\w+-\d+)$/gm)].map(([, id = '']) => id)
  const ids = () => wholeIds().map((id) => Number(id.split('-')[1]))
  const until = (what: string, holds: () => boolean) =>
    eventually(what, async () => (holds() ? true : undefined), waitMsMax)
  return {
    ...{ socket, ids, wholeIds, until, text: () => text },
    events: (count: number) => until(`${count} events`, () => ids().length >= count),
    [Symbol.dispose]: () => void socket.destroy(),
  }
}

test('BF-17 the stream of measurements needs no credential, stays open and says when to come back', async () => {
  await using opened = await openWorld()
  using viewer = await openViewer(opened.world.port)
  await viewer.events(4)
  assert.match(viewer.text(), /^HTTP\/1\.1 200 OK\r\n/)
  assert.match(viewer.text(), /^content-type: text\/event-stream; charset=utf-8\r$/m)
  assert.match(viewer.text(), /^cache-control: no-store\r$/m)
  assert.match(viewer.text(), /^retry: \d+$/m)
  opened.measurements.take()
  await viewer.events(8)
  assert.equal(viewer.socket.closed, false)
})

test('BF-18 one measurement is taken for all, and everyone gets it under the same growing ids', async () => {
  await using opened = await openWorld()
  using one = await openViewer(opened.world.port)
  using other = await openViewer(opened.world.port)
  await one.events(4)
  await other.events(4)
  for (let round = 0; round < 3; round++) opened.measurements.take()
  await one.events(16)
  await other.events(16)
  assert.deepEqual(one.wholeIds(), other.wholeIds())
  assert.ok(one.ids().every((id, at, all) => at === 0 || id > (all[at - 1] ?? 0)))
  assert.equal(opened.measurements.viewers, 2)
})

test('BF-18 the clock measures by itself, and how many watch is a metric', async () => {
  const metrics = new Registry()
  await using measurements = openMeasurementStream({ metrics, measure: () => aMeasurement() })
  await using world = await openHttpWorld({ routes: (http) => measurementRoutes(http, measurements) })
  using viewer = await openViewer(world.port)
  await viewer.events(12)
  assert.match(await metrics.metrics(), /pulse_measurement_viewers 1/)
})

describe('a viewer that comes back', () => {
  test('gets what came after its last event, each once', async () => {
    await using opened = await openWorld()
    using first = await openViewer(opened.world.port)
    await first.events(4)
    opened.measurements.take()
    await first.events(8)
    const seen = first.wholeIds()[5]
    opened.measurements.take()
    using second = await openViewer(opened.world.port, seen)
    opened.measurements.take()
    await first.events(16)
    await second.events(10)
    assert.deepEqual(second.wholeIds(), first.wholeIds().slice(6))
  })

  test('after more than five minutes gets these five, and with an id that is none of ours the newest', async () => {
    await using opened = await openWorld()
    using first = await openViewer(opened.world.port)
    await first.events(4)
    const [run] = (first.wholeIds()[0] ?? '').split('-')
    for (let round = 0; round < 200; round++) opened.measurements.take()
    using long = await openViewer(opened.world.port, `${run}-1`)
    await long.events(measurementLimits.eventsKeptMax)
    opened.measurements.take()
    await long.events(measurementLimits.eventsKeptMax + 4)
    assert.equal(new Set(long.ids()).size, measurementLimits.eventsKeptMax + 4)
    const strangers = [
      'x',
      '',
      '7',
      `${run}`,
      `${run}-`,
      `${run}--1`,
      `${run}-1e3`,
      `${run}-${'9'.repeat(15)}`,
    ]
    for (const strange of [...strangers, '9'.repeat(400)]) {
      using viewer = await openViewer(opened.world.port, strange)
      await viewer.events(4)
      opened.measurements.take()
      await viewer.events(8)
      assert.equal(viewer.ids().length, 8, strange)
    }
  })
})

test('with a query the address is a subscriber’s stream and asks for a credential, whatever the query is', async () => {
  await using opened = await openWorld()
  for (const query of ['?subscriber=a', '?filter=x', '?x', '?']) {
    const stranger = await opened.world.raw(
      `GET /stream${query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    )
    assert.match(stranger, /^HTTP\/1\.1 401 /, query)
  }
  const owner = await opened.world.fetch('/stream?subscriber=a', { headers: asWriter })
  assert.deepEqual(await owner.json(), { stream: 'of a subscriber' })
  assert.equal((await opened.world.fetch('/stream', { method: 'HEAD' })).status, 405)
  const post = await opened.world.fetch('/stream', { method: 'POST' })
  assert.deepEqual([post.status, post.headers.get('allow')], [405, 'GET'])
  const entries = opened.world.http.routeEntries().filter(({ url }) => url === '/stream')
  assert.deepEqual(
    entries.map(({ access, withoutQuery }) => [access, withoutQuery]),
    [
      ['public', true],
      ['events:write', false],
    ],
  )
})

test('more viewers than are served are told to come back, and a place that is left is free again', async () => {
  await using opened = await openWorld(2)
  using one = await openViewer(opened.world.port)
  using two = await openViewer(opened.world.port)
  await one.events(4)
  await two.events(4)
  const refused = await opened.world.fetch('/stream', { signal: AbortSignal.timeout(waitMsMax) })
  const { code } = (await refused.json()) as { code: string }
  assert.deepEqual([refused.status, code, refused.headers.get('retry-after')], [503, 'overloaded', '5'])
  one.socket.destroy()
  await one.until('its place is free', () => opened.measurements.viewers === 1)
  using three = await openViewer(opened.world.port)
  await three.events(4)
})

test('a viewer that takes nothing is ended, and costs no more than a buffer until then', async () => {
  await using opened = await openWorld()
  using viewer = await openViewer(opened.world.port)
  await viewer.events(4)
  viewer.socket.pause()
  const before = process.memoryUsage().rss
  const deadline = performance.now() + waitMsMax
  let rounds = 0
  while (opened.measurements.viewers === 1) {
    assert.ok(performance.now() < deadline, `still there after ${rounds} measurements`)
    opened.measurements.take()
    rounds++
    await turn()
  }
  assert.ok(process.memoryUsage().rss - before < 100e6)
})

test('what a viewer does not take at once waits in the ring, and comes in its order as it takes more', async () => {
  await using opened = await openWorld()
  const got: number[] = []
  let drained = () => {}
  // A way that is full after every event.
  opened.measurements.join(
    {
      ...{ start: () => {}, heartbeat: () => {}, reconnect: () => {}, close: () => {} },
      write: (bytes) => {
        got.push(Number(/^id: \w+-(\d+)\n/.exec(bytes.toString())?.[1]))
        return false
      },
      onDrain: (told) => {
        drained = told
      },
    },
    undefined,
  )
  opened.measurements.take()
  assert.equal(got.length, 1)
  for (let round = 0; round < 20; round++) drained()
  assert.equal(got.length, 8)
  assert.ok(got.every((id, at) => at === 0 || id === (got[at - 1] ?? 0) + 1))
  for (let round = 0; round < 160; round++) opened.measurements.take()
  for (let round = 0; round < 1_000; round++) drained()
  // One was written when there was room, then it slept: of the rest it gets what is still remembered.
  assert.equal(got.length, 8 + 1 + measurementLimits.eventsKeptMax)
})

test('a stream says every few measurements that it lives, in a comment', async () => {
  await using opened = await openWorld()
  using viewer = await openViewer(opened.world.port)
  await viewer.events(4)
  for (let round = 0; round < measurementLimits.measurementsPerHeartbeat; round++) {
    opened.measurements.take()
    await viewer.events(4 * (round + 2))
  }
  await viewer.until('a comment', () => /^:$/m.test(viewer.text()))
})

test('a stop sends viewers away with the time to come back, and takes no more of them', async () => {
  await using opened = await openWorld()
  using viewer = await openViewer(opened.world.port)
  await viewer.events(4)
  await opened.measurements[Symbol.asyncDispose]()
  await viewer.until(
    'the end',
    () => /event: close\n/.test(viewer.text()) && /\r\n0\r\n\r\n$/.test(viewer.text()),
  )
  const close = /event: close\ndata: (.*)\n/.exec(viewer.text())?.[1] ?? ''
  assert.deepEqual(JSON.parse(close), {
    code: 4503,
    reason: 'the server stops; come back',
    come_back: 'resume',
  })
  const retries = [...viewer.text().matchAll(/^retry: (\d+)$/gm)].map(([, ms]) => Number(ms))
  assert.ok((retries.at(-1) ?? 0) >= 1_000 && (retries.at(-1) ?? 0) <= 4_000, String(retries))
  const late = await opened.world.fetch('/stream')
  assert.equal(((await late.json()) as { code: string }).code, 'shutting_down')
})

test('a viewer that comes from another run gets the newest measurement under ids of this one, whatever its number was', async () => {
  await using opened = await openWorld()
  using before = await openViewer(opened.world.port)
  await before.events(4)
  const [seen = ''] = before.wholeIds()
  await using later = await openWorld()
  for (const number of [1, 4, 5, 1_000_000_000]) {
    using viewer = await openViewer(later.world.port, seen.replace(/\d+$/, String(number)))
    await viewer.events(4)
    later.measurements.take()
    await viewer.events(8)
    assert.equal(viewer.ids().length, 8, String(number))
    assert.notEqual(viewer.wholeIds()[0]?.split('-')[0], seen.split('-')[0])
  }
})

test('BF-19 each event keeps the original’s members; value is a percentage, figures have their units', () => {
  const at = new Date(2026, 2, 1, 9, 5, 7)
  const events = eventsOf(aMeasurement({ at }))
  assert.deepEqual(
    events.map(({ time, topic, value, unit, message }) => [time, topic, value, unit, message]),
    [
      [
        '09:05:07',
        'Global Metrics',
        50,
        '%',
        'received 1200 events/s, processed 620 events/s, waiting 1200 events',
      ],
      [
        ...['09:05:07', 'User Activity', 85, '%'],
        'answered 40 requests/s, open 3 streams, watching 1 viewers, checked 70 names/s, claimed 0.3 names/s',
      ],
      ['09:05:07', 'Security Audit', 10, '%', 'refused 4 requests/s'],
      ['09:05:07', 'System Health', 12, '%', 'event loop p99 3.3 ms, memory 150 MB, database answer 0.4 ms'],
    ],
  )
  assert.deepEqual(events[0]?.figures[0], { name: 'received', value: 1_200, unit: 'events/s' })
  const unknown = eventsOf(
    aMeasurement({ receivedPerSecond: null, backlogEvents: null, databaseMs: null, memoryBytes: null }),
  )
  assert.equal(unknown[0]?.value, null)
  assert.equal(unknown[0]?.message, 'received unknown, processed 620 events/s, waiting unknown')
  assert.equal(unknown[3]?.message, 'event loop p99 3.3 ms, memory unknown, database does not answer')
  const withoutNames = eventsOf(aMeasurement({ namesCheckedPerSecond: null, namesClaimedPerSecond: null }))
  assert.equal(withoutNames[1]?.message, 'answered 40 requests/s, open 3 streams, watching 1 viewers')
  const idle = eventsOf(
    aMeasurement({
      ...{ receivedPerSecond: 0, processedPerSecond: 0, backlogEvents: 0 },
      ...{ requestsPerSecond: 0, refusedPerSecond: 0, failedPerSecond: 0, busyRatio: 0 },
    }),
  )
  assert.deepEqual(
    idle.map(({ value }) => value),
    [100, 100, 0, 0],
  )
})

test('requests are counted by what they were answered, and names, from one measurement to the next', async () => {
  await using world = await openHttpWorld()
  let names: { checked: number; claimed: number } | undefined
  const measure = createMeasuring({
    answers: () => world.http.answers(),
    streams: () => 7,
    names: () => names,
    operations: {
      history: (seconds) => {
        const at = [1, 2].slice(0, seconds)
        const columns = Object.fromEntries(historyColumns.map((name) => [name, at.map(() => null)]))
        return {
          ...columns,
          at,
          received_per_second: [10, 20],
          event_loop_p99_ms: [4, null],
        } as HistorySeries
      },
      backlog: () => undefined,
      answerMs: () => 1.5,
    },
  })
  await Promise.all(Array.from({ length: 20 }, () => world.fetch('/json/1', { method: 'POST' })))
  await Promise.all(Array.from({ length: 10 }, () => world.fetch('/address', { headers: asWriter })))
  await world.fetch('/broken', { headers: asWriter })
  assert.deepEqual(world.http.answers(), { all: 31, refused: 20, failed: 1 })
  names = { checked: 31, claimed: 0 }
  const { requestsPerSecond, refusedPerSecond, failedPerSecond, ...first } = measure(2)
  assert.deepEqual([first.namesCheckedPerSecond, first.namesClaimedPerSecond], [requestsPerSecond, 0])
  assert.ok(requestsPerSecond > 0 && requestsPerSecond <= 31)
  assert.equal(Math.round((refusedPerSecond / requestsPerSecond) * 31), 20)
  assert.equal(Math.round((failedPerSecond / requestsPerSecond) * 31), 1)
  assert.deepEqual(
    [first.receivedPerSecond, first.processedPerSecond, first.backlogEvents, first.streams, first.viewers],
    [15, null, null, 7, 2],
  )
  assert.deepEqual([first.eventLoopP99Ms, first.memoryBytes, first.databaseMs], [4, null, 1.5])
  const second = measure(2)
  assert.deepEqual([second.requestsPerSecond, second.namesCheckedPerSecond], [0, 0])
  names = undefined
  assert.equal(measure(2).namesCheckedPerSecond, null)
})

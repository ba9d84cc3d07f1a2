import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { describe, type TestContext, test } from 'node:test'
import { assertNoViolation } from '@pulse/dev/faults/audit'
import { openInstallation } from '@pulse/dev/faults/installation'
import { signalTree } from '@pulse/dev/faults/process-tree'
import { streamRounds } from '@pulse/dev/faults/stream-rounds'
import { eventually } from '@pulse/dev/services/eventually'
import { findPostgres, startPostgres } from '@pulse/dev/services/postgres'
import { databasePidOf, startPulse } from '@pulse/dev/services/pulse'
import { subprotocol } from '@pulse/protocol/frames'
import { callerOf } from './journey.ts'
import { EventStreamReader, FrameReader, idsOf, TestSocket } from './stream-client.ts'
import { openStreamJourney } from './stream-journey.ts'

// What streams do when the server or its database goes: nothing is missed, nothing comes twice, nothing hangs.

const aPurchase = (n = 1) => ({
  ...{ event_id: randomUUID(), event_type: 'purchase', user_id: `user_${n % 50}` },
  properties: { amount: n + 1 },
})

test('ES-26 kill -9 of the server with subscribers attached: each receives the truth, each event once by its position', async (t: TestContext) => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  t.diagnostic(`seed ${seed}`)
  const report = await streamRounds({ rounds: 3, seed, tell: (line) => t.diagnostic(line) })
  assertNoViolation(report.findings)
  assert.ok(report.findings.rows > 0)
})

test('ES-24 neither filters nor log can be read when a stream begins: 4500 and 503, each says come back, and the server lives', async () => {
  const bin = await findPostgres()
  assert.ok(bin, 'npm’s PostgreSQL is not installed')
  await using postgres = await startPostgres(bin)
  await using journey = await openStreamJourney({ RATE_LIMIT_KEY: '', DATABASE_URL: postgres.address })
  const { server } = journey
  const subscriber = await journey.subscriber({ event_types: ['purchase'] })
  const refused = async () => {
    await using plain = await TestSocket.open(server, subscriber)
    await using frames = await TestSocket.open(server, subscriber, { protocol: subprotocol })
    await Promise.all([
      assert.rejects(EventStreamReader.open(server, { subscriber }), /503/),
      plain.ended().then(({ code }) => assert.equal(code, 4500)),
      frames.ended().then(({ code }) => assert.equal(code, 4500)),
      journey.call('GET', `/filters/${subscriber}`).then(({ status }) => assert.equal(status, 503)),
    ])
  }
  // Nobody listens, so the log has to be asked where it ends.
  await postgres.stop('crash')
  await refused()
  await postgres.start()
  const live = async () => {
    const attached = await TestSocket.open(server, subscriber)
    await journey.live(subscriber)
    return attached
  }
  await using attached = await eventually('streams begin', live, 60_000)
  // Somebody listens, so only the filters of the next one have to be read.
  await postgres.stop('crash')
  await refused()
  await postgres.start()
  await attached[Symbol.asyncDispose]()
  const back = async () => {
    const socket = await TestSocket.open(server, subscriber)
    await journey.live(subscriber)
    return socket
  }
  await using socket = await eventually('streams begin again', back, 60_000)
  await journey.post([aPurchase()])
  await socket.count(1)
  assert.deepEqual((await journey.call('GET', `/streams?subscriber=${subscriber}`)).body.data.length, 1)
})

async function startAgain(data: string) {
  const server = await startPulse(data)
  return { ...server, [Symbol.asyncDispose]: async () => void (await server.stop()) }
}

test('two servers over one database: a filter changed through one holds on the other, and who loses one goes on at the other', async () => {
  const bin = await findPostgres()
  assert.ok(bin, 'npm’s PostgreSQL is not installed')
  await using postgres = await startPostgres(bin)
  const settings = { RATE_LIMIT_KEY: '' }
  await using installation = await openInstallation({ databaseUrl: postgres.address, settings })
  const [one, other] = [await installation.start(), await installation.start()]
  const call = callerOf(one)
  const subscriber = `sub_${randomUUID()}`
  await call('POST', '/filters', { subscriber_id: subscriber, event_types: ['purchase'] })
  await using there = await FrameReader.open(other, subscriber)
  await using here = await FrameReader.open(one, subscriber)
  const send = async (type: string) => {
    const event = { ...aPurchase(), event_type: type }
    assert.equal((await call('POST', '/events', event)).status, 202)
    return event.event_id
  }
  const ids = [await send('purchase')]
  await send('view')
  assert.equal((await call('PUT', `/filters/${subscriber}`, { event_types: ['view'] })).status, 200)
  await send('purchase')
  ids.push(await send('view'))
  await Promise.all([there.count(2), here.count(2)])
  // Each knows its own stream, and says which of them it is.
  for (const server of [one, other])
    for (const path of ['/streams?', `/explain?event=${ids[0]}&`]) {
      const { body } = await callerOf(server)('GET', `${path}subscriber=${subscriber}`)
      const said = body as unknown as { server: string; data?: unknown[]; streams?: unknown[] }
      assert.equal((said.data ?? said.streams)?.length, 1, path)
      assert.equal(said.server, `${hostname()}:${server.process.pid}`)
    }
  await one.kill()
  const elsewhere = callerOf(other)
  const missed = { ...aPurchase(), event_type: 'view' }
  assert.equal((await elsewhere('POST', '/events', missed)).status, 202)
  ids.push(missed.event_id)
  await using moved = await FrameReader.open(other, subscriber, { position: here.position })
  await Promise.all([moved.count(1), there.count(3)])
  assert.deepEqual([...here.ids, ...moved.ids], ids)
  assert.deepEqual(there.ids, ids)
  assert.deepEqual([...here.broken, ...there.broken, ...moved.broken], [])
})

test('readers that take nothing hold up no one else who comes back', async () => {
  await using journey = await openStreamJourney({ RATE_LIMIT_KEY: '' })
  const { server } = journey
  const subscriber = await journey.subscriber({ event_types: ['large'] })
  await using first = await FrameReader.open(server, subscriber)
  const { position } = first
  await first[Symbol.asyncDispose]()
  const large = () => ({ ...aPurchase(), event_type: 'large', properties: { text: 'x'.repeat(8_000) } })
  const total = 4_000
  for (let n = 0; n < total; n += 400) await journey.post(Array.from({ length: 400 }, large))
  await using stack = new AsyncDisposableStack()
  // More than the replays that run at a time, each in a cohort of its own.
  for (let n = 0; n < 5; n++) {
    const stuck = await TestSocket.open(server, subscriber, { query: { position } })
    stack.defer(async () => {
      stuck.webSocket.resume()
      await stuck[Symbol.asyncDispose]()
    })
    stuck.webSocket.pause()
    const replaying = async () => {
      const { data } = (await journey.call('GET', `/streams?subscriber=${subscriber}`)).body
      return data.filter(({ queued_bytes }) => Number(queued_bytes) > 200_000).length > Math.min(n, 2)
        ? true
        : undefined
    }
    await eventually('it is stuck', replaying, 20_000)
  }
  await using reader = await FrameReader.open(server, subscriber, { position })
  reader.socket.send({ type: 'ping', id: 'while it catches up' })
  const answered = () => reader.frames.some((frame) => frame.type === 'checkpoint' && frame.id !== undefined)
  await eventually('an answer to the ping', async () => (answered() ? true : undefined), 15_000)
  // Long before the heartbeats find that the others do not answer, which would free their places too.
  await reader.count(total, 15_000)
  assert.equal(new Set(reader.ids).size, total)
  assert.deepEqual(reader.broken, [])
})

// Each has a server and a database of its own, and most of their time is waiting: for clocks of the product.
describe('streams whose server or database stops', { concurrency: 2 }, () => {
  test('while the database hangs a new stream is refused with Retry-After long before a statement is given up, and begins once it answers', async () => {
    await using journey = await openStreamJourney({ RATE_LIMIT_KEY: '' })
    const { server } = journey
    const subscriber = await journey.subscriber({ event_types: ['purchase'] })
    const pid = await databasePidOf(server.data)
    assert.ok(pid !== undefined)
    const headers = { authorization: `Bearer ${server.key}` }
    const refused = async () => {
      const answer = await fetch(`${server.url}/stream?subscriber=${subscriber}`, { headers })
      assert.ok(Number(answer.headers.get('retry-after')) >= 1)
      assert.equal(answer.status, 503)
      return 'refused'
    }
    const hang = async () => {
      await signalTree(pid, 'SIGSTOP')
      try {
        // An event waits for as long as the database may take for a statement.
        const posted = journey.call('POST', '/events', aPurchase()).then(() => 'answered')
        const streams = Promise.all([refused(), refused()]).then(([first]) => first)
        assert.equal(await Promise.race([posted, streams]), 'refused')
        await using socket = await TestSocket.open(server, subscriber)
        assert.equal((await socket.ended()).code, 4500)
        await signalTree(pid, 'SIGCONT')
        await posted
      } finally {
        await signalTree(pid, 'SIGCONT')
      }
    }
    const attached = async () => await TestSocket.open(server, subscriber)
    // Nobody listens, so the log has to be asked where it ends.
    await hang()
    await using first = await eventually('a stream begins', attached, 30_000)
    await journey.live(subscriber, 1)
    // Somebody listens, so only the filters of the next one have to be read.
    await hang()
    await using second = await attached()
    await journey.live(subscriber, 2)
    await journey.post([aPurchase()])
    await Promise.all([first.count(1), second.count(1)])
  })

  test('SIGTERM with streams attached: not ready first, everybody is told and moved within the window, nothing is missed by who comes back', async (t) => {
    const windowMs = 5_000
    await using journey = await openStreamJourney({
      ...{ RATE_LIMIT_KEY: '', STREAM_DRAIN_MS_MAX: String(windowMs), DRAIN_MS_MAX: '60000' },
    })
    const { server } = journey
    const subscribers = await Promise.all(
      Array.from({ length: 5 }, () => journey.subscriber({ event_types: ['purchase'] })),
    )
    await using stack = new AsyncDisposableStack()
    const readers: FrameReader[] = []
    const plains: TestSocket[] = []
    for (const name of subscribers)
      for (let n = 0; n < 4; n++) {
        readers.push(stack.use(await FrameReader.open(server, name)))
        if (n < 2) plains.push(stack.use(await TestSocket.open(server, name)))
      }
    const [subscriber = ''] = subscribers
    const stream = stack.use(await EventStreamReader.open(server, { subscriber }))
    for (const name of subscribers) await journey.live(name, name === subscriber ? 7 : 6)
    const first = aPurchase(1)
    await journey.post([first])
    await Promise.all([...readers, ...plains, stream].map((one) => one.count(1)))
    const askedMs = performance.now()
    const closes = [...readers.map(({ socket }) => socket), ...plains].map(async (socket) => {
      const { code } = await socket.ended()
      return { code, ms: performance.now() - askedMs }
    })
    server.process.kill('SIGTERM')
    const notReady = async () => ((await fetch(`${server.url}/readyz`)).status === 503 ? true : undefined)
    await eventually('/readyz is 503', notReady, 5_000)
    const openThen = readers.filter(({ socket }) => socket.closedWith === undefined).length
    assert.ok(openThen > 0, 'streams are still served while the server says that it is not ready')
    // What is accepted in the window is delivered in it, to whoever is still there, or when they come back.
    const late = await TestSocket.open(server, subscriber, { protocol: subprotocol }).catch(() => undefined)
    if (late) assert.equal((await late.ended()).code, 4503, 'who comes now is sent on')
    const ended = await Promise.all(closes)
    assert.deepEqual(new Set(ended.map(({ code }) => code)), new Set([4503]))
    const times = ended.map(({ ms }) => ms).sort((a, b) => a - b)
    t.diagnostic(`closed from ${Math.round(times[0] ?? 0)} to ${Math.round(times.at(-1) ?? 0)} ms`)
    assert.ok((times.at(-1) ?? 0) < windowMs * 3, 'not by the end of the process')
    assert.ok((times.at(-1) ?? 0) - (times[0] ?? 0) > windowMs / 3, 'not all at once')
    for (const { frames } of readers) {
      const told = frames.find((frame) => frame.type === 'reconnect')
      assert.ok(told && told.after_ms <= windowMs, JSON.stringify(frames))
    }
    await eventually('the event stream ends', async () => (stream.ended ? true : undefined), 5_000)
    assert.deepEqual(stream.blocks.at(-1)?.data, {
      ...{ code: 4503, reason: 'the server stops; come back', come_back: 'resume' },
    })
    assert.ok(stream.retryMs !== undefined)
    assert.equal((await server.ended).code, 0)
    await using again = await startAgain(server.data)
    const second = aPurchase(2)
    assert.equal((await callerOf(again)('POST', '/events', second)).status, 202)
    await using back = await FrameReader.open(again, subscriber, { position: readers[0]?.position })
    const query = { position: String(plains[0]?.messages[0]?.position) }
    await using plainBack = await TestSocket.open(again, subscriber, { query })
    using streamBack = await EventStreamReader.open(
      again,
      { subscriber },
      { 'last-event-id': stream.lastEventId },
    )
    await Promise.all([back.count(1), plainBack.count(1), streamBack.count(1)])
    for (const ids of [back.ids, idsOf(plainBack.messages), idsOf(streamBack.events)])
      assert.deepEqual(ids, [second.event_id])
  })

  test('ES-21 ES-23 the database dies with streams attached: the server says so, lives, and everything comes once it is back', async () => {
    await using journey = await openStreamJourney({ RATE_LIMIT_KEY: '' })
    const { server } = journey
    const subscriber = await journey.subscriber({ event_types: ['purchase'] })
    await using socket = await TestSocket.open(server, subscriber)
    await using reader = await FrameReader.open(server, subscriber)
    using stream = await EventStreamReader.open(server, { subscriber })
    await journey.live(subscriber, 3)
    const healthy = await fetch(`${server.url}/health`)
    assert.equal(healthy.status, 200)
    const sent = [aPurchase(1)]
    await journey.post(sent)
    await Promise.all([socket.count(1), reader.count(1), stream.count(1)])
    const pid = await databasePidOf(server.data)
    assert.ok(pid !== undefined)
    // Held still first, so that the moment without a database is long enough to be seen.
    await signalTree(pid, 'SIGSTOP')
    const unhealthy = async () => ((await fetch(`${server.url}/health`)).status === 503 ? true : undefined)
    await eventually('/health tells', unhealthy, 30_000)
    await signalTree(pid, 'SIGCONT')
    process.kill(pid, 'SIGKILL')
    const ready = async () => ((await fetch(`${server.url}/readyz`)).status === 200 ? true : undefined)
    await eventually('the server has brought its database back', ready, 60_000)
    const event = aPurchase(2)
    sent.push(event)
    const accepted = async () =>
      (await journey.call('POST', '/events', event)).status === 202 ? true : undefined
    await eventually('events are accepted again', accepted, 30_000)
    await Promise.all([socket.count(2), reader.count(2), stream.count(2)])
    for (const ids of [idsOf(socket.messages), reader.ids, idsOf(stream.events)])
      assert.deepEqual(ids, idsOf(sent))
    assert.deepEqual(reader.broken, [])
    assert.equal(server.process.exitCode, null)
    const told = server
      .log()
      .split('\n')
      .filter((line) => /"level":"(warn|error)"/.test(line))
    assert.ok(
      told.some((line) => line.includes('the log cannot be followed')),
      'the log says what happened',
    )
  })
})

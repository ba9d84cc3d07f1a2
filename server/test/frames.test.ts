import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { eventually } from '@pulse/dev/services/eventually'
import { frameLimits } from '@pulse/protocol/frames'
import {
  type Case,
  handshakeBytes,
  hostileCases,
  json,
  type Known,
  ping,
  type Start,
  text,
} from './hostile-cases.ts'
import { closeBytes, frameBytes, opcodes, RawSocket } from './raw-socket.ts'
import { FrameReader, idsOf, TestSocket } from './stream-client.ts'
import { metric, openStreamJourney, type StreamJourney } from './stream-journey.ts'

// Hostile clients, each over a connection of its own, that are written by hand from bytes.

/** Each is promised within 1 s; a machine that does other things at the same time gets more. */
const endMsMax = 6_000

let journey: StreamJourney
let subscriber: string
let known: Known
before(async () => {
  // Hostile clients here are one address, and each opens a connection.
  journey = await openStreamJourney({ RATE_LIMIT_KEY: '', RATE_LIMIT_ADDRESS: '100000/1m' })
  subscriber = await journey.subscriber({ event_types: ['purchase'] })
  const { key: blind } = await journey.key(['events:write'])
  const { key: stranger } = await journey.key(['stream:read'], 'somebody_*')
  known = { subscriber, credentials: { free: journey.server.key, blind, stranger } }
})
after(() => journey[Symbol.asyncDispose]())
async function begin(start: Start): Promise<RawSocket> {
  const socket = await RawSocket.connect(journey.server.url)
  try {
    await bringTo(socket, start)
    return socket
  } catch (error) {
    socket[Symbol.dispose]()
    throw error
  }
}

async function bringTo(socket: RawSocket, start: Start): Promise<void> {
  if (start === 'connected') return
  const without = { Authorization: undefined }
  const headers =
    start === 'unknown' ? without : start === 'plain' ? { 'Sec-WebSocket-Protocol': undefined } : {}
  socket.write(handshakeBytes(known, { headers }))
  await eventually('101', async () => (socket.status === 101 ? true : undefined), endMsMax)
  if (start === 'unknown' || start === 'plain') return
  await frameOf(socket, ({ type }) => type === 'hello')
  if (start === 'greeted') return
  socket.write(text('{"type":"subscribe"}'))
  await frameOf(socket, ({ type }) => type === 'checkpoint')
}

/** The first frame that is so, as soon as there is one. */
async function frameOf(
  socket: RawSocket,
  is: (frame: Record<string, unknown>) => boolean,
): Promise<Record<string, unknown>> {
  const look = async () => socket.texts.map((each): Record<string, unknown> => JSON.parse(each)).find(is)
  return await eventually('a frame', look, endMsMax)
}

/** Returns how long the end took, in milliseconds beyond the time that strangers have. */
async function play([title, start, send, ends]: Case): Promise<number> {
  using socket = await begin(start)
  socket.write(send(known))
  // A stranger has 5 s and half a request 10 s before they are ended.
  const slow = title.includes('5 s') ? 5_000 : title.startsWith('half') ? 10_000 : 0
  const stays = 'stays' in ends && ends.stays
  const answered = async () => (socket.status === undefined ? undefined : { ...socket, ms: 0 })
  const outcome = stays
    ? await eventually('an answer', answered, endMsMax)
    : await socket.outcome(slow + endMsMax)
  const { status, code } = { status: 101, code: undefined, ...ends }
  assert.deepEqual([outcome.status, outcome.code], [status, code], socket.reason)
  return outcome.ms - slow
}

test('hostile bytes end each in its own close code or status, and the connection with it', {
  concurrency: 6,
}, async (t) => {
  const slowest = { title: '', ms: 0 }
  const slow = [
    t.test('a reader that is gone without a word is noticed within two heartbeats and let go', letGo),
    t.test('a handshake byte by byte is given up after 10 s, one that is slow but moves on is served', drip),
  ]
  const played = hostileCases.map((one) =>
    t.test(one[0], async () => {
      const ms = await play(one)
      if (ms > slowest.ms) Object.assign(slowest, { title: one[0], ms })
    }),
  )
  await Promise.all([...slow, ...played])
  t.diagnostic(`${played.length} cases; slowest: ${slowest.title}, ${Math.round(slowest.ms)} ms`)
})

async function letGo(): Promise<void> {
  const own = await journey.subscriber({ event_types: ['purchase'] })
  await using silent = await TestSocket.open(journey.server, own)
  await using alive = await TestSocket.open(journey.server, own)
  await journey.live(own, 2)
  // What it would answer a ping with never leaves: as if its cable were pulled.
  silent.webSocket.pause()
  const noticed = async () => {
    const { data } = (await journey.call('GET', `/streams?subscriber=${own}`)).body
    return data.length === 1 ? true : undefined
  }
  await eventually('only one is left', noticed, 2 * frameLimits.heartbeatMs + endMsMax)
  assert.equal(alive.closedWith, undefined)
}

async function drip(): Promise<void> {
  using late = await RawSocket.connect(journey.server.url)
  const bytes = handshakeBytes(known, { headers: { Cookie: 'x'.repeat(500) } })
  const sendSlowly = async () => {
    for (const byte of bytes) {
      if (late.ended) return
      late.write(byte)
      await pause(50)
    }
  }
  const sending = sendSlowly()
  using slow = await RawSocket.connect(journey.server.url)
  const whole = handshakeBytes(known)
  for (let at = 0; at < whole.length; at += 100) {
    slow.write(whole.slice(at, at + 100))
    await pause(100)
  }
  await frameOf(slow, ({ type }) => type === 'hello')
  assert.equal((await late.outcome(15_000 + endMsMax)).status, 408)
  await sending
}

test('data behind a close frame is not looked at, and the close is answered with its own code', async () => {
  using socket = await begin('streaming')
  socket.write(
    Buffer.concat([closeBytes(4321, 'enough'), json({ type: 'subscribe' }), Buffer.alloc(100, 0xff)]),
  )
  const { code } = await socket.outcome(endMsMax)
  assert.equal(code, 4321)
})

test('what may look hostile and is not: a first frame right behind the handshake, fragments, pings between them, a bad filter', async () => {
  using socket = await RawSocket.connect(journey.server.url)
  socket.write(Buffer.concat([Buffer.from(handshakeBytes(known)), json({ type: 'subscribe' })]))
  await frameOf(socket, ({ type }) => type === 'checkpoint')
  const [start, ...rest] = JSON.stringify({ type: 'ping', id: 'in pieces' })
  socket.write(text(start ?? '', { fin: false }))
  for (const part of rest)
    socket.write(Buffer.concat([ping(), frameBytes({ opcode: opcodes.more, fin: false, payload: part })]))
  socket.write(frameBytes({ opcode: opcodes.more }))
  await frameOf(socket, ({ id }) => id === 'in pieces')
  socket.write(json({ type: 'filter', filter: { expression: 'nonsense ((' } }))
  await frameOf(socket, ({ type, code }) => type === 'error' && code === 'invalid_filter')
  socket.write(json({ type: 'ping', id: 'still there' }))
  await frameOf(socket, ({ id }) => id === 'still there')
})

test('a ping is answered without a place before the stream has begun, and with one from then on', async () => {
  using socket = await RawSocket.connect(journey.server.url)
  socket.write(Buffer.concat([Buffer.from(handshakeBytes(known)), json({ type: 'ping', id: 'before' })]))
  assert.deepEqual(await frameOf(socket, ({ id }) => id === 'before'), { type: 'pong', id: 'before' })
  socket.write(Buffer.concat([json({ type: 'subscribe' }), json({ type: 'ping', id: 'behind' })]))
  const behind = await frameOf(socket, ({ id }) => id === 'behind')
  assert.equal(behind.type, 'checkpoint')
  assert.ok(behind.position)
})

test('connections that are cut without a word leave nothing behind', async () => {
  for (const start of ['connected', 'unknown', 'plain', 'greeted', 'streaming'] as const) {
    using socket = await begin(start)
    socket.socket.resetAndDestroy()
    using half = await begin(start)
    half.socket.end()
    if (start !== 'connected') await half.outcome(endMsMax)
  }
})

// The last one: it looks at what all the others have left.
test('after all of that nothing is left open, and the server serves a client like before', async () => {
  const left = async () => ((await journey.call('GET', '/streams')).body.data.length === 0 ? true : undefined)
  await eventually('no stream is open', left, 10_000)
  const metrics = (await journey.call('GET', '/metrics')).body as unknown as string
  for (const transport of ['plain', 'websocket', 'sse'])
    assert.equal(metric(metrics, 'pulse_stream_connections', { transport }), 0, transport)
  await using reader = await FrameReader.open(journey.server, subscriber)
  await using socket = await TestSocket.open(journey.server, subscriber)
  await journey.live(subscriber, 2)
  await journey.post([{ event_type: 'purchase', user_id: 'after', properties: { amount: 1 } }])
  await Promise.all([reader.count(1), socket.count(1)])
  assert.deepEqual(reader.ids, idsOf(socket.messages))
  assert.equal(journey.server.process.exitCode, null)
  const wrong = journey.server
    .log()
    .split('\n')
    .filter((line) => line.includes('"level":"error"') || line.includes('"level":"fatal"'))
  assert.deepEqual(wrong, [])
})

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { subprotocol } from '@pulse/protocol/frames'
import { formatStreamPosition, parseStreamPosition } from '@pulse/protocol/stream-position'
import { closeBytes, type FrameParts, frameBytes, opcodes, RawSocket } from './raw-socket.ts'
import { eventually } from './started-server.ts'
import { FrameReader, idsOf, TestSocket } from './stream-client.ts'
import { metric, openStreamJourney, type StreamJourney } from './stream-journey.ts'

// Everything that a hostile client can do with bytes, each over a connection of its own, and how each must end. The
// codes are those of RFC 6455 below 4000, and from there those of protocol/src/close-codes.ts.

/** Each is promised within 1 s; a machine that does other things at the same time gets more. */
const endMsMax = 6_000

let journey: StreamJourney
let subscriber: string
let credentials: { free: string; blind: string; stranger: string }
before(async () => {
  // Hostile clients here are one address, and each opens a connection.
  journey = await openStreamJourney({ RATE_LIMIT_KEY: '', RATE_LIMIT_ADDRESS: '100000/1m' })
  subscriber = await journey.subscriber({ event_types: ['purchase'] })
  credentials = {
    free: journey.server.key,
    blind: (await journey.key(['events:write'])).key,
    stranger: (await journey.key(['stream:read'], 'somebody_*')).key,
  }
})
after(() => journey[Symbol.asyncDispose]())

interface Handshake {
  readonly path?: string
  readonly method?: string
  /** Sent in the place of those that a client sends; undefined leaves one out. */
  readonly headers?: Readonly<Record<string, string | undefined>>
}

function handshakeBytes({
  path = `/ws/${subscriber}`,
  method = 'GET',
  headers = {},
}: Handshake = {}): string {
  const sent: Record<string, string | undefined> = {
    Host: 'pulse',
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Protocol': subprotocol,
    Authorization: `Bearer ${credentials.free}`,
    ...headers,
  }
  const lines = Object.entries(sent).flatMap(([name, value]) =>
    value === undefined ? [] : `${name}: ${value}`,
  )
  return `${[`${method} ${path} HTTP/1.1`, ...lines].join('\r\n')}\r\n\r\n`
}

/** How a case begins: with nothing, greeted, subscribed, without a credential, or as a plain socket. */
type Start = 'connected' | 'greeted' | 'streaming' | 'unknown' | 'plain'

async function begin(start: Start): Promise<RawSocket> {
  const socket = await RawSocket.connect(journey.server.url)
  if (start === 'connected') return socket
  const without = { Authorization: undefined }
  const headers =
    start === 'unknown' ? without : start === 'plain' ? { 'Sec-WebSocket-Protocol': undefined } : {}
  socket.write(handshakeBytes({ headers }))
  const came = (what: string, is: () => boolean) =>
    eventually(what, async () => (is() ? true : undefined), endMsMax)
  await came('101', () => socket.status === 101)
  if (start === 'unknown' || start === 'plain') return socket
  await came('hello', () => socket.texts.length === 1)
  if (start === 'greeted') return socket
  socket.write(text('{"type":"subscribe"}'))
  await came('the checkpoint', () => socket.texts.length === 2)
  return socket
}

const text = (payload: string | Uint8Array, more: FrameParts = {}) => frameBytes({ payload, ...more })
const json = (value: unknown) => text(JSON.stringify(value))
const many = (count: number, bytes: Buffer) => Buffer.concat(Array.from({ length: count }, () => bytes))
const ping = (payload = 'x') => frameBytes({ opcode: opcodes.ping, payload })

/** `stays`: what was asked for is no upgrade of ours, so the connection goes on as one of HTTP. */
type Ends = { readonly code: number } | { readonly status: number; readonly stays?: true }
type Case = readonly [title: string, start: Start, send: () => Uint8Array | string, ends: Ends]

const protocolCases: readonly Case[] = [
  [
    'a text frame that is not masked',
    'greeted',
    () => text('{"type":"ping"}', { masked: false }),
    { code: 1002 },
  ],
  [
    'a close frame that is not masked',
    'greeted',
    () => frameBytes({ opcode: 8, masked: false }),
    { code: 1002 },
  ],
  ...[4, 2, 1, 7].map(
    (reserved): Case => [
      `reserved bits ${reserved.toString(2).padStart(3, '0')}`,
      'greeted',
      () => text('{"type":"ping"}', { reserved }),
      { code: 1002 },
    ],
  ),
  [
    'a reserved bit on a ping',
    'streaming',
    () => frameBytes({ opcode: opcodes.ping, reserved: 4 }),
    { code: 1002 },
  ],
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map(
    (opcode): Case => [`opcode ${opcode}`, 'greeted', () => frameBytes({ opcode }), { code: 1002 }],
  ),
  ['a ping of 126 bytes', 'greeted', () => ping('x'.repeat(126)), { code: 1002 }],
  ['a fragmented ping', 'greeted', () => frameBytes({ opcode: opcodes.ping, fin: false }), { code: 1002 }],
  ['a fragmented close', 'greeted', () => frameBytes({ opcode: opcodes.close, fin: false }), { code: 1002 }],
  [
    'a continuation of nothing',
    'greeted',
    () => frameBytes({ opcode: opcodes.more, payload: '{}' }),
    { code: 1002 },
  ],
  [
    'a new message inside of a fragmented one',
    'greeted',
    () => Buffer.concat([text('{"type":', { fin: false }), text('{"type":"ping"}')]),
    { code: 1002 },
  ],
  [
    'a binary message inside of a fragmented text',
    'greeted',
    () => Buffer.concat([text('{', { fin: false }), frameBytes({ opcode: opcodes.binary })]),
    { code: 1002 },
  ],
  [
    'a close frame of one byte',
    'greeted',
    () => frameBytes({ opcode: opcodes.close, payload: 'x' }),
    { code: 1002 },
  ],
  ...[0, 999, 1004, 1005, 1006, 1015, 1016, 2_999, 5_000, 65_535].map(
    (code): Case => [`the close code ${code}`, 'streaming', () => closeBytes(code), { code: 1002 }],
  ),
  [
    'a close reason that is no UTF-8',
    'greeted',
    () => closeBytes(1000, Buffer.from([0xff, 0xfe])),
    { code: 1007 },
  ],
  ['garbage', 'streaming', () => Buffer.alloc(500, 0xff), { code: 1002 }],
  [
    'garbage right behind the handshake',
    'connected',
    () => Buffer.concat([Buffer.from(handshakeBytes()), Buffer.alloc(500, 0x0f)]),
    { code: 1002 },
  ],
]

const textCases: readonly Case[] = [
  ['a text that is no UTF-8', 'greeted', () => text(Buffer.from([0x22, 0xff, 0x22])), { code: 1007 }],
  ['an overlong encoding', 'greeted', () => text(Buffer.from([0xc0, 0xaf])), { code: 1007 }],
  ['an encoded surrogate', 'greeted', () => text(Buffer.from([0xed, 0xa0, 0x80])), { code: 1007 }],
  [
    'a code point beyond Unicode',
    'greeted',
    () => text(Buffer.from([0xf4, 0x90, 0x80, 0x80])),
    { code: 1007 },
  ],
  ['a character that is cut off', 'greeted', () => text(Buffer.from([0x22, 0xe2, 0x82])), { code: 1007 }],
  [
    'a character that breaks between two fragments',
    'greeted',
    () =>
      Buffer.concat([
        text(Buffer.from([0xe2, 0x82]), { fin: false }),
        frameBytes({ opcode: opcodes.more, payload: Buffer.from([0x41]) }),
      ]),
    { code: 1007 },
  ],
  [
    'a text that is no UTF-8, without a credential',
    'unknown',
    () => text(Buffer.from([0xff])),
    { code: 1007 },
  ],
]

const sizeCases: readonly Case[] = [
  [
    'a length of 64 KiB and one byte that is only claimed',
    'greeted',
    () => text('', { claimed: { length: 65_537n, bits: 64 } }),
    { code: 1009 },
  ],
  ['a message of 70,000 bytes', 'greeted', () => text('x'.repeat(70_000)), { code: 1009 }],
  [
    'a length of 1 TiB',
    'greeted',
    () => text('', { claimed: { length: 1n << 40n, bits: 64 } }),
    { code: 1009 },
  ],
  // RFC 6455 forbids the bit and names no code; what it says is a length of more than can be taken.
  [
    'a length with its highest bit set',
    'greeted',
    () => text('', { claimed: { length: 1n << 63n, bits: 64 } }),
    { code: 1009 },
  ],
  [
    'fragments that are too large together',
    'greeted',
    () =>
      Buffer.concat([
        text('x'.repeat(40_000), { fin: false }),
        frameBytes({ opcode: opcodes.more, payload: 'x'.repeat(40_000) }),
      ]),
    { code: 1009 },
  ],
  [
    'a message of 70,000 bytes, without a credential',
    'unknown',
    () => text('x'.repeat(70_000)),
    { code: 1009 },
  ],
  [
    '10,000 fragments',
    'greeted',
    () =>
      Buffer.concat([
        text('x', { fin: false }),
        many(10_000, frameBytes({ opcode: opcodes.more, fin: false, payload: 'x' })),
      ]),
    { code: 1008 },
  ],
  [
    '10,000 empty fragments',
    'greeted',
    () => Buffer.concat([text('', { fin: false }), many(10_000, frameBytes({ opcode: 0, fin: false }))]),
    { code: 1008 },
  ],
  ['a flood of pings', 'streaming', () => many(10_000, ping()), { code: 1008 }],
  ['a flood of pongs', 'streaming', () => many(10_000, frameBytes({ opcode: opcodes.pong })), { code: 1008 }],
  ['a flood of pings to a plain socket', 'plain', () => many(10_000, ping()), { code: 1008 }],
  ['a flood of pings without a credential', 'unknown', () => many(10_000, ping()), { code: 1008 }],
]

const frameCases: readonly Case[] = [
  [
    'a binary message',
    'greeted',
    () => frameBytes({ opcode: 2, payload: '{"type":"ping"}' }),
    { code: 1003 },
  ],
  ['an empty binary message', 'streaming', () => frameBytes({ opcode: 2 }), { code: 1003 }],
  ['an empty text', 'greeted', () => text(''), { code: 4400 }],
  ['a text that is no JSON', 'streaming', () => text('{"type":"ping"'), { code: 4400 }],
  ...['null', '7', '"ping"', '[]', '{}', 'true'].map(
    (payload): Case => [`the frame ${payload}`, 'greeted', () => text(payload), { code: 4400 }],
  ),
  ['a type that is not known', 'greeted', () => json({ type: 'publish' }), { code: 4400 }],
  ['a type of the other side', 'streaming', () => json({ type: 'event' }), { code: 4400 }],
  ['a member too many', 'greeted', () => json({ type: 'ping', more: 1 }), { code: 4400 }],
  // What a close frame may say of it has 123 bytes.
  [
    'a member with a long name',
    'streaming',
    () => json({ type: 'ping', ['ä€'.repeat(500)]: 1 }),
    { code: 4400 },
  ],
  ['a member of the wrong type', 'greeted', () => json({ type: 'ping', id: 7 }), { code: 4400 }],
  ['a member missing', 'greeted', () => json({ type: 'resume' }), { code: 4400 }],
  [
    'a nest of 30,000 arrays',
    'greeted',
    () => text(`${'['.repeat(30_000)}${']'.repeat(30_000)}`),
    { code: 4400 },
  ],
  [
    'an unknown policy for slow readers',
    'greeted',
    () => json({ type: 'subscribe', slow: 'drop' }),
    { code: 4400 },
  ],
  [
    'a conflation by no pointer',
    'greeted',
    () => json({ type: 'subscribe', conflate_by: 'a' }),
    { code: 4400 },
  ],
  ['an ack before a subscribe', 'greeted', () => json({ type: 'ack', position: 'x' }), { code: 4400 }],
  ['a second subscribe', 'streaming', () => json({ type: 'subscribe' }), { code: 4400 }],
  ['a resume behind a subscribe', 'streaming', () => json({ type: 'resume', position: 'x' }), { code: 4400 }],
  [
    'a credential behind a credential',
    'greeted',
    () => json({ type: 'auth', credential: 'x' }),
    { code: 4400 },
  ],
  ['a position that is none', 'greeted', () => json({ type: 'resume', position: 'nowhere' }), { code: 4400 }],
  [
    'a position of 5,000 characters',
    'greeted',
    () => json({ type: 'resume', position: 'x'.repeat(5_000) }),
    { code: 4400 },
  ],
  ['60 frames at once', 'streaming', () => many(60, json({ type: 'ping' })), { code: 4429 }],
]

const strangerCases: readonly Case[] = [
  ['no credential within 5 s', 'unknown', () => '', { code: 4401 }],
  ['no credential within 5 s, but pings', 'unknown', () => ping(), { code: 4401 }],
  [
    'a credential that is none',
    'unknown',
    () => json({ type: 'auth', credential: 'pulse_x' }),
    { code: 4401 },
  ],
  ['an empty credential', 'unknown', () => json({ type: 'auth', credential: '' }), { code: 4401 }],
  ['a subscribe without a credential', 'unknown', () => json({ type: 'subscribe' }), { code: 4401 }],
  ['a ping frame without a credential', 'unknown', () => json({ type: 'ping' }), { code: 4401 }],
  ['a binary message without a credential', 'unknown', () => frameBytes({ opcode: 2 }), { code: 1003 }],
  [
    'a credential for other subscribers',
    'unknown',
    () => json({ type: 'auth', credential: credentials.stranger }),
    { code: 4403 },
  ],
  [
    'a credential without the scope',
    'unknown',
    () => json({ type: 'auth', credential: credentials.blind }),
    { code: 4403 },
  ],
  [
    'a plain socket without a credential',
    'connected',
    () => handshakeBytes({ headers: { Authorization: undefined, 'Sec-WebSocket-Protocol': undefined } }),
    { code: 4401 },
  ],
  [
    'a plain socket with a position that is none',
    'connected',
    () => plain(`/ws/${subscriber}?position=nowhere`),
    { code: 4400 },
  ],
  ['a plain socket without a filter', 'connected', () => plain('/ws/nobody'), { code: 4404 }],
  [
    'frames without a filter',
    'connected',
    () => Buffer.concat([Buffer.from(handshakeBytes({ path: '/ws/nobody' })), json({ type: 'subscribe' })]),
    { code: 4404 },
  ],
]

const plain = (path: string) => handshakeBytes({ path, headers: { 'Sec-WebSocket-Protocol': undefined } })
const withHeaders = (headers: Handshake['headers']) => () => handshakeBytes({ ...(headers && { headers }) })

const handshakeCases: readonly Case[] = [
  ['an older version', 'connected', withHeaders({ 'Sec-WebSocket-Version': '8' }), { status: 426 }],
  ['no version', 'connected', withHeaders({ 'Sec-WebSocket-Version': undefined }), { status: 426 }],
  ['a short key', 'connected', withHeaders({ 'Sec-WebSocket-Key': 'c2hvcnQ=' }), { status: 400 }],
  ['no key', 'connected', withHeaders({ 'Sec-WebSocket-Key': undefined }), { status: 400 }],
  [
    'a list of protocols that is none',
    'connected',
    withHeaders({ 'Sec-WebSocket-Protocol': 'a,,b' }),
    { status: 400 },
  ],
  ['a wrong credential', 'connected', withHeaders({ Authorization: 'Bearer pulse_x' }), { status: 401 }],
  [
    'a used-up ticket',
    'connected',
    () => handshakeBytes({ path: `/ws/${subscriber}?ticket=x`, headers: { Authorization: undefined } }),
    { status: 401 },
  ],
  [
    'another subscriber',
    'connected',
    () => handshakeBytes({ headers: { Authorization: `Bearer ${credentials.stranger}` } }),
    { status: 403 },
  ],
  ['no subscriber', 'connected', () => handshakeBytes({ path: '/ws/' }), { status: 426, stays: true }],
  ['a subscriber that cannot be', 'connected', () => handshakeBytes({ path: '/ws/a%20b' }), { status: 400 }],
  [
    'an address that is none',
    'connected',
    () => handshakeBytes({ path: '/sockets/a' }),
    { status: 404, stays: true },
  ],
  ['garbage in the place of a request', 'connected', () => Buffer.alloc(300, 0x16), { status: 400 }],
  ['a header that is none', 'connected', () => 'GET /ws/a HTTP/1.1\r\nno colon\r\n\r\n', { status: 400 }],
  ['headers of 20 KB', 'connected', withHeaders({ Cookie: 'x'.repeat(20_000) }), { status: 431 }],
  ['a socket over POST', 'connected', () => handshakeBytes({ method: 'POST' }), { status: 405, stays: true }],
  ['another protocol', 'connected', withHeaders({ Upgrade: 'h2c' }), { status: 426, stays: true }],
  [
    'no upgrade at all',
    'connected',
    withHeaders({ Upgrade: undefined, Connection: undefined }),
    { status: 426, stays: true },
  ],
  ['half a handshake', 'connected', () => handshakeBytes().slice(0, 120), { status: 408 }],
]

/** Returns how long the end took, in milliseconds beyond the time that strangers have. */
async function play([title, start, send, ends]: Case): Promise<number> {
  using socket = await begin(start)
  socket.write(send())
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

const groups = { protocolCases, textCases, sizeCases, frameCases, strangerCases, handshakeCases }

test('hostile bytes end each in its own close code or status, and the connection with it', {
  concurrency: 6,
}, async (t) => {
  const slowest = { title: '', ms: 0 }
  const played = Object.values(groups)
    .flat()
    .map((one) =>
      t.test(one[0], async () => {
        const ms = await play(one)
        if (ms > slowest.ms) Object.assign(slowest, { title: one[0], ms })
      }),
    )
  await Promise.all(played)
  t.diagnostic(`${played.length} cases; slowest: ${slowest.title}, ${Math.round(slowest.ms)} ms`)
})

test('data behind a close frame is not looked at, and the close is answered with its own code', async () => {
  using socket = await begin('streaming')
  socket.write(
    Buffer.concat([closeBytes(4321, 'enough'), json({ type: 'subscribe' }), Buffer.alloc(100, 0xff)]),
  )
  const { code } = await socket.outcome(endMsMax)
  assert.equal(code, 4321)
})

test('a handshake that comes byte by byte is given up after 10 s, one that is slow but moves on is served', async () => {
  using late = await RawSocket.connect(journey.server.url)
  const bytes = handshakeBytes({ headers: { Cookie: 'x'.repeat(500) } })
  const drip = async () => {
    for (const byte of bytes) {
      if (late.ended) return
      late.write(byte)
      await pause(50)
    }
  }
  const dripping = drip()
  using slow = await RawSocket.connect(journey.server.url)
  const whole = handshakeBytes()
  for (let at = 0; at < whole.length; at += 100) {
    slow.write(whole.slice(at, at + 100))
    await pause(100)
  }
  await eventually('hello', async () => (slow.texts.length === 1 ? true : undefined), endMsMax)
  assert.equal((await late.outcome(15_000 + endMsMax)).status, 408)
  await dripping
})

test('what may look hostile and is not: a first frame right behind the handshake, fragments, pings between them, a bad filter', async () => {
  using socket = await RawSocket.connect(journey.server.url)
  socket.write(Buffer.concat([Buffer.from(handshakeBytes()), json({ type: 'subscribe' })]))
  const came = (count: number) =>
    eventually(`${count} frames`, async () => (socket.texts.length >= count ? true : undefined), endMsMax)
  await came(2)
  const [start, ...rest] = JSON.stringify({ type: 'ping', id: 'in pieces' })
  socket.write(text(start ?? '', { fin: false }))
  for (const part of rest)
    socket.write(Buffer.concat([ping(), frameBytes({ opcode: opcodes.more, fin: false, payload: part })]))
  socket.write(frameBytes({ opcode: opcodes.more }))
  await came(3)
  assert.equal(JSON.parse(socket.texts[2] ?? '').id, 'in pieces')
  socket.write(json({ type: 'filter', filter: { expression: 'nonsense ((' } }))
  await came(4)
  assert.equal(JSON.parse(socket.texts[3] ?? '').code, 'invalid_filter')
  socket.write(json({ type: 'ping', id: 'still there' }))
  await came(5)
  assert.equal(JSON.parse(socket.texts[4] ?? '').id, 'still there')
})

test('a position of another log is a gap where frames can say so, and 4410 before any event where they cannot', async () => {
  await using reader = await FrameReader.open(journey.server, subscriber)
  const foreign = formatStreamPosition(
    (parseStreamPosition(reader.position) ?? []).map((each) => ({ ...each, epoch: each.epoch + 1 })),
  )
  await using moved = await FrameReader.open(journey.server, subscriber, { position: foreign })
  assert.equal((await moved.frame('gap')).reason, 'epoch')
  await using socket = await TestSocket.open(journey.server, subscriber, { query: { position: foreign } })
  assert.equal((await socket.closed).code, 4410)
  assert.deepEqual(socket.messages, [])
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

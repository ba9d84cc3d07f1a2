import { subprotocol } from '@pulse/protocol/frames'
import { closeBytes, type FrameParts, frameBytes, opcodes } from './raw-socket.ts'

// Everything that a hostile client can do with bytes, and how it must end. The codes are those of RFC 6455 below 4000,
// and from there those of protocol/src/close-codes.ts.

/** What the cases have to know of the server under test. */
export interface Known {
  readonly subscriber: string
  /** Keys: one that may do everything, one without the scope, one for other subscribers. */
  readonly credentials: { readonly free: string; readonly blind: string; readonly stranger: string }
}

/** What is other than it should be in a handshake. */
export interface Handshake {
  readonly path?: string
  readonly method?: string
  /** Sent in the place of those that a client sends; undefined leaves one out. */
  readonly headers?: Readonly<Record<string, string | undefined>>
}

/** The bytes of a handshake as a client sends it, but for what is said. */
export function handshakeBytes(
  { subscriber, credentials }: Known,
  { path = `/ws/${subscriber}`, method = 'GET', headers = {} }: Handshake = {},
): string {
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
export type Start = 'connected' | 'greeted' | 'streaming' | 'unknown' | 'plain'
/** A text frame. */
export const text = (payload: string | Uint8Array, more: FrameParts = {}) => frameBytes({ payload, ...more })
/** A text frame that holds JSON. */
export const json = (value: unknown) => text(JSON.stringify(value))
const many = (count: number, bytes: Buffer) => Buffer.concat(Array.from({ length: count }, () => bytes))
/** A ping. */
export const ping = (payload = 'x') => frameBytes({ opcode: opcodes.ping, payload })

/** `stays`: what was asked for is no upgrade of ours, so the connection goes on as one of HTTP. */
type Ends = { readonly code: number } | { readonly status: number; readonly stays?: true }
/** One thing that a client does, and how the server must end it. */
export type Case = readonly [
  title: string,
  start: Start,
  send: (known: Known) => Uint8Array | string,
  ends: Ends,
]

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
    (known) => Buffer.concat([Buffer.from(handshakeBytes(known)), Buffer.alloc(500, 0x0f)]),
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
    ({ credentials }) => json({ type: 'auth', credential: credentials.stranger }),
    { code: 4403 },
  ],
  [
    'a credential without the scope',
    'unknown',
    ({ credentials }) => json({ type: 'auth', credential: credentials.blind }),
    { code: 4403 },
  ],
  [
    'a plain socket without a credential',
    'connected',
    (known) =>
      handshakeBytes(known, { headers: { Authorization: undefined, 'Sec-WebSocket-Protocol': undefined } }),
    { code: 4401 },
  ],
  [
    'a plain socket with a position that is none',
    'connected',
    (known) => plain(known, `/ws/${known.subscriber}?position=nowhere`),
    { code: 4400 },
  ],
  ['a plain socket without a filter', 'connected', (known) => plain(known, '/ws/nobody'), { code: 4404 }],
  [
    'frames without a filter',
    'connected',
    (known) =>
      Buffer.concat([
        Buffer.from(handshakeBytes(known, { path: '/ws/nobody' })),
        json({ type: 'subscribe' }),
      ]),
    { code: 4404 },
  ],
]

const plain = (known: Known, path: string) =>
  handshakeBytes(known, { path, headers: { 'Sec-WebSocket-Protocol': undefined } })
const withHeaders = (headers: NonNullable<Handshake['headers']>) => (known: Known) =>
  handshakeBytes(known, { headers })

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
    (known) =>
      handshakeBytes(known, {
        path: `/ws/${known.subscriber}?ticket=x`,
        headers: { Authorization: undefined },
      }),
    { status: 401 },
  ],
  [
    'another subscriber',
    'connected',
    (known) => handshakeBytes(known, { headers: { Authorization: `Bearer ${known.credentials.stranger}` } }),
    { status: 403 },
  ],
  [
    'no subscriber',
    'connected',
    (known) => handshakeBytes(known, { path: '/ws/' }),
    { status: 426, stays: true },
  ],
  [
    'a subscriber that cannot be',
    'connected',
    (known) => handshakeBytes(known, { path: '/ws/a%20b' }),
    { status: 400 },
  ],
  [
    'an address that is none',
    'connected',
    (known) => handshakeBytes(known, { path: '/sockets/a' }),
    { status: 404, stays: true },
  ],
  ['garbage in the place of a request', 'connected', () => Buffer.alloc(300, 0x16), { status: 400 }],
  ['a header that is none', 'connected', () => 'GET /ws/a HTTP/1.1\r\nno colon\r\n\r\n', { status: 400 }],
  ['headers of 20 KB', 'connected', withHeaders({ Cookie: 'x'.repeat(20_000) }), { status: 431 }],
  [
    'a socket over POST',
    'connected',
    (known) => handshakeBytes(known, { method: 'POST' }),
    { status: 405, stays: true },
  ],
  ['another protocol', 'connected', withHeaders({ Upgrade: 'h2c' }), { status: 426, stays: true }],
  [
    'no upgrade at all',
    'connected',
    withHeaders({ Upgrade: undefined, Connection: undefined }),
    { status: 426, stays: true },
  ],
  ['half a handshake', 'connected', (known) => handshakeBytes(known).slice(0, 120), { status: 408 }],
]
/** All of them. */
export const hostileCases: readonly Case[] = [
  ...protocolCases,
  ...textCases,
  ...sizeCases,
  ...frameCases,
  ...strangerCases,
  ...handshakeCases,
]

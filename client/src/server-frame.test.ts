import assert from 'node:assert/strict'
import { test } from 'node:test'
import { subprotocol as protocolName, serverFrameSchema } from '@pulse/protocol/frames'
import { formatStreamPosition } from '@pulse/protocol/stream-position'
import fc from 'fast-check'
import { parseServerFrame, subprotocol } from './server-frame.ts'

const position = fc
  .record({ epoch: fc.nat(9), offset: fc.nat(1e6) })
  .map(({ epoch, offset }) =>
    formatStreamPosition([{ topic: 'events', epoch, offsets: new Map([[0, offset]]) }]),
  )

const event = fc.record({
  event_id: fc.uuid(),
  event_type: fc.constant('purchase'),
  user_id: fc.option(fc.string()),
  timestamp: fc.constant('2026-11-21T10:00:00.000001Z'),
  properties: fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 3 }),
  source: fc.constant(null),
  schema_version: fc.constant(1),
})

const delivery = {
  topic: fc.constant('events'),
  partition: fc.nat(9),
  offset: fc.nat(1e6),
  previous: fc.integer({ min: -1, max: 1e6 }),
  matched: fc.array(fc.string(), { maxLength: 2 }),
  event,
}

const kind = <Type extends string>(type: Type) => ({ type: fc.constant(type) })

const frame = fc.oneof(
  fc.record({
    ...kind('hello'),
    session: fc.string(),
    subscriber: fc.option(fc.string()),
    filters: fc.array(fc.string()),
    position,
    dedupe: fc.constantFrom('exact', 'deferred'),
    heartbeat_ms: fc.integer({ min: 1, max: 60_000 }),
  }),
  fc.record({ ...kind('event'), ...delivery }),
  fc.record({ ...kind('batch'), events: fc.array(fc.record(delivery), { maxLength: 3 }) }),
  fc.record({
    ...kind('gap'),
    from: position,
    to: position,
    reason: fc.constantFrom('retention', 'epoch', 'dropped', 'corrupt'),
  }),
  fc.record({ ...kind('checkpoint'), position, previous: position }, { requiredKeys: ['type', 'position'] }),
  fc.record({ ...kind('lagging'), position }),
  fc.record({ ...kind('reconnect'), after_ms: fc.nat(60_000), reason: fc.constant('draining') }),
  fc.record({ ...kind('error'), code: fc.string(), detail: fc.string() }),
)

test('the name of the protocol is that of the protocol', () => {
  assert.equal(subprotocol, protocolName)
})

test('every frame of the protocol is read, with everything that it says', () => {
  fc.assert(
    fc.property(frame, (sent) => {
      assert.ok(serverFrameSchema.safeParse(sent).success, 'the arbitrary makes frames')
      const read = parseServerFrame(JSON.stringify(sent))
      assert.ok(read && read.type !== 'unknown')
      if (read.type === 'deliveries') {
        const deliveries = 'events' in sent ? sent.events : [sent]
        assert.deepEqual(JSON.parse(JSON.stringify(read.deliveries)), JSON.parse(JSON.stringify(deliveries)))
      } else assert.equal(read.type, sent.type)
    }),
  )
})

// Members that the client has no use for may be wrong without harm.
const unused = new Set([
  'session',
  'subscriber',
  'filters',
  'reason',
  'user_id',
  'timestamp',
  'properties',
  'source',
  'schema_version',
  'id',
])

test('a frame with a needed member missing or of another type is refused', () => {
  fc.assert(
    fc.property(
      frame,
      fc.nat(),
      fc.constantFrom(undefined, null, -7, 1.5, true, {}, ['x']),
      (sent, at, wrong) => {
        const members = Object.keys(sent).filter((name) => name !== 'type' && !unused.has(name))
        const name = members[at % members.length]
        fc.pre(name !== undefined)
        const damaged = { ...sent, [name]: wrong }
        const text = JSON.stringify(damaged)
        const isFrame = serverFrameSchema.safeParse(JSON.parse(text)).success
        if (!isFrame) assert.equal(parseServerFrame(text), undefined, text)
      },
    ),
  )
})

test('a kind of frame that is not known is passed over; what is no frame is refused', () => {
  for (const text of ['{"type":"weather"}', '{"type":"toString"}', '{"type":"__proto__"}'])
    assert.deepEqual(parseServerFrame(text), { type: 'unknown' })
  for (const text of ['', '{', '[]', 'null', '7', '"hello"', '{}', '{"type":7}'])
    assert.equal(parseServerFrame(text), undefined, text)
  assert.equal(parseServerFrame('{"type":"checkpoint","position":"events~1~0.5~wrong"}'), undefined)
})

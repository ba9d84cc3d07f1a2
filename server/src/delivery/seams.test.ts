import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { openServices } from '@pulse/dev/services'
import type { LogRecord } from '@pulse/log'
import { isControl } from '@pulse/log/control-record'
import { createMatchingIndex } from '../subscriptions/matching-index.ts'
import type { FilterChange, FilterVersion } from '../subscriptions/subscriptions.ts'
import type { Tree } from '../subscriptions/tree.ts'
import { DeliveryWorld, kindIs, Reader, until } from './delivery-world.ts'
import { createPlainEncoding, createV1Encoding, type Encoding } from './encoding.ts'
import type { Controls } from './live-feed.ts'
import { Scan } from './scan.ts'
import type { Session } from './session.ts'
import { Stream } from './stream.ts'
import type { Vector } from './vector.ts'

const services = await openServices(['postgres'])
after(() => services[Symbol.asyncDispose]())

const kindOf = ({ event }: LogRecord) => (event.properties as { kind: string }).kind

/** Control records of these types tell of these changes. */
function controlsOf(changes: Map<string, FilterChange>): Controls {
  return {
    isControl,
    changesOf: async ({ event }) => {
      const change = changes.get(event.event_type)
      return change ? [change] : []
    },
  }
}

const isLive = ({ state }: Session) => state.kind === 'read' && state.live

interface Wanted {
  readonly subscriber: string
  readonly versions: (subscriber: string) => Promise<readonly FilterVersion[]>
  readonly encoding?: Encoding
  readonly enforced?: Tree
  readonly ended?: () => void
}

/** A whole stream over the world's feed, and its reader, which stands where it begins. */
function openStream(world: DeliveryWorld, place: Vector, wanted: Wanted) {
  const reader = new Reader(world.slots, place)
  // What is no frame is not for it to judge.
  if (!wanted.encoding) world.readers.push(reader)
  const connection = Object.assign(reader, { name: 'websocket' as const, heartbeat() {}, onDrain() {} })
  const { live, replays, slots } = world
  const stream = new Stream({
    ...{ id: 'one', subscriber: wanted.subscriber, caller: null, connection },
    encoding: wanted.encoding ?? createV1Encoding(),
    ...(wanted.enforced && { enforced: wanted.enforced }),
    feed: { slots, live, replays, [Symbol.asyncDispose]: async () => {} },
    versions: wanted.versions,
    dirty: world.flusher.add,
    ended: wanted.ended ?? (() => {}),
    report: { delivered: () => {}, lagged: () => {}, gap: () => {} },
  })
  return { stream, reader, session: stream.session }
}

const first = (tree: Tree): FilterVersion => ({
  ...{ name: 'default', version: 1, tree, since: null, until: null, stored: [], ended: null },
})

/** Several lists of alternatives over members of their own: as many clauses as are asked for. */
const alternatives = (member: string, count: number): Tree => ({
  kind: 'any',
  of: Array.from({ length: count }, (_, n) => ({
    kind: 'some' as const,
    path: ['properties', n === 0 ? 'kind' : `${member}_${n}`],
    test: { kind: 'equals' as const, values: ['a'] },
  })),
})

for (const topicCount of [1, 3])
  describe(`at the seams of a stream over ${topicCount === 1 ? 'one topic' : `${topicCount} topics`}`, {
    skip: services.skip('postgres'),
  }, () => {
    const openWorld = (controls?: Controls) =>
      DeliveryWorld.open(services.address('postgres'), controls, topicCount)

    test('a slow reader that falls back behind a change of its filter gets what the old one matched', async () => {
      const changes = new Map<string, FilterChange>()
      await using world = await openWorld(controlsOf(changes))
      const start = world.live.scan.vector.slice()
      const { session, reader } = world.session(kindIs('a'), start)
      changes.set('pulse.changed', {
        ...{ subscriber: session.needs.subscriber ?? '', name: 'default', version: 2, filter: kindIs('b') },
      })
      world.live.adopt(session, start)
      reader.room = 1
      await world.write(1, ['a'])
      await until('it is full', () => reader.count() === 1)
      await world.write(400)
      const changed = await world.ended()
      await world.announce('changed')
      await world.writeUntil(() => session.state.kind === 'lagging')
      reader.room = Number.POSITIVE_INFINITY
      session.drained()
      const end = await world.ended()
      await until('live again', () => isLive(session))
      await until('the last event', () => !session.queuedBytes)
      const before = await world.truth(start, changed, (record) => kindOf(record) === 'a')
      const later = await world.truth(changed, end, (record) => kindOf(record) === 'b')
      assert.deepEqual(
        reader.offsets,
        before.map((offsets, slot) => [...offsets, ...(later[slot] ?? [])]),
      )
    })

    test('a change that comes while a stream begins in the past takes nothing from the past', async () => {
      const subscriber = 'begins'
      const changes = new Map<string, FilterChange>([
        ['pulse.other', { subscriber, name: 'other', version: 1, filter: kindIs('d') }],
      ])
      await using world = await openWorld(controlsOf(changes))
      const start = world.live.scan.vector.slice()
      await world.write(200)
      const changed = await world.ended()
      await world.write(200)
      const positions = world.slots.topics.map((topic) => ({
        ...{ topic: topic.name, epoch: topic.epoch, offsets: world.slots.offsets(changed, topic) },
      }))
      const { stream, reader, session } = openStream(world, start, {
        subscriber,
        versions: async () => {
          await world.announce('other')
          await world.ended()
          return [
            { ...first(kindIs('a')), until: positions },
            { ...first(kindIs('b')), version: 2, since: positions },
          ]
        },
      })
      assert.equal(await stream.begin(world.slots.format(start)), 'begun')
      await until('live', () => isLive(session))
      session.flush()
      const end = await world.ended()
      const before = await world.truth(start, changed, (record) => kindOf(record) === 'a')
      const later = await world.truth(changed, end, (record) => kindOf(record) === 'b')
      assert.deepEqual(
        reader.offsets,
        before.map((offsets, slot) => [...offsets, ...(later[slot] ?? [])]),
      )
    })

    test('a change that comes while a stream begins is met although the feed has forgotten it since', async () => {
      const subscriber = 'forgotten'
      const changes = new Map<string, FilterChange>([
        ['pulse.changed', { subscriber, name: 'default', version: 2, filter: kindIs('b') }],
      ])
      await using world = await openWorld(controlsOf(changes))
      let asked = 0
      const { stream, reader, session } = openStream(world, world.live.scan.vector, {
        subscriber,
        versions: async () => {
          if (asked++ > 0) return [{ ...first(kindIs('b')), version: 2 }]
          await world.announce('changed')
          for (let n = 0; n < 24; n++) await world.write(3_000)
          await world.ended()
          return [first(kindIs('a'))]
        },
      })
      assert.equal(await stream.begin(undefined), 'begun')
      const start = await world.ended()
      await world.write(40)
      const end = await world.ended()
      session.flush()
      assert.deepEqual(reader.offsets, await world.truth(start, end, (record) => kindOf(record) === 'b'))
    })

    test('a stored filter that is called like that of the connection does not end it', async () => {
      const subscriber = 'namesake'
      const changes = new Map<string, FilterChange>([
        ['pulse.stream', { subscriber, name: 'stream', version: 1, filter: kindIs('b') }],
      ])
      await using world = await openWorld(controlsOf(changes))
      const start = world.live.scan.vector.slice()
      const { stream, reader, session } = openStream(world, start, { subscriber, versions: async () => [] })
      assert.equal(await stream.begin(undefined, { own: kindIs('a') }), 'begun')
      await world.announce('stream')
      await world.write(40)
      const end = await world.ended()
      session.flush()
      assert.deepEqual(
        reader.offsets,
        await world.truth(start, end, (record) => 'ab'.includes(kindOf(record)) && !isControl(record)),
      )
    })

    test('a gap that is found while events wait is told behind them', async () => {
      await using world = await openWorld()
      const start = world.live.scan.vector.slice()
      const { session, reader } = world.session(kindIs('a', 'b', 'c', 'd'), start)
      world.live.adopt(session, start)
      reader.room = 1
      await world.write(1)
      await until('it is full', () => reader.count() === 1)
      await world.write(100)
      const lost = await world.ended()
      await world.write(100)
      const end = await world.ended()
      // As a replay does that meets a damaged batch.
      const to = lost.map((offset) => offset + 1_000)
      session.gap(world.slots.format(end), to, 'corrupt')
      assert.deepEqual(
        session.owedFrom()?.some((offset, slot) => offset > (end[slot] as number)),
        false,
      )
      reader.room = Number.POSITIVE_INFINITY
      session.drained()
      await until('everything', () => reader.count() === 201)
      assert.equal(reader.frames.at(-1)?.type, 'gap')
      assert.deepEqual(session.told, to)
    })

    test('a gap begins where the stream was told to stand, although nothing has matched on the way there', async () => {
      await using world = await openWorld()
      const start = world.live.scan.vector.slice()
      for (let n = 0; n < 200; n++) await world.write(400)
      await world.ended()
      await world.write(400, ['wanted'])
      const end = await world.ended()
      // Before what the feed remembers, and behind what a replay has read already.
      await world.damage(1, Math.floor((end[1] as number) / 5))
      const { session, reader } = world.session(kindIs('wanted'), start)
      world.replays.add(session, start)
      await until('the live feed', () => isLive(session))
      session.flush()
      const gaps = reader.frames.filter(({ type }) => type === 'gap')
      assert.deepEqual(
        gaps.map(({ reason }) => reason),
        ['corrupt'],
      )
      assert.ok(reader.count() > 0)
    })

    test('what a reader drops again and again is one gap from where it was told last', async () => {
      await using world = await openWorld()
      const start = world.live.scan.vector.slice()
      const { session, reader } = world.session(kindIs('a', 'b', 'c', 'd'), start)
      session.slow = 'drop-oldest'
      world.live.adopt(session, start)
      reader.room = 1
      await world.writeUntil(() => session.counted.gaps > 2)
      await world.ended()
      const told = world.slots.format(session.told)
      reader.room = Number.POSITIVE_INFINITY
      session.drained()
      await until('the newest', () => !session.queuedBytes)
      const gaps = reader.frames.filter(({ type }) => type === 'gap')
      assert.deepEqual(
        gaps.map(({ from }) => from),
        [told],
      )
    })

    test('a filter and that of the credential may be too wide together: both are asked, and nobody else suffers', async () => {
      await using world = await openWorld()
      const start = world.live.scan.vector.slice()
      await world.write(40)
      await world.ended()
      const wanted = {
        ...{ subscriber: 'wide', versions: async () => [first(alternatives('one', 30))] },
        enforced: { kind: 'all', of: [alternatives('other', 30), kindIs('a', 'b')] } as Tree,
      }
      const { stream, reader, session } = openStream(world, start, wanted)
      // Whether both fit is the index's to say, so it is asked.
      const { enforced } = wanted
      const both: Tree = { kind: 'all', of: [enforced, alternatives('one', 30)] }
      assert.throws(() => createMatchingIndex().add(0, both), { code: 'filter_too_wide' })
      assert.equal(await stream.begin(world.slots.format(start)), 'begun')
      assert.deepEqual(
        session.filters.map(({ guard }) => guard),
        [enforced],
      )
      const scan = new Scan({ slots: world.slots, vector: start.slice(), index: createMatchingIndex() })
      scan.join(session, start)
      scan.leave(session)
      await until('live', () => isLive(session))
      await world.write(40)
      const end = await world.ended()
      session.flush()
      assert.deepEqual(reader.offsets, await world.truth(start, end, (record) => kindOf(record) === 'a'))
    })

    test('a reader without words for a gap is sent away rather than led past it', async () => {
      await using world = await openWorld()
      const start = world.live.scan.vector.slice()
      for (let n = 0; n < 16; n++) await world.write(5_000)
      await world.ended()
      await world.damage(1)
      const { stream, reader, session } = openStream(world, start, {
        ...{ subscriber: 'plain', versions: async () => [first(kindIs('none'))] },
        encoding: createPlainEncoding(),
      })
      assert.equal(await stream.begin(world.slots.format(start), { strict: true }), 'begun')
      await until('its end', () => reader.closedWith !== undefined)
      assert.equal(reader.closedWith, 4410)
      assert.equal(session.state.kind, 'closed')
      assert.equal(world.live.scan.size, 0)
    })

    test('a stream that ends while a replay asks where the log begins does not come back to life', async () => {
      await using world = await openWorld()
      const start = world.live.scan.vector.slice()
      for (let n = 0; n < 16; n++) await world.write(5_000)
      const end = await world.ended()
      const { stream, session } = openStream(world, start, {
        ...{ subscriber: 'gone', versions: async () => [first(kindIs('a'))] },
      })
      await world.log.trim(world.topic, world.slots.offsets(end, world.slots.topics[0] as never))
      const range = world.live.range.bind(world.live)
      let asked = 0
      world.live.range = async () => {
        const answer = await range()
        // The first is that of `begin`, before the log was trimmed.
        if (asked++ > 0) stream.end(1000, 'gone')
        return asked === 1 ? { ...answer, start: start.slice() } : answer
      }
      assert.equal(await stream.begin(world.slots.format(start)), 'begun')
      await until('the question', () => asked > 1)
      // Who comes later is read for later.
      const later = world.session(kindIs('a'), end)
      world.replays.add(later.session, end)
      await until('the next one', () => isLive(later.session))
      world.live.scan.leave(later.session)
      assert.equal(session.state.kind, 'closed')
      assert.equal(world.live.scan.size, 0)
    })
  })

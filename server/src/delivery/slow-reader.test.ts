import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { openServices } from '@pulse/dev/services'
import { conflationKey } from './conflation.ts'
import { DeliveryWorld, kindIs, until } from './delivery-world.ts'
import { queueLimits } from './session.ts'

const services = await openServices(['postgres'])
after(() => services[Symbol.asyncDispose]())

/** Events that fill a queue: about 500 bytes each on it. */
const fullQueue = Math.ceil(queueLimits.bytesMax / 300)

describe('a reader that is too slow', { skip: services.skip('postgres') }, () => {
  test('loses its queue, never its place: after it has drained it gets every event once', async () => {
    await using world = await DeliveryWorld.open(services.address('postgres'))
    const start = world.live.scan.vector.slice()
    const { session, reader } = world.session(kindIs('a', 'b', 'c', 'd'), start)
    world.live.adopt(session, start)
    reader.room = 1
    const written = await world.writeUntil(() => session.state.kind === 'lagging')
    assert.ok(session.queuedBytes < 1_000, 'the memory is given back')
    const place = session.state.kind === 'lagging' ? session.state.place : start
    assert.equal(typeof world.live.times.since(place), 'number', 'it is known since when it is behind')
    assert.equal(world.live.times.since(world.live.scan.vector), undefined)
    reader.room = Number.POSITIVE_INFINITY
    session.drained()
    await until('live again', () => session.state.kind === 'read' && session.state.live)
    await world.write(1)
    const end = await world.ended()
    await until('the last event', () => reader.count() === written + 1)
    assert.deepEqual(reader.offsets, await world.truth(start, end, () => true))
    assert.ok(reader.frames.some(({ type }) => type === 'lagging'))
  })

  test('does not hold up the others, live or in a replay', async () => {
    await using world = await DeliveryWorld.open(services.address('postgres'))
    const start = world.live.scan.vector.slice()
    await world.write(fullQueue * 2)
    await until('a past', () => world.live.scan.vector.reduce((sum, each) => sum + each, 0) === fullQueue * 2)
    const slow = world.session(kindIs('a', 'b', 'c', 'd'), start)
    const quick = world.session(kindIs('a', 'b', 'c', 'd'), start)
    slow.reader.room = 1
    world.replays.add(slow.session, start)
    world.replays.add(quick.session, start)
    await until(
      'the quick one is live',
      () => quick.session.state.kind === 'read' && quick.session.state.live,
    )
    await until('it has everything', () => quick.reader.count() === fullQueue * 2)
    assert.ok(slow.reader.count() < fullQueue)
    assert.ok(slow.session.queuedBytes < queueLimits.bytesMax * 2, 'a replay waits instead of queueing all')
    slow.reader.room = Number.POSITIVE_INFINITY
    slow.session.drained()
    await until('the slow one has everything', () => slow.reader.count() === fullQueue * 2)
    assert.deepEqual(slow.reader.offsets, quick.reader.offsets)
  })

  test('that wants the newest is told the gap that the dropped ones leave', async () => {
    await using world = await DeliveryWorld.open(services.address('postgres'))
    const start = world.live.scan.vector.slice()
    const { session, reader } = world.session(kindIs('a', 'b', 'c', 'd'), start)
    session.slow = 'drop-oldest'
    world.live.adopt(session, start)
    reader.room = 1
    const written = await world.writeUntil(() => session.counted.gaps > 0)
    const end = await world.ended()
    reader.room = Number.POSITIVE_INFINITY
    session.drained()
    await until('the newest', () =>
      reader.offsets.every((of, slot) => of.at(-1) === (end[slot] as number) - 1),
    )
    const gap = reader.frames.find(({ type }) => type === 'gap')
    assert.equal(gap?.reason, 'dropped')
    assert.ok(reader.count() < written)
  })

  test('that conflates keeps the latest event of each key', async () => {
    await using world = await DeliveryWorld.open(services.address('postgres'))
    const start = world.live.scan.vector.slice()
    const { session, reader } = world.session(kindIs('a', 'b', 'c', 'd'), start)
    session.slow = 'conflate'
    session.conflateBy = conflationKey('/user_id')
    world.live.adopt(session, start)
    reader.room = 1
    await world.write(1)
    await until('it is full', () => reader.count() === 1)
    // Far more than a queue takes, of far fewer users.
    for (let n = 0; n < 5; n++) await world.write(fullQueue)
    await world.ended()
    assert.equal(session.state.kind, 'read')
    reader.room = Number.POSITIVE_INFINITY
    session.drained()
    await until('one of each of 97 users', () => reader.count() === 98)
    await world.write(10)
    await until('and then every event again', () => reader.count() === 108)
  })

  test('is closed with 4408 if it asked for that', async () => {
    await using world = await DeliveryWorld.open(services.address('postgres'))
    const start = world.live.scan.vector.slice()
    const { session, reader } = world.session(kindIs('a', 'b', 'c', 'd'), start)
    session.slow = 'close'
    world.live.adopt(session, start)
    reader.room = 1
    await world.writeUntil(() => reader.closedWith !== undefined)
    assert.equal(reader.closedWith, 4408)
    assert.equal(world.live.scan.size, 0)
  })

  test('that stands beyond the feed, because another server was faster, gets nothing again', async () => {
    await using world = await DeliveryWorld.open(services.address('postgres'))
    const start = world.live.scan.vector.slice()
    const place = start.map((offset) => offset + 2)
    const { session, reader } = world.session(kindIs('a', 'b', 'c', 'd'), place)
    world.replays.add(session, place)
    await until('live', () => session.state.kind === 'read' && session.state.live)
    await world.write(400)
    const end = await world.ended()
    await until('all of its own', () =>
      reader.offsets.every((of, slot) => of.at(-1) === (end[slot] as number) - 1),
    )
    assert.deepEqual(reader.offsets, await world.truth(place, end, () => true))
  })
})

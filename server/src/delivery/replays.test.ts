import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { openServices } from '@pulse/dev/services'
import { DeliveryWorld, kindIs, until } from './delivery-world.ts'
import type { Session } from './session.ts'

const services = await openServices(['postgres'])
after(() => services[Symbol.asyncDispose]())

const isLive = ({ state }: Session) => state.kind === 'read' && state.live

/** Writes more than the feed remembers. */
async function writePast(world: DeliveryWorld): Promise<void> {
  for (let n = 0; n < 24; n++) await world.write(3_000)
}

describe('replays that compete', { skip: services.skip('postgres') }, () => {
  test('readers that take little at a time do not keep the replays to themselves', async () => {
    await using world = await DeliveryWorld.open(services.address('postgres'))
    const start = world.live.scan.vector.slice()
    await writePast(world)
    await world.ended()
    const slow = Array.from({ length: 3 }, () => world.session(kindIs('a', 'b', 'c', 'd'), start))
    for (const { session, reader } of slow) {
      reader.room = 1
      world.replays.add(session, start)
      await until('it waits for its reader', () => reader.count() > 0 && !session.hasRoom)
    }
    const taking = setInterval(() => {
      for (const { session, reader } of slow) {
        reader.room = 1
        session.drained()
      }
    }, 200)
    try {
      const { session } = world.session(kindIs('none'), start)
      world.replays.add(session, start)
      await until('live', () => isLive(session))
      assert.ok(
        slow.every((one) => !isLive(one.session)),
        'the others are still far back',
      )
    } finally {
      clearInterval(taking)
    }
    for (const { session, reader } of slow) {
      reader.room = Number.POSITIVE_INFINITY
      session.drained()
    }
    await until('all live', () => slow.every((one) => isLive(one.session)))
    for (const { session } of slow) session.flush()
    const truth = await world.truth(start, world.live.scan.vector, () => true)
    for (const { reader } of slow) assert.deepEqual(reader.offsets, truth)
  })

  test('whoever was away for a moment does not wait for one who was away for long', async () => {
    await using world = await DeliveryWorld.open(services.address('postgres'))
    const start = world.live.scan.vector.slice()
    await writePast(world)
    await world.ended()
    const far = world.session(kindIs('a'), start)
    const place = world.live.scan.vector.map((offset) => offset - 3)
    const near = world.session(kindIs('a', 'b', 'c', 'd'), place)
    // What the other one had by the time that this one had everything; a look from outside might come late.
    let farThen: number | undefined
    near.reader.onWrite = () => {
      if (near.reader.count() === 3 * place.length) farThen ??= far.reader.count()
    }
    world.replays.add(far.session, start)
    world.replays.add(near.session, place)
    await until('both', () => isLive(far.session) && isLive(near.session))
    for (const { session } of [far, near]) session.flush()
    assert.ok(farThen !== undefined && farThen < 9_000, `${farThen} of 18,000 came before it`)
    assert.deepEqual(near.reader.offsets, await world.truth(place, world.live.scan.vector, () => true))
  })

  test('what only a reader that was left behind had to read is not read for the others', async () => {
    await using world = await DeliveryWorld.open(services.address('postgres'))
    const start = world.live.scan.vector.slice()
    await writePast(world)
    const end = await world.ended()
    // Beyond what is far back, but not in the feed's memory either.
    const place = end.map((offset) => Math.floor(offset / 3))
    const far = world.session(kindIs('a', 'b', 'c', 'd'), start)
    const other = world.session(kindIs('a'), place)
    far.reader.room = 1
    world.replays.add(far.session, start)
    world.replays.add(other.session, place)
    await until('live', () => isLive(other.session))
    other.session.flush()
    const truth = await world.truth(place, end, ({ event }) => event.properties.kind === 'a')
    assert.deepEqual(other.reader.offsets, truth)
    assert.equal(isLive(far.session), false)
    const wanted = end.reduce((sum, offset, slot) => sum + offset - (place[slot] as number), 0)
    await until('the count', () => world.replayed > 0)
    assert.ok(world.replayed < wanted + 20_000, `${world.replayed} of ${wanted} were read`)
  })

  test('over several topics nobody waits for the end of one to see the beginning of another', async () => {
    await using world = await DeliveryWorld.open(services.address('postgres'), undefined, 3)
    const start = world.live.scan.vector.slice()
    const [long, ...short] = world.slots.topics
    const [first = 0] = short.map((topic) => topic.first)
    for (let n = 0; n < 24; n++) await world.write(3_000, ['a'], long?.name)
    for (const { name } of short) await world.write(40, ['a'], name)
    // So that the feed does not remember the others either.
    for (let n = 0; n < 16; n++) await world.write(3_000, ['a'], long?.name)
    const end = await world.ended()
    const { session, reader } = world.session(kindIs('a'), start)
    world.replays.add(session, start)
    await until('live', () => isLive(session))
    session.flush()
    assert.deepEqual(reader.offsets, await world.truth(start, end, () => true))
    const before = reader.before.slice(first).filter((count) => count !== undefined)
    assert.ok(before.length > 0)
    for (const count of before) assert.ok(count < 60_000, `${count} of 120,000 came before it`)
  })
})

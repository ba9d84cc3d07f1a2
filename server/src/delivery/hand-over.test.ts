import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { openServices } from '@pulse/dev/services'
import type { LogRecord } from '@pulse/log'
import { DeliveryWorld, kindIs, until } from './delivery-world.ts'
import type { Vector } from './vector.ts'

const services = await openServices(['postgres'])
after(() => services[Symbol.asyncDispose]())

const random = (most: number) => Math.floor(Math.random() * (most + 1))

describe('from the past into the live feed', { skip: services.skip('postgres') }, () => {
  test('1,000 hand-overs under load leave no hole and no repeat', { timeout: 120_000 }, async () => {
    await using world = await DeliveryWorld.open(services.address('postgres'))
    const places: Vector[] = [world.live.scan.vector.slice()]
    let isWriting = true
    const writing = (async () => {
      while (isWriting) {
        await world.write(1 + random(20))
        places.push(world.live.scan.vector.slice())
      }
    })()
    await until('a past', () => places.length > 100)
    let left = 1_000
    const oneReader = async () => {
      while (left-- > 0) {
        const kind = 'abcd'[random(3)] as string
        // Mostly the near past, where the hand-over is all there is, and now and then the whole of it.
        const back = random(4) === 0 ? places.length - 1 : random(Math.min(30, places.length - 1))
        // Inside of batches too, not only between them.
        const place = (places[places.length - 1 - back] as Vector).map((offset) =>
          Math.max(0, offset - random(3)),
        )
        const { session, reader } = world.session(kindIs(kind), place)
        world.replays.add(session, place)
        await until('the live feed', () => session.state.kind === 'read' && session.state.live)
        const joined = world.live.scan.vector.slice()
        await until('news', () =>
          world.live.scan.vector.some((offset, slot) => offset > (joined[slot] as number) + 2),
        )
        const end = world.live.scan.vector.slice()
        session.flush()
        world.live.scan.leave(session)
        assert.deepEqual(reader.offsets, await world.truth(place, end, (record) => kindOf(record) === kind))
        await nextTurn()
      }
    }
    await Promise.all(Array.from({ length: 25 }, oneReader))
    isWriting = false
    await writing
    assert.deepEqual(world.failures, [])
  })

  test('a damaged batch is a gap in its partition alone, and the others go on', async () => {
    await using world = await DeliveryWorld.open(services.address('postgres'))
    const start = world.live.scan.vector.slice()
    // More than the feed remembers, so that the past is read from the log.
    for (let n = 0; n < 16; n++) await world.write(5_000)
    const end = await world.ended()
    await world.damage(1)
    const { session, reader } = world.session(kindIs('a'), start)
    world.replays.add(session, start)
    await until('the live feed', () => session.state.kind === 'read' && session.state.live)
    session.flush()
    const gap = reader.frames.find(({ type }) => type === 'gap')
    assert.equal(gap?.reason, 'corrupt')
    const truth = await world.truth(
      start.map((_, slot) => (slot === 1 ? (end[1] as number) : 0)),
      end,
      (record) => kindOf(record) === 'a',
    )
    assert.deepEqual(reader.offsets, truth)
  })
})

const kindOf = ({ event }: LogRecord) => (event.properties as { kind: string }).kind

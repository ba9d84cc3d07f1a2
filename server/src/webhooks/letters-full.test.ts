import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { DeliveryRecord } from '../delivery/delivery.ts'
import type { Outcome } from './attempts.ts'
import { type Letter, parkedOf } from './letter.ts'
import { Letters } from './letters.ts'

// What becomes of a webhook whose memory is full of the events of one key, or of what came behind one event.

const webhookId = '6f1a1b52-52c1-4d0c-9d0e-1f2b7a3c4d5e'

/** What letters look at of an event that came with the stream. */
const slots = {
  place: () => ({ topic: 'events', partition: 0 }),
  topics: [{ name: 'events', epoch: 1 }],
}

function letterOf(key: string, offset: number): Letter {
  const record = { slots, slot: 0, offset, record: { receivedAt: 0 } } as unknown as DeliveryRecord
  return { eventId: `${offset}`, key, body: () => '{}', from: { kind: 'stream', record } }
}

const redriven = (key: string): Letter => ({
  ...{ eventId: key, key, body: () => '{}' },
  from: { kind: 'redriven', id: key },
})

const answered = (status: number, retryAfterMs?: number): Outcome => ({
  kind: 'answered',
  ...{ status, retryAfterMs },
})

/** Letters to a receiver that answers as it is told; what it refuses is sent again at once. */
function openLetters(answer: (letter: Letter) => Promise<Outcome> | Outcome) {
  const counted = { taken: 0, failed: 0, parked: 0, dead: 0 }
  const count = (what: keyof typeof counted) => () => {
    counted[what]++
  }
  const letters = new Letters({
    ...{ concurrencyMax: 16, policy: { attemptsMax: 1_000, baseMs: 1, maxMs: 1 }, random: () => 0 },
    send: async (letter, signal) => {
      const aborted = new Promise<Outcome>((resolve) => {
        signal.addEventListener('abort', () => resolve({ kind: 'left' }), { once: true })
      })
      return await Promise.race([answer(letter), aborted])
    },
    ...{ taken: count('taken'), failed: count('failed') },
    park: async () => count('parked')(),
    bury: async () => count('dead')(),
    parked: (letter) => parkedOf(webhookId, letter),
    ...{ next: async () => [], blocked: () => {}, drained: () => {} },
    gone: () => assert.fail('no receiver wants no more'),
    unread: (error) => assert.fail(String(error)),
  })
  let offset = 0
  const end = async () => await letters.stop(0)
  return {
    ...{ letters, counted },
    /** The next so many events of the log are of this key. Whether there is room for more is asked after each write. */
    add: (key: string, events: number) => {
      for (let n = 0; n < events; n++) letters.add(letterOf(key, offset++))
      return letters.hasRoom
    },
    /** The first event that is not dealt with. */
    place: () => letters.lower(Float64Array.of(offset))[0],
    [Symbol.asyncDispose]: end,
  }
}

async function until(what: string, is: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!is()) {
    assert.ok(performance.now() < deadline, what)
    await nextTurn()
  }
}

test('a key that fills the memory before others come is blocked, although nothing else was taken', async () => {
  await using world = openLetters(({ key }) => answered(key === 'bad' ? 500 : 200))
  world.add('bad', 1_000)
  assert.equal(world.letters.hasRoom, false)
  await until('there is room again', () => world.letters.hasRoom)
  assert.equal(world.counted.parked, 1_000)
  world.add('good', 1)
  await until('another one is taken', () => world.counted.taken === 1)
  assert.equal(world.place(), 1_001)
})

test('so is one that had to wait for an hour before it filled the memory', async () => {
  await using world = openLetters(() => answered(500, 3_600_000))
  world.add('bad', 1)
  await until('it is refused', () => world.counted.failed === 1)
  world.add('bad', 999)
  assert.equal(world.letters.hasRoom, false)
  await until('there is room again', () => world.letters.hasRoom)
  assert.equal(world.counted.parked, 1_000)
})

test('an event behind which the most that may be was taken is blocked when it fails', async () => {
  let fail = () => {}
  const answer = new Promise<Outcome>((resolve) => {
    fail = () => resolve(answered(500))
  })
  await using world = openLetters(({ key }) => (key === 'slow' ? answer : answered(200)))
  world.add('slow', 1)
  for (let n = 1; n <= 20; n++) {
    world.add(`good_${n}`, 500)
    await until('the others are taken', () => world.counted.taken === n * 500)
  }
  assert.deepEqual([world.letters.hasRoom, world.place()], [false, 0])
  fail()
  await until('there is room again', () => world.letters.hasRoom)
  assert.deepEqual([world.counted.parked, world.place()], [1, 10_001])
})

const silent: Outcome = { kind: 'failed', failure: { errorClass: 'Connect', message: 'nobody is there' } }

for (const [what, outcome] of [
  ['without answers', silent],
  ['behind a proxy', answered(502)],
] as const)
  test(`an outage ${what} that fills the memory with several keys parks nothing`, async () => {
    await using world = openLetters(() => outcome)
    for (const key of ['a', 'b', 'c', 'd']) world.add(key, 250)
    assert.equal(world.letters.hasRoom, false)
    await until('they have failed often', () => world.counted.failed > 100)
    assert.deepEqual([world.letters.hasRoom, world.counted.parked], [false, 0])
    assert.equal(world.letters.stalled, undefined)
  })

test('several keys that are refused, and fill the memory before others come, hold up no other', async () => {
  await using world = openLetters(({ key }) => answered(key === 'good' ? 200 : 500))
  for (const key of ['a', 'b', 'c', 'd']) world.add(key, 250)
  assert.equal(world.letters.hasRoom, false)
  await until('there is room again', () => world.letters.hasRoom)
  world.add('good', 20)
  await until('the others are taken', () => world.counted.taken === 20)
  assert.equal(world.counted.dead, 0)
})

test('so do those that were refused often before the memory was full, and are tried again in an hour', async () => {
  const failures = new Map<string, number>()
  const answer = ({ key }: Letter) => {
    const before = failures.get(key) ?? 0
    failures.set(key, before + 1)
    return answered(500, before === 4 ? 3_600_000 : undefined)
  }
  await using world = openLetters(answer)
  for (const key of ['a', 'b', 'c', 'd']) world.add(key, 1)
  await until('all are refused five times', () => world.counted.failed === 20)
  for (const key of ['a', 'b', 'c', 'd']) world.add(key, 249)
  await until('there is room again', () => world.letters.hasRoom)
  assert.equal(world.counted.parked, 1_000)
})

test('of a receiver that refuses everything a tenth of what may be is parked, and no more before it takes some', async () => {
  await using world = openLetters(({ key }) => answered(key === 'good' ? 200 : 500))
  const { letters, counted } = world
  const keys = Array.from({ length: 20 }, (_, n) => `bad_${n}`)
  const isStalled = () => {
    // As the stream does: more comes only where there is room.
    for (const key of keys) if (letters.hasRoom) world.add(key, 50)
    return letters.stalled !== undefined
  }
  await until('it is stalled', isStalled)
  const { failed, parked } = counted
  assert.ok(parked >= 10_000 && parked <= 11_100, `${parked} are parked`)
  await until('they have failed often', () => counted.failed > failed + 200)
  assert.deepEqual([letters.hasRoom, counted.parked, counted.dead], [false, parked, 0])
  assert.match(letters.stalled ?? '', /^\d+ events wait behind keys that it does not take, and all others/)
  letters.add(redriven('good'))
  await until('there is room again', () => letters.hasRoom)
  assert.equal(letters.stalled, undefined)
})

test('what is too much of a blocked key waits in the log, unless others are taken: then it is dead letters', async () => {
  await using world = openLetters(({ key }) => answered(key === 'bad' ? 500 : 200))
  for (let n = 1; n <= 202; n++) {
    world.add('bad', 500)
    await nextTurn()
  }
  await until('all of it is parked', () => world.counted.parked === 101_000)
  assert.equal(world.letters.hasRoom, false)
  assert.equal(world.counted.dead, 0)
  world.letters.add(redriven('good'))
  await until('there is room again', () => world.letters.hasRoom)
  world.add('bad', 1)
  await until('it is a dead letter', () => world.counted.dead === 1)
  assert.equal(world.counted.parked, 101_000)
})

test('what is too much of a key that waits for an hour is no dead letter because others are taken, before it fails again', async () => {
  await using world = openLetters(({ key }) => (key === 'bad' ? answered(500, 3_600_000) : answered(200)))
  for (let n = 1; n <= 202; n++) {
    world.add('bad', 500)
    await nextTurn()
  }
  await until('all of it is parked', () => world.counted.parked === 101_000)
  world.letters.add(redriven('good'))
  await until('another one is taken', () => world.counted.taken === 1)
  world.add('bad', 1)
  await until('it is parked too', () => world.counted.parked === 101_001)
  assert.deepEqual([world.letters.hasRoom, world.counted.dead], [false, 0])
})

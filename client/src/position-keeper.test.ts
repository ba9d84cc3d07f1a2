import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PositionKeeper } from './position-keeper.ts'
import { memoryStore, storageStore } from './position-store.ts'
import { settled, TurnedClock } from './subscription-world.ts'

/** A keeper over a store that answers when it is told to. */
function openWorld() {
  const clock = new TurnedClock()
  const saves: string[] = []
  const told: string[] = []
  const answers: { resolve: () => void; reject: (error: Error) => void }[] = []
  const world = { position: 'p0', clock, saves, told, answers }
  const keeper = new PositionKeeper({
    store: {
      load: () => undefined,
      save: (position) => {
        saves.push(position)
        return new Promise((resolve, reject) => answers.push({ resolve, reject }))
      },
    },
    clock,
    saveMsMin: 100,
    position: () => world.position,
    saved: (position) => told.push(`saved ${position}`),
    failed: (error) => told.push(`failed ${(error as Error).message}`),
  })
  return {
    ...world,
    keeper,
    move: (to: string) => {
      world.position = to
      keeper.moved()
    },
  }
}

test('positions are saved one at a time, the latest one, and not too often', async () => {
  const { keeper, move, clock, saves, answers, told } = openWorld()
  for (const position of ['p1', 'p2', 'p3']) move(position)
  await clock.turn(100)
  assert.deepEqual(saves, ['p3'])
  move('p4')
  await clock.turn(1_000)
  assert.deepEqual(saves, ['p3'], 'the first save is still under way')
  answers[0]?.resolve()
  await settled()
  await clock.turn(100)
  assert.deepEqual(saves, ['p3', 'p4'])
  answers[1]?.resolve()
  await settled()
  assert.deepEqual(told, ['saved p3', 'saved p4'])
  keeper.moved()
  await clock.turn(1_000)
  assert.equal(saves.length, 2, 'it has not moved')
})

test('a save that fails is told and tried again later', async () => {
  const { move, clock, saves, answers, told } = openWorld()
  move('p1')
  await clock.turn(100)
  answers[0]?.reject(new Error('full'))
  await settled()
  await clock.turn(4_900)
  assert.equal(saves.length, 1)
  await clock.turn(100)
  assert.deepEqual([saves, told], [['p1', 'p1'], ['failed full']])
})

test('closing saves what stands, behind a save that is under way', async () => {
  const { keeper, move, clock, saves, answers } = openWorld()
  move('p1')
  await clock.turn(100)
  move('p2')
  const closing = keeper.close()
  answers[0]?.resolve()
  await settled()
  assert.deepEqual(saves, ['p1', 'p2'])
  answers[1]?.resolve()
  await closing
  move('p3')
  await clock.turn(10_000)
  assert.equal(saves.length, 2)
})

test('stores give back what they were given', async () => {
  const memory = memoryStore('p1')
  assert.equal(memory.load(), 'p1')
  memory.save('p2')
  assert.equal(memory.load(), 'p2')
  const kept = new Map<string, string>()
  const storage = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
  }
  assert.equal(storageStore(storage, 'a').load(), undefined)
  storageStore(storage, 'a').save('p3')
  assert.deepEqual([storageStore(storage, 'a').load(), storageStore(storage, 'b').load()], ['p3', undefined])
})

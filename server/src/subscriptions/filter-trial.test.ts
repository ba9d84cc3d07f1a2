import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { openServices } from '@pulse/dev/services'
import { FilterTrials, type Trial } from './filter-trial.ts'
import { FiltersWorld } from './subscriptions-world.ts'
import type { Tree } from './tree.ts'

const services = await openServices(['postgres'])
after(() => services[Symbol.asyncDispose]())
const skip = services.skip('postgres')

const ofUser = (...values: string[]): Tree => ({
  kind: 'some',
  path: ['user_id'],
  test: { kind: 'equals', values },
})
const anything: Tree = { kind: 'some', path: ['event_type'], test: { kind: 'exists' } }
const now = () => Date.now() * 1_000
const hour = 3_600_000_000
const trialOf = (tree: Tree, more: Partial<Trial> = {}): Trial => ({
  ...{ tree, from: now() - hour, to: now() + 1_000_000, eventTypes: undefined, sampleMax: 3 },
  ...more,
})

/** Forty events, one after the other, in all partitions of both topics. */
async function filledWorld() {
  const world = await FiltersWorld.open(services.address('postgres'))
  const topics = world.topics.map(({ name }) => name)
  for (let n = 0; n < 40; n++) await world.send(topics[n % 2] ?? '', `u${n}`)
  return { world, topics }
}

test('a trial looks at all that was kept in its time, in every topic, and shows the newest of what it finds', {
  skip,
}, async () => {
  const { world, topics } = await filledWorld()
  await using _ = world
  const trials = new FilterTrials({ log: world.log, topics, limits: { stepRecords: 2 } })
  const all = await trials.run(trialOf(anything))
  assert.deepEqual([all.matched, all.records, all.stoppedBy], [40, 40, null])
  assert.deepEqual(
    all.sample.map(({ event }) => event.user_id),
    ['u39', 'u38', 'u37'],
  )
  // The log is younger than an hour: a rate over the hour would be too low.
  assert.ok(all.spanMicros < hour / 2)
  const some = await trials.run(trialOf(ofUser('u3', 'u20', 'nobody')))
  assert.deepEqual([some.matched, some.records], [2, 40])
  assert.equal((await trials.run(trialOf(anything, { to: now() - hour / 2 }))).records, 0)
  assert.equal((await trials.run(trialOf(anything, { eventTypes: new Set(['click']) }))).matched, 0)
})

test('a trial that may not look at everything looks at the newest, and says how far back it came', {
  skip,
}, async () => {
  const { world, topics } = await filledWorld()
  await using _ = world
  const trials = new FilterTrials({ log: world.log, topics, limits: { stepRecords: 2, recordsMax: 20 } })
  const result = await trials.run(trialOf(anything, { sampleMax: 100 }))
  assert.equal(result.stoppedBy, 'records')
  assert.ok(result.records >= 20 && result.records < 30, `${result.records}`)
  // Nothing that was kept since then is missing.
  const complete = await new FilterTrials({ log: world.log, topics }).run(
    trialOf(anything, { from: result.lookedFrom, sampleMax: 100 }),
  )
  const found = new Set(result.sample.map(({ position }) => position))
  assert.ok(complete.records > 5)
  assert.deepEqual(
    complete.sample.filter(({ position }) => !found.has(position)),
    [],
  )
  const hasty = new FilterTrials({ log: world.log, topics, limits: { msMax: 0 } })
  assert.equal((await hasty.run(trialOf(anything))).stoppedBy, 'time')
})

test('trials wait for each other, and only so many', { skip }, async () => {
  const { world, topics } = await filledWorld()
  await using _ = world
  const trials = new FilterTrials({ log: world.log, topics, limits: { waitingMax: 2 } })
  const results = await Promise.allSettled(Array.from({ length: 5 }, () => trials.run(trialOf(anything))))
  assert.deepEqual(
    results.map((each) => (each.status === 'fulfilled' ? each.value.matched : each.reason.code)),
    [40, 40, 40, 'query_timeout', 'query_timeout'],
  )
})

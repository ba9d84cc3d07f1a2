import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import { openServices } from '@pulse/dev/services'
import { nameFilterSuite } from './name-filter.suite.ts'
import type { RedisBitmap } from './redis-bitmap.ts'
import { askOnce, bitmapDefaults, openWorld } from './redis-world.ts'

const services = await openServices(['redis'])
after(() => services[Symbol.asyncDispose]())
const skip = services.skip('redis')
const redis = (...command: readonly string[]) => askOnce(services.address('redis'), command)

/** A verified bitmap under a key of its own, which is deleted at the end. */
async function openVerified(names: readonly string[] = [], size: { bits?: number; hashes?: number } = {}) {
  await using stack = new AsyncDisposableStack()
  const key = `names-${randomUUID()}`
  stack.defer(async () => void (await redis('DEL', key, `${key}:verified`)))
  const world = stack.use(await openWorld({ url: services.address('redis'), key, ...size }))
  const rebuild = await world.bitmap.begin()
  await rebuild.add(names)
  const verification = await rebuild.verify()
  const all = stack.move()
  return { ...world, key, verification, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

nameFilterSuite(
  'Redis',
  async () => {
    const { bitmap, [Symbol.asyncDispose]: end } = await openVerified()
    return { has: (keys) => bitmap.has(keys), add: (keys) => bitmap.add(keys), [Symbol.asyncDispose]: end }
  },
  { skip },
)

test('BF-07 BF-08 BF-09 names set the seven published bits of one key of plain bits, 1,250,000 bytes long', {
  skip,
}, async () => {
  await using world = await openVerified()
  const { bitmap, key } = world
  await bitmap.add(['Dorthy71'])
  for (const position of [7709515, 2340251, 1024916, 9655269, 4322003, 6097314, 3814352])
    assert.equal(await redis('GETBIT', key, String(position)), 1)
  const { setBits, bytes } = await bitmap.stats()
  // 128 bits belong to the mark of the verification.
  assert.equal(setBits, 128 + 7)
  assert.equal(bytes, 1_250_000)
  assert.equal(await redis('STRLEN', key), 1_250_000)
  assert.equal(await redis('TYPE', key), 'string')
  // What the allocator gives for it is the next of its sizes, 1.25 MiB, and not room for a bitmap that grows.
  const memory = Number(await redis('MEMORY', 'USAGE', key))
  assert.ok(memory <= 1.25 * 1_024 * 1_024 + 256, `the key takes ${memory} bytes`)
})

test('BF-08 the key stays as long and as large when names are added by thousands', { skip }, async () => {
  await using world = await openVerified()
  await world.bitmap.add(Array.from({ length: 20_000 }, (_, index) => `name ${index}`))
  assert.equal(await redis('STRLEN', world.key), 1_250_000)
  const memory = Number(await redis('MEMORY', 'USAGE', world.key))
  assert.ok(memory <= 1.25 * 1_024 * 1_024 + 256, `the key takes ${memory} bytes`)
  const keys = await redis('KEYS', `${world.key}*`)
  assert.deepEqual(Array.isArray(keys) && keys.sort(), [world.key, `${world.key}:verified`])
})

test('BF-05 a name whose seven bits another program has set is a maybe, with six of them it is not', {
  skip,
}, async () => {
  await using world = await openVerified()
  const alice = [7177893, 2799821, 6211380, 7006767, 4580678, 5823032, 1620776]
  for (const position of alice) {
    assert.deepEqual(await world.bitmap.has(['alice']), [false])
    await redis('SETBIT', world.key, String(position), '1')
  }
  assert.deepEqual(await world.bitmap.has(['alice']), [true])
})

test('names that are added together by either way set the same bits, and keep those of other programs', {
  skip,
}, async () => {
  const names = Array.from({ length: 6_000 }, (_, index) => `someone ${index}`)
  await using together = await openVerified()
  await using apart = await openVerified()
  for (const { key } of [together, apart]) await redis('SETBIT', key, '4242', '1')
  await together.bitmap.add(names)
  for (let from = 0; from < names.length; from += 500) await apart.bitmap.add(names.slice(from, from + 500))
  for (const { bitmap } of [together, apart]) assert.equal((await bitmap.has(names)).indexOf(false), -1)
  // Each has its own mark of 128 bits; with the other's as well, both must be the same to the last bit.
  const places = Math.floor((bitmapDefaults.bits - 128) / 8) + 1
  for (const { verification } of [together, apart]) {
    const at = (Number.parseInt(verification.sentinel.slice(0, 12), 16) % places) * 8
    const mark = ['SET', 'i64', String(at), '-1', 'SET', 'i64', String(at + 64), '-1']
    for (const { key } of [together, apart]) await redis('BITFIELD', key, ...mark)
  }
  const difference = `${together.key}:difference`
  await redis('BITOP', 'XOR', difference, together.key, apart.key)
  assert.equal(await redis('BITCOUNT', difference), 0)
  assert.equal(await redis('GETBIT', together.key, '4242'), 1)
  await redis('DEL', difference)
})

test('other sizes and numbers of positions than the default work, and are told by the statistics', {
  skip,
}, async () => {
  await using world = await openVerified([], { bits: 100_003, hashes: 3 })
  await world.bitmap.add(Array.from({ length: 1_000 }, (_, index) => `name ${index}`))
  const stats = await world.bitmap.stats()
  assert.equal(stats.bytes, 12_501)
  assert.ok(Math.abs(stats.namesEstimated - 1_000) < 80, `${stats.namesEstimated} names are estimated`)
  assert.ok(stats.fill > 0.02 && stats.fill < 0.04)
  assert.equal(stats.falsePositiveRate, stats.fill ** 3)
})

test('a key that is not a bitmap is an outage and not an answer', { skip }, async () => {
  await using world = await openVerified(['alice'])
  await redis('DEL', world.key)
  await redis('HSET', world.key, 'field', 'value')
  await assert.rejects(world.bitmap.has(['alice']), { name: 'BitmapUnavailable', reason: 'refused' })
  await assert.rejects(world.bitmap.begin(), { name: 'BitmapUnavailable', reason: 'refused' })
})

test('a bitmap without a free bit is not rebuilt: nothing could prove that it was not lost', {
  skip,
}, async () => {
  await using world = await openVerified([], { bits: 65_536 })
  await redis('EVAL', "return redis.call('SET', KEYS[1], string.rep('\\255', 8192))", '1', world.key)
  await assert.rejects(world.bitmap.begin(), {
    name: 'BitmapUnavailable',
    reason: 'refused',
    message: /full/,
  })
})

test('after the end nothing is answered, and a second end does nothing', { skip }, async () => {
  const world = await openVerified(['alice'])
  await world[Symbol.asyncDispose]()
  await assert.rejects(world.bitmap.has(['alice']), { name: 'BitmapUnavailable', reason: 'closed' })
  await world.bitmap[Symbol.asyncDispose]()
})

test('BF-28 with 1,000,000 names in Redis 0.6 to 1.1 % of other names are a maybe, as the statistics expect', {
  skip,
}, async (t) => {
  await using world = await openVerified()
  const { bitmap } = world
  const count = 1_000_000
  await addNames(bitmap, count)
  const sample = Array.from({ length: 20_000 }, (_, index) => `name ${index * 50}`)
  assert.equal((await bitmap.has(sample)).indexOf(false), -1)

  const asked = 200_000
  let maybes = 0
  for (let from = 0; from < asked; from += 10_000) {
    const others = Array.from({ length: 10_000 }, (_, index) => `other ${from + index}`)
    maybes += (await bitmap.has(others)).filter(Boolean).length
  }
  const rate = maybes / asked
  t.diagnostic(`measured ${(rate * 100).toFixed(3)} %`)
  assert.ok(rate >= 0.006 && rate <= 0.011, `${(rate * 100).toFixed(3)} % are a maybe`)
  const stats = await bitmap.stats()
  assert.ok(
    Math.abs(stats.falsePositiveRate - rate) < 0.001,
    `${stats.falsePositiveRate} was expected, not ${rate}`,
  )
  assert.ok(
    Math.abs(stats.namesEstimated - count) < 0.005 * count,
    `${stats.namesEstimated} names are estimated`,
  )
})

async function addNames(bitmap: RedisBitmap, count: number): Promise<void> {
  const pieceNames = 250_000
  for (let from = 0; from < count; from += pieceNames)
    await bitmap.add(Array.from({ length: pieceNames }, (_, index) => `name ${from + index}`))
}

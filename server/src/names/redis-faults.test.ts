import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '@pulse/dev/services/eventually'
import { freePort } from '@pulse/dev/services/places'
import type { RedisBitmap } from './redis-bitmap.ts'
import {
  bitmapDefaults,
  type OwnRedis,
  openMovingAddress,
  openOwnRedis,
  openWorld,
  skipWithoutRedis,
} from './redis-world.ts'

const skip = await skipWithoutRedis()
const { key } = bitmapDefaults
const names = ['Dorthy71', 'MayurDev', 'alice']
const there = names.map(() => true)
const unverified = { name: 'BitmapUnavailable', reason: 'unverified' }

async function rebuild(bitmap: RedisBitmap, keys: readonly string[] = names) {
  const filling = await bitmap.begin()
  await filling.add(keys)
  return filling.verify()
}

const comesTo = (bitmap: RedisBitmap, kind: RedisBitmap['state']['kind']) =>
  eventually(
    `the bitmap is ${kind}`,
    async () => (bitmap.state.kind === kind ? bitmap.state : undefined),
    20_000,
  )

/** A Redis of its own with a verified bitmap of three names in it. */
async function openDamageable() {
  await using stack = new AsyncDisposableStack()
  const redis = stack.use(await openOwnRedis())
  const world = stack.use(await openWorld({ url: redis.url }))
  const verification = await rebuild(world.bitmap)
  const all = stack.move()
  return { redis, ...world, verification, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

test('without Redis it opens, says so once in many attempts, and comes when Redis comes', {
  skip,
}, async () => {
  await using redis = await openOwnRedis({ started: false })
  await using address = await openMovingAddress(await freePort())
  await using world = await openWorld({ url: address.url })
  await eventually('some attempts', async () => (address.connections() > 3 ? true : undefined), 20_000)
  await assert.rejects(world.bitmap.has(['alice']), unverified)
  await assert.rejects(world.bitmap.begin(), { name: 'BitmapUnavailable', reason: 'away' })
  await assert.rejects(world.bitmap.add(['alice']), { name: 'BitmapUnavailable', reason: 'away' })
  assert.equal(world.lines.filter(({ msg }) => msg.includes('away')).length, 1)

  await redis.start()
  address.moveTo(redis.port)
  await comesTo(world.bitmap, 'unverified')
  await rebuild(world.bitmap)
  assert.deepEqual(await world.bitmap.has([...names, 'nobody']), [...there, false])
  assert.deepEqual(
    world.states.map(({ kind }) => kind),
    ['away', 'unverified', 'verified'],
  )
})

const damages: readonly { what: string; with: (redis: OwnRedis) => Promise<unknown> }[] = [
  { what: 'FLUSHALL', with: (redis) => redis.ask('FLUSHALL') },
  { what: 'the bitmap deleted', with: (redis) => redis.ask('DEL', key) },
  { what: 'the sentinel deleted', with: (redis) => redis.ask('DEL', `${key}:verified`) },
  {
    what: 'the bitmap deleted, and bits in it again to the same length',
    with: async (redis) => {
      await redis.ask('DEL', key)
      await redis.ask('SETBIT', key, '9999999', '1')
    },
  },
  {
    what: 'the bitmap shorter by a byte',
    with: (redis) =>
      redis.ask(
        'EVAL',
        "return redis.call('SET', KEYS[1], redis.call('GETRANGE', KEYS[1], 0, -2))",
        '1',
        key,
      ),
  },
  {
    what: 'the bitmap overwritten by one as long',
    with: (redis) =>
      redis.ask('EVAL', "return redis.call('SET', KEYS[1], string.rep('a', 1250000))", '1', key),
  },
  {
    what: 'the bitmap run out of time',
    with: async (redis) => {
      await redis.ask('PEXPIRE', key, '1')
      await eventually(
        'it is gone',
        async () => ((await redis.ask('EXISTS', key)) === 0 ? true : undefined),
        20_000,
      )
    },
  },
]

for (const damage of damages)
  test(`after ${damage.what} the very next question and name are refused, and a rebuild heals it`, {
    skip,
  }, async () => {
    await using world = await openDamageable()
    const { bitmap, redis } = world
    assert.deepEqual(await bitmap.has([...names, 'nobody']), [...there, false])
    await damage.with(redis)
    await assert.rejects(bitmap.has(names), unverified)
    await assert.rejects(bitmap.add(['another']), unverified)
    assert.equal(bitmap.state.kind, 'unverified')
    await rebuild(bitmap)
    assert.deepEqual(await bitmap.has([...names, 'nobody']), [...there, false])
  })

test('damage is noticed while nobody asks', { skip }, async () => {
  await using world = await openDamageable()
  await world.redis.ask('FLUSHALL')
  await comesTo(world.bitmap, 'unverified')
  // By a look, and not because the connection was lost for want of traffic and came again.
  assert.deepEqual(
    world.states.map(({ kind }) => kind),
    ['verified', 'unverified'],
  )
})

test('while Redis is killed and started again, empty, no name is ever said to be free', {
  skip,
}, async () => {
  await using world = await openDamageable()
  const { bitmap, redis } = world
  const asking = { ended: false, answered: 0, refused: new Map<string, number>() }
  const ask = async () => {
    while (!asking.ended)
      try {
        assert.deepEqual(await bitmap.has(names), there)
        asking.answered++
      } catch (error) {
        if (!(error instanceof Error && 'reason' in error)) throw error
        asking.refused.set(String(error.reason), (asking.refused.get(String(error.reason)) ?? 0) + 1)
        // A refusal is an answer at once; without a turn in between, this loop would be all that runs.
        await new Promise((turn) => setImmediate(turn))
      }
  }
  const askers = [ask(), ask(), ask()]
  await eventually('answers', async () => (asking.answered > 100 ? true : undefined), 20_000)
  await redis.kill()
  await comesTo(bitmap, 'away')
  await redis.start()
  await comesTo(bitmap, 'unverified')
  await eventually(
    'refusals',
    async () => ((asking.refused.get('unverified') ?? 0) > 10 ? true : undefined),
    20_000,
  )
  asking.ended = true
  await Promise.all(askers)
  assert.ok((asking.refused.get('away') ?? 0) > 0)
  await rebuild(bitmap)
  assert.deepEqual(await bitmap.has(names), there)
})

test('a Redis that was started again from an old file does not count, although mark and sentinel are in it', {
  skip,
}, async () => {
  await using world = await openDamageable()
  const { bitmap, redis, verification } = world
  await redis.ask('SAVE')
  await bitmap.add(['later'])
  assert.deepEqual(await bitmap.has(['later']), [true])
  await redis.kill()
  await comesTo(bitmap, 'away')
  await redis.start()
  assert.equal(await redis.ask('GET', `${key}:verified`), verification.sentinel)
  assert.equal(await redis.ask('STRLEN', key), 1_250_000)
  assert.equal(await redis.ask('GETBIT', key, '7709515'), 1)
  await comesTo(bitmap, 'unverified')
  await assert.rejects(bitmap.has(['later']), unverified)
  await rebuild(bitmap, [...names, 'later'])
  assert.deepEqual(await bitmap.has(['later', ...names]), [true, ...there])
})

test('a replica does not count, nor when it is promoted and lacks a name; the old master counts again', {
  skip,
}, async () => {
  await using master = await openOwnRedis()
  await using replica = await openOwnRedis()
  await using address = await openMovingAddress(master.port)
  await using world = await openWorld({ url: address.url })
  const { bitmap } = world
  // Before the rebuild: a master takes a new replication id when it gets its first replica.
  await replica.ask('REPLICAOF', '127.0.0.1', String(master.port))
  const connected = async () =>
    /state=online/.test(String(await master.ask('INFO', 'replication'))) ? true : undefined
  await eventually('the replica is connected', connected, 20_000)
  const { sentinel } = await rebuild(bitmap)
  const copied = async () => ((await replica.ask('GET', `${key}:verified`)) === sentinel ? true : undefined)
  await eventually('the replica has the bitmap', copied, 20_000)
  const refused = (why: RegExp) =>
    eventually(
      'a refusal',
      async () => (bitmap.state.kind === 'unverified' && why.test(bitmap.state.why) ? true : undefined),
      20_000,
    )

  address.moveTo(replica.port)
  await refused(/replica/)
  await assert.rejects(bitmap.has(names), unverified)
  await assert.rejects(bitmap.begin(), { name: 'BitmapUnavailable', reason: 'refused' })

  address.moveTo(master.port)
  await comesTo(bitmap, 'verified')
  assert.deepEqual(await bitmap.has(names), there)

  await replica.ask('REPLICAOF', 'NO', 'ONE')
  await bitmap.add(['later'])
  address.moveTo(replica.port)
  await refused(/replication id/)
  await assert.rejects(bitmap.has(['later']), unverified)
  await rebuild(bitmap, [...names, 'later'])
  assert.deepEqual(await bitmap.has(['later', ...names]), [true, ...there])
})

test('a master that becomes a replica of another and is promoted again does not count', {
  skip,
}, async () => {
  await using world = await openDamageable()
  await using other = await openOwnRedis()
  const { redis, bitmap } = world
  await redis.ask('REPLICAOF', '127.0.0.1', String(other.port))
  await redis.ask('REPLICAOF', 'NO', 'ONE')
  await assert.rejects(bitmap.has(names), unverified)
})

test('a Redis that does not answer is given up in bounded time, and counts again when it does', {
  skip,
}, async () => {
  await using redis = await openOwnRedis()
  await using world = await openWorld({ url: redis.url, askMsMax: 2_000, writeMsMax: 2_000 })
  const { bitmap, lines, metrics } = world
  await rebuild(bitmap)
  redis.freeze()
  const slow = { name: 'BitmapUnavailable', reason: 'slow' }
  await assert.rejects(bitmap.has(names), slow)
  // It owes an answer: nobody waits behind that, and nothing piles up.
  for (let more = 0; more < 1_000; more++) await assert.rejects(bitmap.has(names), slow)
  await assert.rejects(bitmap.add(['another']), slow)
  assert.equal(bitmap.state.kind, 'away')
  redis.thaw()
  await comesTo(bitmap, 'verified')
  const again = () => bitmap.has(names).catch(() => undefined)
  assert.deepEqual(await eventually('an answer', again, 20_000), there)
  assert.equal(lines.filter(({ msg }) => msg.includes('away')).length, 1)
  assert.match(await metrics.metrics(), /pulse_names_bitmap_unavailable_total\{reason="slow"\} 10\d\d/)
})

test('a Redis that stays silent loses its connection, and the next one is used', { skip }, async () => {
  await using frozen = await openOwnRedis()
  await using address = await openMovingAddress(frozen.port)
  await using world = await openWorld({ url: address.url, askMsMax: 2_000 })
  await rebuild(world.bitmap)
  frozen.freeze()
  await comesTo(world.bitmap, 'away')
  const connections = address.connections()
  const another = async () => (address.connections() > connections ? true : undefined)
  await eventually('a new connection', another, 20_000)
  frozen.thaw()
  await comesTo(world.bitmap, 'verified')
})

test('a rebuild during which Redis lost bits is refused, and does not take the place of a good one', {
  skip,
}, async () => {
  await using world = await openDamageable()
  const { bitmap, redis } = world
  const filling = await bitmap.begin()
  await filling.add(['Dorthy71'])
  await redis.ask('FLUSHALL')
  await assert.rejects(filling.add(['MayurDev']), unverified)
  await assert.rejects(filling.verify(), unverified)
  assert.equal(await redis.ask('EXISTS', `${key}:verified`), 0)

  await using second = await openWorld({ url: redis.url })
  const late = await second.bitmap.begin()
  await late.add(names)
  await redis.ask('DEL', key)
  const good = await rebuild(bitmap)
  await assert.rejects(late.verify(), unverified)
  assert.equal(await redis.ask('GET', `${key}:verified`), good.sentinel)
  assert.deepEqual(await bitmap.has(names), there)
})

test('a name that another process adds while one rebuilds is there when that has verified', {
  skip,
}, async () => {
  await using redis = await openOwnRedis()
  await using one = await openWorld({ url: redis.url })
  await using other = await openWorld({ url: redis.url })
  const filling = await one.bitmap.begin()
  await assert.rejects(other.bitmap.add(['claimed meanwhile']), unverified)
  const many = Array.from({ length: 3_000 }, (_, index) => `claimed ${index}`)
  await assert.rejects(other.bitmap.add(many), unverified)
  await filling.add(names)
  await filling.verify()
  assert.deepEqual(await one.bitmap.has(['claimed meanwhile', ...names]), [true, ...there])
  assert.equal((await one.bitmap.has(many)).indexOf(false), -1)
})

test('what one process has verified counts in another that adopts it, until it is lost for both', {
  skip,
}, async () => {
  await using world = await openDamageable()
  await using other = await openWorld({ url: world.redis.url })
  await assert.rejects(other.bitmap.has(names), unverified)
  const wrong = { ...world.verification, replicationId: '0'.repeat(40) }
  assert.equal((await other.bitmap.adopt(wrong)).kind, 'unverified')
  assert.equal((await other.bitmap.adopt(world.verification)).kind, 'verified')
  await other.bitmap.add(['of the other'])
  assert.deepEqual(await world.bitmap.has(['of the other', 'nobody']), [true, false])

  const next = await rebuild(world.bitmap)
  await assert.rejects(other.bitmap.has(names), unverified)
  assert.equal((await other.bitmap.adopt(next)).kind, 'verified')
  await world.redis.ask('FLUSHALL')
  for (const { bitmap } of [world, other]) await assert.rejects(bitmap.has(names), unverified)
})

test('statistics that find fewer bits than before end the belief of every process', { skip }, async () => {
  await using world = await openDamageable()
  await using other = await openWorld({ url: world.redis.url })
  await other.bitmap.adopt(world.verification)
  await world.redis.ask('COPY', key, 'copy')
  await world.bitmap.add(['later'])
  assert.equal((await world.bitmap.stats()).setBits, 128 + 4 * 7)
  await world.redis.ask('COPY', 'copy', key, 'REPLACE')
  await world.bitmap.stats()
  for (const { bitmap } of [world, other]) await assert.rejects(bitmap.has(['later']), unverified)

  // The next verification is another matter: fewer bits than before it are no reason to doubt it.
  await world.redis.ask('FLUSHALL')
  const next = await rebuild(other.bitmap, ['alice'])
  await world.bitmap.stats()
  assert.equal((await world.bitmap.adopt(next)).kind, 'verified')
  await world.bitmap.stats()
  assert.deepEqual(await world.bitmap.has(['alice', 'later']), [true, false])
})

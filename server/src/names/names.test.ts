import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { openServices, type Services } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { createClient } from 'redis'
import { namesTopic } from './hash-records.ts'
import { type NamesWorld, type OpenedNames, openNamesWorld } from './names-world.ts'
import { SaltedPositions } from './salted-positions.ts'

let services: Services
let world: NamesWorld
before(async () => {
  services = await openServices(['postgres', 'redis'])
  world = await openNamesWorld(services.address('postgres'))
})
after(async () => {
  await world[Symbol.asyncDispose]()
  await services[Symbol.asyncDispose]()
})

const claim = (names: OpenedNames, username: string, idempotencyKey?: string) =>
  names.claim({ username, owner: undefined, claimedBy: 'key-1', idempotencyKey })

/** The statements that one call sent. */
async function counting<T>(work: () => Promise<T> | T): Promise<{ result: T; sent: number }> {
  const before = world.statements.length
  const result = await work()
  return { result, sent: world.statements.length - before }
}

describe('names of one server', () => {
  let names: OpenedNames
  before(async () => {
    names = await world.open()
  })

  test('BF-03 a name of which a bit is missing is free without any statement', async () => {
    const { result, sent } = await counting(() => names.check('nobody-yet'))
    assert.deepEqual(result, { available: true, username: 'nobody-yet' })
    assert.equal(sent, 0)
  })

  test('BF-04 a name whose bits are all set costs exactly one statement', async () => {
    assert.equal((await claim(names, 'ada')).kind, 'claimed')
    const { result, sent } = await counting(() => names.check('ada'))
    assert.deepEqual(result, { available: false, username: 'ada', source: 'PostgreSQL' })
    assert.equal(sent, 1)
  })

  test('BF-10 a name whose row is gone is free again, though its bits are still set', async () => {
    await claim(names, 'grace')
    assert.equal(await names.release('grace'), true)
    const { result, sent } = await counting(() => names.check('grace'))
    assert.deepEqual(result, {
      available: true,
      username: 'grace',
      source: 'Bloom Filter (False Positive Resolved)',
    })
    assert.equal(sent, 1)
    assert.equal(await names.release('grace'), false)
  })

  test('a name that is kept back costs one statement and is answered like one that is taken', async () => {
    const { result, sent } = await counting(() => names.check('admin'))
    assert.deepEqual(result, { available: false, username: 'admin', source: 'PostgreSQL' })
    assert.equal(sent, 1)
    assert.equal((await claim(names, 'admin')).kind, 'taken')
  })

  test('of 200 claims of one name at once one is made, and 199 are told that it is taken', async () => {
    const outcomes = await Promise.all(Array.from({ length: 200 }, () => claim(names, 'wanted')))
    const kinds = outcomes.map(({ kind }) => kind)
    assert.equal(kinds.filter((kind) => kind === 'claimed').length, 1)
    assert.equal(kinds.filter((kind) => kind === 'taken').length, 199)
  })

  test('a claim with an Idempotency-Key may be made again, also at the same time, and by nobody else', async () => {
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => claim(names, 'mine', 'once')))
    assert.equal(outcomes.filter(({ kind }) => kind === 'claimed').length, 1)
    assert.equal(outcomes.filter(({ kind }) => kind === 'repeated').length, 7)
    const other = { username: 'mine', owner: undefined, claimedBy: 'key-2', idempotencyKey: 'once' }
    assert.equal((await names.claim(other)).kind, 'taken')
  })

  test('an import adds what is new, once, and lists what rules refuse', async () => {
    const usernames = ['one', 'two', 'two', ' ', 'admin', 'tab\tand\\slash', 'line\nbreak']
    const first = await names.claimAll(usernames, 'key-1')
    assert.deepEqual([first.added, first.present], [4, 1])
    assert.deepEqual(
      first.refused.map(({ username }) => username),
      ['', 'admin'],
    )
    const again = await names.claimAll(usernames, 'key-1')
    assert.deepEqual([again.added, again.present], [0, 5])
    for (const name of ['one', 'two', 'tab\tand\\slash', 'line\nbreak'])
      assert.equal((await names.check(name)).available, false, name)
  })

  test('suggestions are free, found without any statement', async () => {
    const { result, sent } = await counting(() => names.suggest('ada', 5))
    assert.equal(sent, 0)
    assert.equal(result.length, 5)
    for (const name of result) assert.deepEqual(await names.check(name), { available: true, username: name })
  })

  test('many checks share one statement', async () => {
    const { result, sent } = await counting(() => names.checkAll(['ada', 'free-1', 'admin', '']))
    assert.equal(sent, 1)
    assert.deepEqual(
      result.map(({ available }) => available),
      [false, true, false, false],
    )
  })
})

describe('the filter', () => {
  test('BF-06 is made anew when seven tenths full, while names come in, and misses none', async () => {
    const names = await world.open({ expected: 1_000 })
    const before = names.stats().generation
    const usernames = Array.from({ length: 6_000 }, (_, n) => `growing-${n}`)
    for (let n = 0; n < usernames.length; n += 500) await names.claimAll(usernames.slice(n, n + 500), 'key-1')
    await eventually(
      'a larger filter',
      async () => {
        const { generation, capacity, rebuilding } = names.stats()
        return (generation > before && capacity >= 6_000 / 0.7 && !rebuilding) || undefined
      },
      20_000,
    )
    const { result, sent } = await counting(() => names.checkAll(usernames.slice(0, 1_000)))
    assert.equal(sent, 1)
    assert.ok(result.every(({ available }) => !available))
  })

  test('is read from disk at the next start, with what was claimed elsewhere meanwhile', async () => {
    const data = await world.folder()
    const first = await world.open({ data })
    await claim(first, 'before-the-stop')
    await first[Symbol.asyncDispose]()
    const elsewhere = await world.open()
    await claim(elsewhere, 'meanwhile')
    const { generation } = elsewhere.stats()
    assert.ok(generation >= 1)
    const before = world.statements.length
    const again = await world.open({ data })
    const scans = world.statements.slice(before).filter((text) => text.includes('key > $1'))
    assert.deepEqual(scans, [], 'no name was read from the database')
    for (const name of ['before-the-stop', 'meanwhile'])
      assert.equal((await again.check(name)).available, false, name)
  })

  for (const [what, damage] of [
    ['truncated', (bytes: Buffer) => bytes.subarray(0, bytes.length - 1_000)],
    ['bit-flipped', (bytes: Buffer) => flip(bytes, bytes.length - 1_000)],
    ['beheaded', (bytes: Buffer) => flip(bytes, 3)],
    ['empty', () => Buffer.alloc(0)],
    ['told of a later place', laterPlace],
  ] as const) {
    test(`is made anew from the database when its file is ${what}`, async () => {
      const data = await world.folder()
      const first = await world.open({ data })
      await claim(first, `kept-${what}`)
      await first[Symbol.asyncDispose]()
      const path = join(data, 'names', 'filter')
      await writeFile(path, damage(await readFile(path)))
      const before = world.statements.length
      const again = await world.open({ data })
      const scans = world.statements.slice(before).filter((text) => text.includes('key > $1'))
      assert.ok(scans.length > 0, 'the names were read from the database')
      assert.equal((await again.check(`kept-${what}`)).available, false)
      await again.rebuild()
      assert.ok((await stat(path)).size > 1_000)
    })
  }

  test('that a stop leaves half read is not kept', async () => {
    await using other = await openNamesWorld(services.address('postgres'))
    await other.pool.query(
      `insert into names (key, name, claimed_by) select n, n, 'test' from (select 'many-' || n as n from generate_series(1, 200000) n) one`,
    )
    const data = await other.folder()
    const first = await other.open({ data, unready: true })
    const pages = () => other.statements.filter((text) => text.includes('key > $1')).length
    await eventually('the first page', async () => (pages() > 0 ? true : undefined), 20_000)
    await first[Symbol.asyncDispose]()
    const again = await other.open({ data })
    const asked = Array.from({ length: 1_000 }, (_, n) => `many-${n * 200 + 1}`)
    assert.ok((await again.checkAll(asked)).every(({ available }) => !available))
  })

  test('of other names is not taken', async () => {
    const data = await world.folder()
    const first = await world.open({ data })
    await first[Symbol.asyncDispose]()
    await world.pool.query('update name_set set id = gen_random_uuid()')
    const before = world.statements.length
    await world.open({ data })
    assert.ok(world.statements.slice(before).some((text) => text.includes('key > $1')))
  })
})

describe('a bitmap in Redis beside the filter', () => {
  let names: OpenedNames
  let redis: ReturnType<typeof createClient>
  const key = `names-${randomUUID()}`
  const bits = 10_000_000
  before(async () => {
    const url = services.address('redis')
    redis = createClient({ url })
    redis.on('error', () => {})
    await redis.connect()
    names = await world.open({ bitmap: { url, key, bits, hashes: 7 } })
  })
  after(() => redis.destroy())

  test('BF-05 a name whose bits were set by others is looked up, and free', async () => {
    for (const at of new SaltedPositions({ bits, hashes: 7 }).of('set-by-hand'))
      await redis.setBit(key, at, 1)
    // The bitmap counts once every name that the database had is in it.
    await eventually(
      'the bitmap verified',
      async () => (await world.pool.query('select bitmap from name_set')).rows[0]?.bitmap ?? undefined,
      30_000,
    )
    const { result, sent } = await counting(() => names.check('set-by-hand'))
    assert.deepEqual(result, {
      available: true,
      username: 'set-by-hand',
      source: 'Bloom Filter (False Positive Resolved)',
    })
    assert.equal(sent, 1)
  })

  test('BF-08 the bits of a claim stand in one key of plain bits, at the positions of the original', async () => {
    await claim(names, 'Dorthy71')
    const at = [7709515, 2340251, 1024916, 9655269, 4322003, 6097314, 3814352]
    assert.deepEqual(
      await Promise.all(at.map((one) => redis.getBit(key, one))),
      at.map(() => 1),
    )
    assert.equal(await redis.strLen(key), bits / 8)
    assert.equal((await names.check('Dorthy71')).available, false)
  })

  test('a free name is answered without a statement, and without Redis too', async () => {
    const { result, sent } = await counting(() => names.check('nobody-in-redis'))
    assert.deepEqual(result, { available: true, username: 'nobody-in-redis' })
    assert.equal(sent, 0)
    const gone = await world.open({ bitmap: { url: 'redis://127.0.0.1:1', key, bits, hashes: 7 } })
    assert.deepEqual(await gone.check('nobody-without-redis'), {
      available: true,
      username: 'nobody-without-redis',
    })
    assert.equal((await gone.check('Dorthy71')).available, false)
    assert.equal((await claim(gone, 'claimed-without-redis')).kind, 'claimed')
    assert.equal((await names.check('claimed-without-redis')).available, false)
  })
})

test('a profile that the names were not made with is refused', async () => {
  await assert.rejects(world.open({ profile: 'username' }), /NAMES_PROFILE/)
})

test('hashes come to every server by the topic', async () => {
  const [first, second] = [await world.open(), await world.open()]
  await claim(first, 'told-to-all')
  assert.equal((await second.check('told-to-all')).available, false)
  const { partitions } = await world.log.bounds(namesTopic.name)
  assert.ok((partitions[0]?.end ?? 0) > 0)
})

test('names whose keys another version of Unicode would change are not served, others are', async () => {
  await using other = await openNamesWorld(services.address('postgres'))
  const names = await other.open({ profile: 'username' })
  await claim(names, 'Ærøskøbing')
  await names[Symbol.asyncDispose]()
  await other.pool.query(`update name_set set unicode = '1.0'`)
  const again = await other.open({ profile: 'username' })
  assert.equal((await again.check('ærøskøbing')).available, false)
  await again[Symbol.asyncDispose]()
  await other.pool.query(`update name_set set unicode = '1.0'`)
  await other.pool.query(`update names set key = 'ærøskøbinG'`)
  await assert.rejects(other.open({ profile: 'username' }), /1 names would be other names \("Ærøskøbing"\)/)
})

/** The last digit of the offset up to which it has applied the log is another one. */
function laterPlace(bytes: Buffer): Buffer {
  const at = bytes.indexOf('"offset":') + '"offset":'.length
  let end = at
  while (bytes[end + 1] !== 0x2c) end++
  const copy = Buffer.from(bytes)
  copy[end] = (copy[end] ?? 0) === 0x30 ? 0x31 : 0x30
  return copy
}

function flip(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes)
  copy[at] = (copy[at] ?? 0) ^ 0x10
  return copy
}

import { findProgram } from '@pulse/dev/services/places'
import { startRedis } from '@pulse/dev/services/redis'
import { SaltedPositions } from '@pulse/server/names/salted-positions'
import bloomFilters from 'bloom-filters'
import { createClient } from 'redis'
import type { RealNames } from './real-names.ts'

/** What others ask, with the same names. Each gives microseconds for a check. */
export interface NamePeers extends AsyncDisposable {
  /** Names that they hold. */
  readonly names: number
  /** The filter of npm's `bloom-filters`, in this process. */
  library(): number
  /** Seven bits of a bitmap in Redis, in one round trip: one check after another. */
  redis(): Promise<number>
  /** The same with 64 checks on the way. */
  redisAtOnce(): Promise<number>
  /** Percent of other names of which all seven bits are set. */
  redisRate(): Promise<number>
}

const namesMax = 1_000_000
const libraryChecks = 100_000
const redisChecks = 20_000
const rateChecks = 100_000
const atOnce = 64
const hashes = 7
const key = 'usernames'

/** Fills the filters of others. `rate` is the part of other names of which ours says "maybe". Rejects without redis-server. */
export async function openNamePeers(names: RealNames, rate: number): Promise<NamePeers> {
  const program = await findProgram('redis-server')
  if (program === undefined)
    throw new Error('there is no redis-server on PATH: install it to compare with GETBIT')
  await using opened = new AsyncDisposableStack()
  const taken = evenly(names.taken, namesMax)
  const library = bloomFilters.BloomFilter.create(taken.length, rate)
  for (const name of taken) library.add(name)
  const redis = opened.use(await startRedis(program))
  const client = createClient({ url: redis.address })
  await client.connect()
  opened.defer(() => client.destroy())
  // Ten bits for each name, as the original has for a million.
  const positions = new SaltedPositions({ bits: Math.max(65_536, taken.length * 10), hashes })
  await client.set(key, bitmapOf(taken, positions))
  const asked = evenly(names.free, redisChecks).map((name) => positions.of(name))
  // Sent in the same tick, so they travel in one packet.
  const bitsOf = (places: readonly number[]) => Promise.all(places.map((place) => client.getBit(key, place)))
  const kept = opened.move()
  return {
    names: taken.length,
    library: () => {
      const some = evenly(names.free, libraryChecks)
      const startedMs = performance.now()
      for (const name of some) library.has(name)
      return ((performance.now() - startedMs) * 1_000) / some.length
    },
    redis: async () => {
      const startedMs = performance.now()
      for (const places of asked) await bitsOf(places)
      return ((performance.now() - startedMs) * 1_000) / asked.length
    },
    redisAtOnce: async () => {
      const startedMs = performance.now()
      await inLanes(asked, bitsOf)
      return ((performance.now() - startedMs) * 1_000) / asked.length
    },
    redisRate: async () => {
      const others = evenly(names.free, rateChecks)
      let maybes = 0
      await inLanes(others, async (name) => {
        if ((await bitsOf(positions.of(name))).every((bit) => bit === 1)) maybes++
      })
      return (maybes * 100) / others.length
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

const evenly = (names: readonly string[], count: number): readonly string[] =>
  names.length <= count
    ? names
    : Array.from({ length: count }, (_, n) => names[Math.floor((n * names.length) / count)] ?? '')

/** The bits in Redis's order: bit 0 is the highest of byte 0. */
function bitmapOf(names: readonly string[], positions: SaltedPositions): Buffer {
  const bitmap = Buffer.alloc(Math.ceil(positions.bits / 8))
  for (const name of names)
    for (const place of positions.of(name))
      bitmap[place >>> 3] = (bitmap[place >>> 3] ?? 0) | (0x80 >>> (place & 7))
  return bitmap
}

async function inLanes<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  let next = 0
  const lane = async () => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await work(item)
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
}

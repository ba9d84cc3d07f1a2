import { BloomFilter } from '@pulse/log/bloom-filter'
import { FilterGeneration } from '@pulse/server/names/filter-generation'
import { NameHasher } from '@pulse/server/names/name-hash'
import type { Figures } from '../statistics.ts'
import type { RealNames } from './real-names.ts'

/** Names that a filter is made for, for each that it gets: just below the part at which a larger one is made. */
const roomPerName = 6.5 / 4.5
const largeBytes = 1.5e9

/** Names that a filter for so many is made for. */
export const capacityFor = (names: number) => Math.ceil(names * roomPerName)

/** The filter as a process has it. Rejects by throwing if it calls a name free that it was given. */
export function measureInMemory(names: RealNames, found: Figures): FilterGeneration {
  const generation = new FilterGeneration({ number: 1, capacity: capacityFor(names.taken.length) })
  const hasher = new NameHasher()
  // What is compiled on the way is no part of what follows.
  timed(names.free, generation, hasher)
  const startedMs = performance.now()
  for (const name of names.taken) generation.add(hasher.hash(name))
  found.add('add', ((performance.now() - startedMs) * 1_000) / names.taken.length)
  const free = timed(names.free, generation, hasher)
  const taken = timed(names.taken, generation, hasher)
  if (taken.maybes !== names.taken.length)
    throw new Error(`${names.taken.length - taken.maybes} names that were added are called free`)
  found.add('free', free.us)
  found.add('taken', taken.us)
  found.add('rate', (free.maybes * 100) / names.free.length)
  const expected = generation.expectedRate(names.taken.length)
  found.add('rate ratio', free.maybes / names.free.length / expected)
  const short = timed(names.short, generation, hasher)
  found.add('short rate ratio', short.maybes / names.short.length / expected)
  found.add('bits', generation.bits / names.taken.length)
  return generation
}

/** The same names in a filter that is far beyond every cache, as full as one may become. */
export function measureLarge(names: RealNames, { part, found }: { part: number; found: Figures }): void {
  const generation = largeGeneration(part)
  timed(names.free.slice(0, 100_000), generation, new NameHasher())
  found.add('large', timed(names.free, generation, new NameHasher()).us)
}

/** Microseconds for each check, and how many names may be there. */
function timed(names: readonly string[], generation: FilterGeneration, hasher: NameHasher) {
  let maybes = 0
  const startedMs = performance.now()
  for (const name of names) if (generation.has(hasher.hash(name))) maybes++
  return { us: ((performance.now() - startedMs) * 1_000) / names.length, maybes }
}

/**
 * Bits at random, three of eight set: seven tenths of its names would set 37 %. Adding a billion names would take ten
 * minutes, and a check could not tell the difference.
 */
function largeGeneration(part: number): FilterGeneration {
  const words = new Uint32Array(Math.ceil((largeBytes * part) / 64) * 16)
  let state = 0x9e3779b9
  const next = () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state
  }
  for (let at = 0; at < words.length; at++) words[at] = next() & (next() | next())
  return new FilterGeneration({
    number: 1,
    capacity: words.length,
    filter: new BloomFilter(words),
    bitsSet: 0,
  })
}

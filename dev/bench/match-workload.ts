import type { Event } from '@pulse/protocol/event'
import type { Test, Tree } from '@pulse/server/subscriptions/tree'

/**
 * Filters and events of a shop whose customers watch it: 200 types and 500 sections of pages by Zipf, 400
 * pages in each, 4 tiers, 30 regions, 200,000 accounts, amounts that are log-normal. Each filter is one of six shapes and has a range or a
 * value of its own, so hardly two are equal. Every one is made from its number alone, so none needs to be kept.
 */
export interface Workload {
  filter: (n: number) => Tree
  /** The text of an event, as it stands in the log. */
  event: (n: number) => string
}

const counts = { types: 200, tiers: 4, regions: 30, accounts: 200_000, sections: 500, pages: 400 } as const

/** `width`: half of a range, as a part of its middle; 0.01 for one percent to each side. */
export function workload(of: { width: number }): Workload {
  const pickType = zipf(counts.types)
  const pickSection = zipf(counts.sections)
  const draw = (random: Random) => ({
    type: () => typeNames[pickType(random)] as string,
    tier: () => tiers[Math.floor(random() * counts.tiers)] as string,
    region: () => `region-${Math.floor(random() * counts.regions)}`,
    account: () => `user_${Math.floor(random() * counts.accounts)}`,
    section: () => `/section-${pickSection(random)}/`,
    page: () => `page-${Math.floor(random() * counts.pages)}/`,
    amount: () => Math.round(Math.exp(4 + 1.2 * normal(random)) * 100) / 100,
  })
  return {
    filter(n) {
      const random = randomOf(n)
      return filterOf(random, { make: draw(random), width: of.width })
    },
    event(n) {
      const random = randomOf(0x5bd1e995 ^ n)
      return eventOf(n, draw(random))
    },
  }
}

type Draw = Readonly<Record<'type' | 'tier' | 'region' | 'account' | 'section' | 'page', () => string>> & {
  readonly amount: () => number
}

function filterOf(random: Random, { make, width }: { make: Draw; width: number }): Tree {
  const shape = random()
  const types = (most: number) => is(['event_type'], several(random, make.type, most))
  const tiers = () => is(['properties', 'tier'], several(random, make.tier, 2))
  const region = () => is(['properties', 'region'], [make.region()])
  const range = () => {
    const middle = make.amount()
    const end = (value: number) => ({ value, included: true })
    return some(['properties', 'amount'], {
      kind: 'range',
      low: end(middle * (1 - width * random())),
      high: end(middle * (1 + width * random())),
    })
  }
  if (shape < 0.35) return all(types(3), tiers(), range())
  if (shape < 0.55) return all(types(1), region(), range())
  if (shape < 0.75) return all(is(['user_id'], [make.account()]), types(1))
  if (shape < 0.85) return all(types(1), starts(['properties', 'path'], make.section() + make.page()))
  if (shape < 0.95) return all(region(), tiers(), range())
  // Thresholds: rare, and far above what is usual, as those of alarms are.
  const low = { value: 50_000 + 400_000 * random(), included: true }
  return some(['properties', 'amount'], {
    kind: 'range',
    low,
    high: { value: Number.POSITIVE_INFINITY, included: false },
  })
}

function eventOf(n: number, make: Draw): string {
  const event: Event = {
    event_id: `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`,
    event_type: make.type(),
    user_id: make.account(),
    timestamp: '2026-11-21T10:00:00.000000Z',
    properties: {
      amount: make.amount(),
      path: `${make.section()}${make.page()}item`,
      region: make.region(),
      tier: make.tier(),
    },
    source: null,
    schema_version: 1,
  }
  return JSON.stringify(event)
}

const tiers = ['free', 'basic', 'premium', 'enterprise']
const words = ['order', 'cart', 'page', 'search', 'payment', 'return', 'login', 'review']
const typeNames = Array.from({ length: counts.types }, (_, n) => `${words[n % words.length]}.event_${n}`)

const all = (...of: readonly Tree[]): Tree => ({ kind: 'all', of })
const some = (path: readonly string[], test: Test): Tree => ({ kind: 'some', path, test })
const is = (path: readonly string[], values: readonly string[]) => some(path, { kind: 'equals', values })
const starts = (path: readonly string[], value: string) =>
  some(path, { kind: 'prefix', values: [value], ignoreCase: false })

function several(random: Random, make: () => string, most: number): readonly string[] {
  const values = new Set<string>()
  for (let left = 1 + Math.floor(random() * most); left > 0; left--) values.add(make())
  return [...values]
}

type Random = () => number

/** Mulberry32, from a well-mixed seed: the same numbers in every run. */
function randomOf(seed: number): Random {
  let state = Math.imul(seed ^ (seed >>> 16), 0x85ebca6b)
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35)
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const normal = (random: Random): number =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())

/** Draws numbers from 0, each in proportion to 1 / (it + 1). */
function zipf(count: number): (random: Random) => number {
  const sums = new Float64Array(count)
  let sum = 0
  for (let n = 0; n < count; n++) {
    sum += 1 / (n + 1)
    sums[n] = sum
  }
  return (random) => {
    const wanted = random() * sum
    let [from, to] = [0, count - 1]
    while (from < to) {
      const middle = (from + to) >> 1
      if ((sums[middle] as number) < wanted) from = middle + 1
      else to = middle
    }
    return from
  }
}

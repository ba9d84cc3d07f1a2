import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Event } from '@pulse/protocol/event'
import type { SimpleFilter } from '@pulse/protocol/filter'
import fc from 'fast-check'
import { treeOf } from './condition.ts'
import { parseExpression, printExpression } from './expression.ts'
import { FilterError } from './filter-error.ts'
import { anEvent, aTree } from './filter-world.ts'
import { matches } from './matches.ts'
import { parsePattern, printPattern } from './pattern.ts'
import { simpleOf, treeOfSimple } from './simple-form.ts'

/** An event as the original's producer makes them, in our envelope. */
function event(event_type: string, properties: Record<string, unknown> = {}): Event {
  return {
    event_id: '0b7f0f3c-3a7e-4d8c-9a55-1f2f6a1c9d10',
    event_type,
    user_id: 'user_7',
    timestamp: '2026-11-21T10:00:00.000000Z',
    properties,
    source: null,
    schema_version: 1,
  }
}

const premiumPurchases: SimpleFilter = { event_types: ['purchase'], user_tiers: ['premium'], min_amount: 100 }
const passes = (filter: SimpleFilter, one: Event) => matches(treeOfSimple(filter), one)

test('ES-13 an event of the right type and tier with enough amount matches', () => {
  assert.equal(passes(premiumPurchases, event('purchase', { user_tier: 'premium', amount: 250 })), true)
})

test('ES-13 an event of another type does not match, whatever its case', () => {
  for (const type of ['click', 'view', 'signup', 'Purchase', 'purchase.done'])
    assert.equal(passes(premiumPurchases, event(type, { user_tier: 'premium', amount: 250 })), false, type)
})

test('ES-13 an event of another tier, or of none, does not match', () => {
  for (const properties of [
    { user_tier: 'free', amount: 500 },
    { user_tier: null, amount: 500 },
    { amount: 500 },
  ])
    assert.equal(passes(premiumPurchases, event('purchase', properties)), false)
})

test('ES-13 the least amount is included, and anything below it is not', () => {
  const purchase = (amount: number) => event('purchase', { user_tier: 'premium', amount })
  assert.equal(passes(premiumPurchases, purchase(100)), true)
  assert.equal(passes(premiumPurchases, purchase(100.01)), true)
  assert.equal(passes(premiumPurchases, purchase(99.99)), false)
})

test('ES-13 an amount that is null or missing counts as 0', () => {
  for (const properties of [{ amount: null }, {}]) {
    const click = event('click', properties)
    assert.equal(passes({ event_types: ['purchase', 'click'], min_amount: 100 }, click), false)
    assert.equal(passes({ event_types: ['click'], min_amount: 0.01 }, click), false)
    assert.equal(passes({ event_types: ['click'], min_amount: 0 }, click), true)
    assert.equal(passes({ event_types: ['click'], min_amount: null }, click), true)
    assert.equal(passes({ event_types: ['click'], min_amount: -5 }, click), true)
  }
  assert.equal(passes({ event_types: ['click'], min_amount: -5 }, event('click', { amount: -6 })), false)
})

test('ES-13 no types match nothing, no tiers match any', () => {
  const purchase = event('purchase', { user_tier: 'free', amount: 1 })
  assert.equal(passes({ event_types: [] }, purchase), false)
  assert.equal(passes({ event_types: ['purchase'], user_tiers: [] }, purchase), true)
  assert.equal(passes({ event_types: ['purchase'], user_tiers: null }, purchase), true)
  assert.equal(passes({ event_types: ['purchase'] }, purchase), true)
})

test('ES-08 to ES-11: of the six events of the checklist, the filter takes the two purchases', () => {
  const taken = [
    event('purchase', { user_tier: 'premium', amount: 100 }),
    event('purchase', { user_tier: 'premium', amount: 250 }),
    event('purchase', { user_tier: 'premium', amount: 99.99 }),
    event('purchase', { user_tier: 'free', amount: 500 }),
    event('click', { user_tier: 'premium', amount: null }),
    event('signup', { user_tier: 'premium', amount: null }),
  ].map((one) => passes(premiumPurchases, one))
  assert.deepEqual(taken, [true, true, false, false, false, false])
})

/** The original's matching, line by line: `or 0` and the truth of lists and numbers are Python's. */
function original(filter: SimpleFilter, one: Event): boolean {
  const { user_tier, amount } = one.properties
  if (!filter.event_types.includes(one.event_type)) return false
  if (filter.user_tiers && filter.user_tiers.length > 0 && !filter.user_tiers.includes(String(user_tier)))
    return false
  if (filter.min_amount && (typeof amount === 'number' ? amount : 0) < filter.min_amount) return false
  return true
}

const types = fc.constantFrom('purchase', 'click', 'view', 'signup')
const tiers = fc.constantFrom('free', 'premium', 'gold')
const amounts = fc.constantFrom(-10, -0.01, 0, 0.01, 99.99, 100, 500)
const aSimpleFilter: fc.Arbitrary<SimpleFilter> = fc.record(
  {
    event_types: fc.uniqueArray(types, { maxLength: 3 }),
    user_tiers: fc.option(fc.uniqueArray(tiers, { maxLength: 2 })),
    min_amount: fc.option(amounts),
  },
  { requiredKeys: ['event_types'] },
)
const anOriginalEvent = fc
  .tuple(types, fc.record({ user_tier: tiers, amount: fc.option(amounts) }, { requiredKeys: [] }))
  .map(([type, properties]) => event(type, properties))

test('ES-13 the simple form matches what the original matches', () => {
  fc.assert(
    fc.property(aSimpleFilter, anOriginalEvent, (filter, one) => {
      assert.equal(passes(filter, one), original(filter, one))
    }),
    { numRuns: 5_000 },
  )
})

test('a simple filter is found again in its tree, and in the tree of its other forms', () => {
  fc.assert(
    fc.property(aSimpleFilter, (filter) => {
      const { event_types, user_tiers, min_amount } = filter
      const isNone = event_types.length === 0
      const expected = {
        event_types,
        user_tiers: isNone || !user_tiers?.length ? null : user_tiers,
        min_amount: isNone ? null : min_amount || null,
      }
      const tree = treeOfSimple(filter)
      assert.deepEqual(simpleOf(tree), expected)
      assert.deepEqual(simpleOf(parseExpression(printExpression(tree))), expected)
      const pattern = printPattern(tree)
      assert.equal(pattern === undefined, isNone)
      if (pattern) assert.deepEqual(simpleOf(parsePattern(pattern)), expected)
    }),
    { numRuns: 1_000 },
  )
})

test('a tree has a simple form only if that means the same', () => {
  fc.assert(
    fc.property(aTree, anEvent, (tree, one) => {
      const simple = simpleOf(tree)
      if (simple) assert.equal(passes(simple, one), matches(tree, one))
    }),
    { numRuns: 5_000 },
  )
  for (const text of [
    'event_type = "a" or event_type = "b"',
    'event_type = "a*"',
    'event_type != "a"',
    'event_type = "a" and properties.amount > 5',
    'event_type = "a" and properties.amount between 5 and 10',
    'event_type = "a" and properties.amount >= 0',
    'event_type = "a" and properties.amount >= -5',
    'event_type = "a" and properties.user_tier in ("x", null)',
    'event_type = "a" and event_type = "b"',
    'event_type = ""',
    'properties.user_tier = "gold"',
    'everything',
  ])
    assert.equal(simpleOf(parseExpression(text)), undefined, text)
})

test('a condition is read in whichever form it has, and is limited in each', () => {
  const one = event('purchase', { amount: 150 })
  assert.equal(matches(treeOf({ event_types: ['purchase'], min_amount: 150 }), one), true)
  assert.equal(matches(treeOf({ pattern: { event_type: ['purchase'] } }), one), true)
  assert.equal(matches(treeOf({ expression: 'properties.amount > 150' }), one), false)
  const many = Array.from({ length: 1_000 }, (_, i) => `${i}`.padEnd(100, 'x'))
  const conditions = [
    { event_types: many },
    { pattern: { user_id: many } },
    { expression: `user_id in (${many.map((each) => `"${each}"`).join()})` },
  ]
  for (const condition of conditions)
    assert.throws(
      () => treeOf(condition),
      (error) => error instanceof FilterError && error.code === 'filter_too_wide',
    )
})

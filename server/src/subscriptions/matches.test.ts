import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Event } from '@pulse/protocol/event'
import fc from 'fast-check'
import { parseExpression } from './expression.ts'
import { anEvent, aTest, aTree } from './filter-world.ts'
import { matches, whyNot } from './matches.ts'
import type { Tree } from './tree.ts'

const event: Event = {
  event_id: '0b7f0f3c-3a7e-4d8c-9a55-1f2f6a1c9d10',
  event_type: 'purchase',
  user_id: 'user_7',
  timestamp: '2026-11-21T10:00:00.000000Z',
  properties: {
    amount: 50,
    user_tier: 'free',
    tags: ['a', 'b', 'c', 'd', 'e', 'f', 'g'],
    items: [{ sku: 'x' }, { sku: 'y' }],
    note: 'n'.repeat(300),
  },
  source: null,
  schema_version: 1,
}

const holdsFor = (one: Tree, other: Tree, same: boolean) => (example: Event) =>
  assert.equal(matches(one, example) === matches(other, example), same)

test('a double negation means nothing, and no tree holds together with its negation', () => {
  fc.assert(
    fc.property(aTree, anEvent, (tree, example) => {
      const not: Tree = { kind: 'not', of: tree }
      holdsFor({ kind: 'not', of: not }, tree, true)(example)
      holdsFor(not, tree, false)(example)
    }),
    { numRuns: 3_000 },
  )
})

test('"none" is the negation of "some", whatever the path and the test', () => {
  fc.assert(
    fc.property(
      aTest,
      fc.constantFrom('amount', 'tags', 'items', 'nowhere'),
      anEvent,
      (one, name, example) => {
        const path = ['properties', name]
        holdsFor({ kind: 'some', path, test: one }, { kind: 'none', path, test: one }, false)(example)
      },
    ),
    { numRuns: 3_000 },
  )
})

test("De Morgan's laws hold", () => {
  fc.assert(
    fc.property(fc.array(aTree, { maxLength: 4 }), anEvent, (of, example) => {
      const negations = of.map((each): Tree => ({ kind: 'not', of: each }))
      holdsFor({ kind: 'not', of: { kind: 'all', of } }, { kind: 'any', of: negations }, true)(example)
      holdsFor({ kind: 'not', of: { kind: 'any', of } }, { kind: 'all', of: negations }, true)(example)
    }),
    { numRuns: 3_000 },
  )
})

test('"within" one object that is no array is only a longer path', () => {
  const inShop = (shop: unknown) => ({ ...event, properties: { shop } })
  const within = parseExpression('properties.shop has (a = 1 and b missing)')
  const longer = parseExpression('properties.shop.a = 1 and properties.shop.b missing')
  for (const shop of [{ a: 1 }, { a: 1, b: 2 }, { a: 2 }, { a: [2, 1] }])
    assert.equal(matches(within, inShop(shop)), matches(longer, inShop(shop)))
  assert.equal(matches(within, inShop([{ a: 1, b: 2 }, { a: 1 }])), true)
  assert.equal(matches(longer, inShop([{ a: 1, b: 2 }, { a: 1 }])), false)
})

test('why an event does not match says each failed test with what was found', () => {
  const reasons = (text: string) => whyNot(parseExpression(text), event)
  assert.deepEqual(
    reasons('event_type = "purchase" and properties.amount > 100 and properties.user_tier = "gold"'),
    ['properties.amount > 100: found 50', 'properties.user_tier = "gold": found "free"'],
  )
  assert.deepEqual(reasons('properties.coupon = "x" or event_type = "click"'), [
    'properties.coupon = "x": there is no value',
    'event_type = "click": found "purchase"',
  ])
  assert.deepEqual(reasons('not (user_id = "user_7" and properties.amount = 50)'), [
    'user_id != "user_7": found "user_7"',
    'properties.amount != 50: found 50',
  ])
  assert.deepEqual(reasons('properties.tags = "z"'), [
    'properties.tags = "z": found "a", "b", "c", "d", "e" and 2 more',
  ])
  assert.deepEqual(reasons('properties.items has (sku = "x" and qty = 1)'), [
    'properties.items has (sku = "x" and qty = 1): found 2 objects',
  ])
  assert.deepEqual(reasons('not properties.items has (sku = "x")'), [
    'not properties.items has (sku = "x"): found 2 objects',
  ])
  assert.deepEqual(reasons('properties.shop has (a = 1)'), [
    'properties.shop has (a = 1): there is no such object',
  ])
  assert.equal(reasons('properties.note = "n"')[0]?.length, 130)
  assert.deepEqual(reasons('nothing'), ['nothing: no event passes this'])
  const text = 'user_id = "x" and not properties.items has (sku = "x") and properties.amount > 1'
  assert.deepEqual(whyNot(parseExpression(text), event, { values: false }), [
    'user_id = "x"',
    'not properties.items has (sku = "x")',
  ])
  assert.deepEqual(reasons('event_type = "purchase"'), [])
})

test('there is a reason exactly where an event does not match', () => {
  fc.assert(
    fc.property(aTree, anEvent, (tree, example) => {
      assert.equal(whyNot(tree, example).length === 0, matches(tree, example))
    }),
    { numRuns: 5_000 },
  )
})

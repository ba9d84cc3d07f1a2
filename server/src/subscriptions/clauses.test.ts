import assert from 'node:assert/strict'
import { test } from 'node:test'
import { canonicalJson } from '@pulse/protocol/canonical-json'
import fc from 'fast-check'
import { clausesOf, needlesOf } from './clauses.ts'
import { costOf } from './cost.ts'
import { matches } from './matches.ts'
import { arbitraryEvent, arbitraryTree } from './matching/matching-world.ts'
import type { Test, Tree } from './tree.ts'

const some = (path: string, test: Test): Tree => ({ kind: 'some', path: path.split('.'), test })
const is = (path: string, ...values: (string | number)[]): Tree => some(path, { kind: 'equals', values })
const all = (...of: Tree[]): Tree => ({ kind: 'all', of })
const any = (...of: Tree[]): Tree => ({ kind: 'any', of })
const above = (path: string, value: number): Tree =>
  some(path, {
    kind: 'range',
    low: { value, included: false },
    high: { value: Number.POSITIVE_INFINITY, included: false },
  })

test('alternatives for one member are one clause, those for several are one each', () => {
  assert.equal(clausesOf(any(is('event_type', 'a'), is('event_type', 'b'))).length, 1)
  assert.equal(clausesOf(any(is('event_type', 'a'), is('user_id', 'b'))).length, 2)
  const mixed = any(
    is('event_type', 'a'),
    some('event_type', { kind: 'prefix', values: ['b'], ignoreCase: false }),
  )
  assert.equal(clausesOf(mixed).length, 1)
  assert.equal(clausesOf(any(above('properties.a', 1), above('properties.a', 2))).length, 2)
  assert.equal(clausesOf(all(any(is('a', 1), is('b', 1)), any(is('c', 1), is('d', 1)))).length, 4)
})

test('a filter that nothing matches has no clause, one that everything matches has an empty one', () => {
  assert.deepEqual(clausesOf(any()), [])
  assert.deepEqual(clausesOf(all()), [[]])
  assert.deepEqual(clausesOf({ kind: 'not', of: any() }), [[]])
  assert.deepEqual(clausesOf(all(is('event_type'), is('user_id', 'a'))), [])
})

test('more than 64 clauses, or long lists combined with many of them, are too wide', () => {
  const three = (name: string) => any(above(`${name}.a`, 1), above(`${name}.b`, 2), above(`${name}.c`, 3))
  assert.equal(clausesOf(all(three('x'), three('y'), three('z'))).length, 27)
  const wide = all(three('w'), three('x'), three('y'), three('z'))
  assert.throws(() => clausesOf(wide), { name: 'FilterError', code: 'filter_too_wide' })
  const list = is('user_id', ...Array.from({ length: 1_000 }, (_, n) => `user_${n}`))
  assert.equal(clausesOf(all(list, three('x'))).length, 3)
  assert.throws(() => clausesOf(all(list, three('x'), three('y'), three('z'))), { code: 'filter_too_wide' })
  assert.throws(() => costOf(wide), { code: 'filter_too_wide' })
})

test('one of the needles stands in the JSON of every event that matches', () => {
  fc.assert(
    fc.property(arbitraryTree, arbitraryEvent, (tree, event) => {
      const needles = needlesOf(tree)
      if (needles === undefined || !matches(tree, event)) return
      const text = canonicalJson(event)
      assert.ok(
        needles.some((needle) => text.includes(needle)),
        `${JSON.stringify(needles)} in ${text}`,
      )
    }),
    { numRuns: 3_000 },
  )
})

test('needles are the rarest texts that a filter asks for', () => {
  assert.deepEqual(needlesOf(all(is('event_type', 'order.created'), above('properties.amount', 5))), [
    '"event_type":"order.created"',
  ])
  assert.deepEqual(needlesOf(above('properties.amount', 5)), ['"amount":'])
  const starts = some('properties.path', { kind: 'prefix', values: ['/docs/"a"/'], ignoreCase: false })
  assert.deepEqual(needlesOf(starts), ['"/docs/\\"a\\"/'])
  assert.deepEqual(
    needlesOf(some('properties.path', { kind: 'suffix', values: ['.html'], ignoreCase: false })),
    ['.html"'],
  )
  assert.equal(needlesOf({ kind: 'not', of: is('event_type', 'a') }), undefined)
  assert.equal(needlesOf(any(is('user_id', 'a'), above('schema_version', 1))), undefined)
  // Letters beyond ASCII may be escaped; the member's name is there in any case.
  assert.deepEqual(needlesOf(is('properties.city', 'Zürich')), ['"city":'])
})

test('a filter is selective if every alternative names a value, an end or a range', () => {
  assert.deepEqual(costOf(is('event_type', 'a')), {
    selective: true,
    clauses: 1,
    reason: 'Found by event_type.',
  })
  assert.equal(costOf(above('properties.amount', 5)).selective, true)
  assert.equal(costOf(any()).selective, true)
  const without: Tree[] = [
    all(),
    some('user_id', { kind: 'exists' }),
    { kind: 'not', of: is('event_type', 'a') },
    some('event_type', { kind: 'other', than: { kind: 'equals', values: ['a'] } }),
    some('event_type', { kind: 'wildcard', values: ['*a*'] }),
    some('event_type', { kind: 'prefix', values: [''], ignoreCase: false }),
    any(is('event_type', 'a'), { kind: 'not', of: is('user_id', 'a') }),
  ]
  for (const tree of without) {
    const { selective, reason } = costOf(tree)
    assert.equal(selective, false, JSON.stringify(tree))
    assert.match(reason, /tried on every event/)
  }
  assert.equal(costOf(some('event_type', { kind: 'wildcard', values: ['a*b*'] })).selective, true)
})

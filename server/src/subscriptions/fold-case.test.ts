import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { foldCase } from './fold-case.ts'

test('texts that differ only in case have one folded form', () => {
  const pairs: readonly (readonly [string, string])[] = [
    ['Gold', 'gOLD'],
    ['ZÜRICH', 'zürich'],
    ['ΣΊΣΥΦΟΣ', 'σίσυφος'],
    ['\u{10400}', '\u{10428}'],
    ['\u212a', 'k'],
    ['ẞ', 'ß'],
  ]
  for (const [one, other] of pairs) assert.equal(foldCase(one), foldCase(other), one)
  for (const [one, other] of [
    ['ß', 'ss'],
    ['é', 'e'],
    ['İ', 'i'],
    ['a', 'b'],
  ] as const)
    assert.notEqual(foldCase(one), foldCase(other), one)
})

test('what is folded in parts is folded as a whole, once and for all, and no longer than before', () => {
  const text = fc.string({ unit: 'binary' })
  fc.assert(
    fc.property(text, text, (one, other) => {
      assert.equal(foldCase(one + other), foldCase(one) + foldCase(other))
      assert.equal(foldCase(foldCase(one)), foldCase(one))
      assert.equal([...foldCase(one)].length, [...one].length)
    }),
    { numRuns: 5_000 },
  )
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { escapeWildcard, readWildcard, wildcardMatches } from './wildcard.ts'

const matchesText = (wildcard: string, text: string) => wildcardMatches(readWildcard(wildcard) ?? [], text)

/** The same by trying every split: only for short texts. */
function slowly(parts: readonly string[], text: string): boolean {
  const [first = '', ...rest] = parts
  if (!text.startsWith(first)) return false
  if (rest.length === 0) return text === first
  const tail = text.slice(first.length)
  return [...Array(tail.length + 1).keys()].some((skipped) => slowly(rest, tail.slice(skipped)))
}

test('a wildcard is taken apart at its stars; a backslash makes a star or a backslash of itself', () => {
  assert.deepEqual(readWildcard('a*b'), ['a', 'b'])
  assert.deepEqual(readWildcard('*'), ['', ''])
  assert.deepEqual(readWildcard('a\\*b*\\\\'), ['a*b', '\\'])
  assert.deepEqual(readWildcard(''), [''])
  for (const damaged of ['a**', '\\', 'a\\b', 'a\\']) assert.equal(readWildcard(damaged), undefined, damaged)
})

test('begin and end do not overlap', () => {
  assert.equal(matchesText('ab*ba', 'aba'), false)
  assert.equal(matchesText('ab*ba', 'abba'), true)
  assert.equal(matchesText('a*b*b', 'ab'), false)
  assert.equal(matchesText('a*b*b', 'abb'), true)
})

test('it matches what trying every way would', () => {
  const aText = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 8 })
  fc.assert(
    fc.property(
      fc.array(aText, { minLength: 1, maxLength: 4 }),
      aText,
      fc.boolean(),
      (parts, text, fitting) => {
        const candidate = fitting ? parts.join(text) : text
        assert.equal(wildcardMatches(parts, candidate), slowly(parts, candidate))
      },
    ),
    { numRuns: 10_000 },
  )
})

test('an escaped text matches itself alone', () => {
  const text = fc.string({ unit: fc.constantFrom('a', '*', '\\'), maxLength: 8 })
  fc.assert(
    fc.property(text, text, (one, other) => {
      assert.equal(matchesText(escapeWildcard(one), other), one === other)
    }),
    { numRuns: 3_000 },
  )
})

test('texts and wildcards made to be slow take no longer than their length', () => {
  const text = 'a'.repeat(60_000)
  // With backtracking over the stars each of these would outlive the universe.
  assert.equal(matchesText(`${'*a'.repeat(120)}*b`, text), false)
  assert.equal(matchesText(`${'*aa'.repeat(80)}*b*a`, text), false)
  assert.equal(matchesText(`*${'a'.repeat(100)}b${'a'.repeat(100)}*`, text), false)
})

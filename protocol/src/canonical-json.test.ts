import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { canonicalJson } from './canonical-json.ts'

// The judge: the same rule in plain words, as slow as it likes.
function plainly(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(plainly).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([key, each]) => `${JSON.stringify(key)}:${plainly(each)}`).join(',')}}`
}

/** The same value with the members of every object in another order. */
function turned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(turned)
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value).map(([key, each]) => [key, turned(each)] as const)
  return Object.fromEntries(members.toReversed())
}

const odd = fc.constantFrom('10', '9', '', 'ä', '\u{1F600}', 'a"b', 'toJSON', '__proto__', 'constructor')
const key = fc.oneof({ weight: 4, arbitrary: fc.string({ maxLength: 3 }) }, odd)
const { tree: anyValue } = fc.letrec((tie) => ({
  leaf: fc.jsonValue({ maxDepth: 0 }),
  tree: fc.oneof(
    { maxDepth: 4, depthIdentifier: 'json' },
    tie('leaf'),
    fc.array(tie('tree'), { maxLength: 4, depthIdentifier: 'json' }),
    fc.dictionary(key, tie('tree'), { maxKeys: 20, depthIdentifier: 'json' }),
  ),
}))

test('any value is written by the rule, in whatever order its keys were', () => {
  fc.assert(
    fc.property(anyValue, (generated) => {
      const value: unknown = JSON.parse(JSON.stringify(generated))
      const text = canonicalJson(value)
      assert.equal(text, plainly(value))
      assert.equal(canonicalJson(turned(value)), text)
      assert.equal(canonicalJson(JSON.parse(text)), text)
    }),
    { numRuns: 2_000 },
  )
})

test('keys that are numbers are ordered as text, and __proto__ is a key', () => {
  assert.equal(canonicalJson(JSON.parse('{"b":1,"9":2,"10":3}')), '{"10":3,"9":2,"b":1}')
  assert.equal(
    canonicalJson(JSON.parse('{"b":{"__proto__":{"x":1}},"a":2}')),
    '{"a":2,"b":{"__proto__":{"x":1}}}',
  )
})

test('a value is not changed by writing it', () => {
  const value = { b: [{ d: 1, c: 2 }], a: 3 }
  canonicalJson(value)
  assert.deepEqual(Object.keys(value), ['b', 'a'])
  assert.deepEqual(Object.keys(value.b[0] ?? {}), ['d', 'c'])
})

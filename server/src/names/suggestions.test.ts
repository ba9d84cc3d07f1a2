import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { NameFault, type NameProfile, normalForm } from './normal-form.ts'
import { candidates, type SuggestionBounds } from './suggestions.ts'

const year = 2031

function first(count: number, text: string, profile: NameProfile, bounds: SuggestionBounds = { year }) {
  const found: string[] = []
  for (const one of candidates(text, profile, bounds)) if (found.push(one) === count) break
  return found
}

test('the first candidates are those that people would choose', () => {
  assert.deepEqual(first(8, 'Anna', 'username'), [
    ...['anna31', 'anna2031', 'annahq', 'theanna', 'annadev', 'itsanna', 'annaonline', 'heyanna'],
  ])
  assert.deepEqual(first(6, 'Dorthy71', 'exact'), [
    ...['Dorthy72', 'Dorthy73', 'Dorthy74', 'Dorthy71_31', 'Dorthy71_2031', 'Dorthy71hq'],
  ])
  // A name with a separator keeps to it, and one that counts keeps its zeros.
  assert.deepEqual(first(4, 'euna.little', 'username'), [
    ...['euna.little.31', 'euna.little.2031', 'euna.little.hq', 'the.euna.little'],
  ])
  assert.deepEqual(first(2, 'bond-007', 'username'), ['bond-008', 'bond-009'])
  assert.deepEqual(first(2, '字', 'username'), ['字31', '字2031'])
  assert.deepEqual(first(2, 'مريم', 'username'), ['مريم31', 'مريم2031'])
  assert.deepEqual(first(2, 'مريم١', 'username'), ['مريم١_٣١', 'مريم١_٢٠٣١'])
})

test('a name has more than a thousand candidates, none twice, all of them normal forms within the length', () => {
  const names = [
    'anna',
    'Dorthy71',
    'a',
    'x'.repeat(64),
    'euna.little',
    'ζωή',
    '字',
    'ガギグ',
    'مريم',
    'مريم١',
    'שלום',
    'ä_ö',
    '42',
  ]
  for (const profile of ['username', 'exact'] as const)
    for (const name of names) {
      const all = first(1_500, name, profile)
      assert.equal(all.length, 1_500, name)
      assert.equal(new Set(all).size, all.length, name)
      assert.ok(!all.includes(normalForm(name, profile)), name)
      for (const one of all) {
        assert.equal(normalForm(one, profile), one)
        assert.ok([...one].length <= 64, one)
      }
    }
})

test('a name that is too long for what is added is shortened, between characters as people see them', () => {
  assert.deepEqual(first(2, 'maximilian', 'username', { year, lengthMax: 10 }), ['maximili31', 'maximi2031'])
  assert.deepEqual(first(1, 'maximil.an', 'username', { year, lengthMax: 11 }), ['maximil.31'])
  // A letter with its marks is kept or left as a whole.
  const marked = 'क\u094dष'.repeat(4)
  for (const one of first(200, marked, 'username', { year, lengthMax: 8 }))
    assert.match(one, /^(?:क\u094dष)+\d+$|^(?:क\u094dष)+[_.-]\d+$/, one)
  assert.deepEqual(first(3, 'abc', 'username', { year, lengthMax: 1 }), [])
  // A dot that is allowed beside katakana only does not stay without it.
  assert.deepEqual(first(2, '・・ア', 'username', { year, lengthMax: 4 }), ['・・ア1', '・・ア2'])
})

test('of a text that is no name, what may stand in one is used', () => {
  assert.deepEqual(first(2, 'Ada Lovelace \u{1f600}', 'username'), ['adalovelace31', 'adalovelace2031'])
  assert.deepEqual(first(1, 'a\0b', 'exact'), ['ab31'])
  for (const nothing of ['', '  ', '\u{1f600}', '\u202e'])
    assert.deepEqual(first(1, nothing, 'username'), [], nothing)
  // However long it is.
  assert.ok([...(first(1, 'ada lovelace '.repeat(10_000), 'username')[0] ?? '')].length <= 64)
})

test('whatever the text, candidates are names, and the same ones each time', () => {
  const bounds = fc.record({ lengthMax: fc.integer({ min: 1, max: 40 }), year: fc.constant(year) })
  const text = fc.string({
    unit: fc.oneof(
      fc.constantFrom(...'aZ0._- é字אب١۱ｶﾞ\u200d\u094d'),
      fc.string({ unit: 'binary', maxLength: 1 }),
    ),
    maxLength: 20,
  })
  fc.assert(
    fc.property(text, bounds, fc.constantFrom('username', 'exact'), (typed, within, profile) => {
      const all = first(60, typed, profile, within)
      assert.deepEqual(first(60, typed, profile, within), all)
      assert.equal(new Set(all).size, all.length)
      for (const one of all) {
        assert.equal(keyOf(one, profile), one)
        assert.ok([...one].length <= within.lengthMax)
      }
    }),
    { numRuns: 300 },
  )
})

function keyOf(text: string, profile: NameProfile): string | undefined {
  try {
    return normalForm(text, profile)
  } catch (error) {
    if (error instanceof NameFault) return undefined
    throw error
  }
}

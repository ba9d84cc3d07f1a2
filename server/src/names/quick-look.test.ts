import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readingsOf, skeletonOf } from './look-alikes.ts'
import { QuickLook } from './quick-look.ts'
import { WordTree } from './word-tree.ts'

const word = fc
  .string({ unit: fc.constantFrom(...'abirnv0ж '), minLength: 1, maxLength: 5 })
  .filter((text) => text.trim() !== '')
const name = fc.string({ unit: fc.constantFrom(...'abilrnv014!._Ж'), minLength: 1, maxLength: 12 })

/** What the quick look stands for, in full. */
function isFound(text: string, words: readonly string[], skeletons: ReadonlySet<string>): boolean {
  const tree = new WordTree()
  for (const one of words) tree.add(one, { openBefore: true, openAfter: true })
  return readingsOf(text).some((reading) => {
    const { letters } = reading
    // Read with its separators, or spelled letter by letter.
    const spelled = letters
      .trim()
      .split(/ +/)
      .every((part) => part.length === 1)
      ? letters.replaceAll(' ', '')
      : letters
    return (
      tree.some(letters, () => true) || tree.some(spelled, () => true) || skeletons.has(skeletonOf(reading))
    )
  })
}

test('the quick look passes no name that has a word or a skeleton', () => {
  let [passed, found] = [0, 0]
  fc.assert(
    fc.property(
      fc.array(word, { maxLength: 3 }),
      fc.array(word, { maxLength: 3 }),
      name,
      (some, reserved, text) => {
        const words = some
          .flatMap((one) => readingsOf(one).map(({ letters }) => letters.trim()))
          .filter(Boolean)
        const skeletons = new Set(reserved.flatMap((one) => readingsOf(one).map(skeletonOf)))
        const quick = new QuickLook()
        for (const one of words) quick.addWord(one)
        for (const one of skeletons) quick.addSkeleton(one)
        const passes = quick.passes(text)
        const isThere = isFound(text, words, skeletons)
        assert.ok(!(passes && isThere), text)
        passed += Number(passes)
        found += Number(isThere)
      },
    ),
    { numRuns: 20_000 },
  )
  // Neither side of it is empty.
  assert.ok(passed > 100 && found > 100, `${passed} passed, ${found} found`)
})

test('the quick look passes ordinary names of ASCII', () => {
  const quick = new QuickLook()
  for (const one of ['shit', 'ass', 'fuck']) quick.addWord(one)
  for (const one of ['admln', 'support', 'lmprlnt']) quick.addSkeleton(one)
  for (const text of ['ada', 'dorthy71', 'euna.little', 'administrator', 'a'.repeat(64), 'mx', '@scope/name'])
    assert.ok(quick.passes(text), text)
  for (const text of [
    'admin',
    'adm1n',
    'imprint',
    '!mpr1nt',
    'bass',
    'class',
    'a.b',
    'hornet',
    'zürich',
    '字',
  ])
    assert.ok(!quick.passes(text), text)
})

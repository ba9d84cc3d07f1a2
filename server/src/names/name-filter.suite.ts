import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, test } from 'node:test'
import fc from 'fast-check'

/** What every form of the names filter promises. */
export interface AnyNameFilter extends AsyncDisposable {
  /** For each key, in order: true, maybe; false, never added. */
  has(keys: readonly string[]): Promise<readonly boolean[]>
  /** The keys are there as soon as this resolves. */
  add(keys: readonly string[]): Promise<void>
}

/**
 * The suite of the names filter, for any form of it. `open` gives an empty one at every call that counts and can take
 * 100,000 names with less than 2 % of others a maybe.
 */
export function nameFilterSuite(
  name: string,
  open: () => Promise<AnyNameFilter>,
  { skip = false }: { skip?: string | false } = {},
): void {
  describe(`the ${name} names filter`, { skip }, () => {
    test('an empty filter has no name, and a question for no name has no answer', async () => {
      await using filter = await open()
      assert.deepEqual(await filter.has(['alice', '', 'bob']), [false, false, false])
      assert.deepEqual(await filter.has([]), [])
      await filter.add([])
    })
    test('answers come in the order of the keys, also of those that are asked twice', async () => {
      await using filter = await open()
      const [there, other, missing] = [randomUUID(), randomUUID(), randomUUID()]
      await filter.add([there, other])
      assert.deepEqual(await filter.has([missing, there, missing, other, there]), [
        false,
        true,
        false,
        true,
        true,
      ])
      await filter.add([there, there])
      assert.deepEqual(await filter.has([there, missing]), [true, false])
    })
    test('the case of a letter, a space and a form of the same letter make another key', async () => {
      await using filter = await open()
      await filter.add(['Dorthy71', '\u00e9'])
      assert.deepEqual(await filter.has(['Dorthy71', 'dorthy71', 'Dorthy71 ', '\u00e9', 'e\u0301']), [
        ...[true, false, false],
        ...[true, false],
      ])
    })
    manyNames(open)
    anyHistory(open)
  })
}

function manyNames(open: () => Promise<AnyNameFilter>): void {
  test('BF-06 each of 50,000 names that were added at once is there, and few of 50,000 others are', async () => {
    await using filter = await open()
    const run = randomUUID()
    const names = Array.from({ length: 50_000 }, (_, index) => `${run}-${index}`)
    await filter.add(names)
    const found = await filter.has(names)
    assert.equal(found.length, names.length)
    assert.equal(found.indexOf(false), -1)
    const others = await filter.has(names.map((name) => `${name}-other`))
    const maybes = others.filter(Boolean).length
    assert.ok(maybes < 1_000, `${maybes} of 50,000 names that were never added are a maybe`)
  })
  test('names that many add at the same time, while others ask, are all there', async () => {
    await using filter = await open()
    const lots = Array.from({ length: 40 }, (_, lot) =>
      Array.from({ length: 25 }, (_, name) => `${lot}/${name}`),
    )
    const adding = lots.map(async (names) => {
      await filter.add(names)
      // Each sees its own as soon as its own call has ended, whatever the others do.
      assert.equal((await filter.has(names)).indexOf(false), -1)
    })
    await Promise.all(adding)
    assert.equal((await filter.has(lots.flat())).indexOf(false), -1)
  })
}

function anyHistory(open: () => Promise<AnyNameFilter>): void {
  const key = fc.string({ unit: 'grapheme-composite', maxLength: 60 })
  const step = fc.record({ how: fc.constantFrom('add', 'ask'), keys: fc.array(key, { maxLength: 20 }) })
  test('whatever was added and asked before, no name that was added is ever missing', async () => {
    await using filter = await open()
    const added = new Set<string>()
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 10 }), async (steps) => {
        for (const { how, keys } of steps) {
          if (how === 'add') {
            await filter.add(keys)
            for (const key of keys) added.add(key)
          }
          const asked = [...keys, ...[...added].slice(-50)]
          const found = await filter.has(asked)
          for (const [index, key] of asked.entries())
            assert.ok(found[index] || !added.has(key), `${key} is missing`)
        }
      }),
      { numRuns: 100 },
    )
    assert.equal((await filter.has([...added])).indexOf(false), -1)
  })
}

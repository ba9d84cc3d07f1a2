import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Entry, IntervalTrees } from './interval-trees.ts'

const collected = (trees: IntervalTrees, root: number, low: number, high: number): number[] => {
  if (root < 0) return []
  trees.ask(root, low, high)
  const count = trees.collect()
  return [...trees.found.subarray(0, count)].sort((one, other) => one - other)
}

const overlapping = (entries: readonly Entry[], low: number, high: number): number[] =>
  entries
    .filter((entry) => entry.low <= high && entry.high >= low)
    .map(({ ref }) => ref)
    .sort((one, other) => one - other)

test('the entries that meet an interval are those that a look at all of them finds, while they come and go', () => {
  const low = fc.oneof(fc.nat(100), fc.constantFrom(Number.NEGATIVE_INFINITY, 50, 50, 50))
  const width = fc.oneof({ weight: 9, arbitrary: fc.nat(9) }, { weight: 1, arbitrary: fc.nat(70) })
  const entry = fc
    .record({ low, width, ref: fc.nat(400) })
    .map(({ low, width, ref }): Entry => ({ low, high: Math.max(low, 0) + width, ref }))
  const block = fc.array(entry, { maxLength: 400, size: 'max' })
  fc.assert(
    fc.property(
      block,
      fc.array(fc.nat(), { maxLength: 300, size: 'max' }),
      fc.nat(110),
      (many, takes, at) => {
        const trees = new IntervalTrees()
        let root = -1
        const entries: Entry[] = []
        for (const each of many) {
          root = trees.insert(root, each)
          entries.push(each)
        }
        for (const take of takes.slice(0, entries.length)) {
          const [gone] = entries.splice(take % entries.length, 1)
          if (gone) root = trees.remove(root, gone)
        }
        for (let near = at - 5; near < at + 5; near++)
          assert.deepEqual(collected(trees, root, near, near), overlapping(entries, near, near))
        assert.deepEqual(collected(trees, root, at, at + 3), overlapping(entries, at, at + 3))
        for (const each of entries) root = trees.remove(root, each)
        assert.equal(root, -1)
        assert.equal(trees.size, 0)
      },
    ),
    { numRuns: 200 },
  )
})

test('a hundred thousand entries are a few blocks deep: what is found is exact, what is gone is given back', () => {
  const trees = new IntervalTrees()
  const entries = Array.from({ length: 100_000 }, (_, ref): Entry => {
    const low = (ref * 7919) % 100_003
    return { low, high: low + (ref % 100), ref }
  })
  let root = -1
  for (const entry of entries) root = trees.insert(root, entry)
  assert.ok(trees.bytes < 100_000 * 36, `${trees.bytes} bytes`)
  for (const at of [-1, 0, 50, 77_777, 100_102, 200_000])
    assert.deepEqual(collected(trees, root, at, at), overlapping(entries, at, at))
  // More blocks than are looked at for any usual event.
  assert.deepEqual(collected(trees, root, 40_000, 90_000), overlapping(entries, 40_000, 90_000))
  // One that reaches far beyond its neighbours has to be known at every branch above it, and forgotten there.
  const wide: Entry = { low: 50_000.5, high: 1e9, ref: 100_000 }
  root = trees.insert(root, wide)
  assert.deepEqual(collected(trees, root, 5e8, 5e8), [100_000])
  root = trees.remove(root, wide)
  assert.deepEqual(collected(trees, root, 5e8, 5e8), [])
  for (const entry of entries) if (entry.ref % 10 !== 0) root = trees.remove(root, entry)
  const left = entries.filter(({ ref }) => ref % 10 === 0)
  assert.deepEqual(collected(trees, root, 500, 600), overlapping(left, 500, 600))
  for (const entry of left) root = trees.remove(root, entry)
  assert.equal(trees.size, 0)
  assert.ok(trees.bytes < 2 ** 20, `${trees.bytes} bytes are left`)
})

test('what is asked for of several sets is found together, each by its own interval', () => {
  const trees = new IntervalTrees()
  const roots = [0, 1, 2].map((set) => {
    let root = -1
    for (let n = 0; n < 5_000; n++) root = trees.insert(root, { low: n, high: n + 1, ref: 10_000 * set + n })
    return root
  })
  for (const [set, root] of roots.entries()) trees.ask(root, 1_000 * set + 0.5, 1_000 * set + 1.5)
  const count = trees.collect()
  const found = [...trees.found.subarray(0, count)].sort((one, other) => one - other)
  assert.deepEqual(found, [0, 1, 11_000, 11_001, 22_000, 22_001])
  assert.equal(trees.collect(), 0)
})

test('an entry that is not there is a mistake that changes nothing', () => {
  const trees = new IntervalTrees()
  const root = trees.insert(-1, { low: 1, high: 2, ref: 3 })
  for (const other of [
    { low: 1, high: 2, ref: 4 },
    { low: 1, high: 3, ref: 3 },
    { low: 0, high: 2, ref: 3 },
  ])
    assert.throws(() => trees.remove(root, other))
  assert.deepEqual(collected(trees, root, 1, 1), [3])
})

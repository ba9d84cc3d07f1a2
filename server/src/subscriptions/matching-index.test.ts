import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Event } from '@pulse/protocol/event'
import fc from 'fast-check'
import { clausesOf } from './clauses.ts'
import { matches } from './matches.ts'
import { arbitraryEvent, arbitraryTree } from './matching/matching-world.ts'
import { createMatchingIndex, type MatchingIndex } from './matching-index.ts'
import { filterLimits, type Test, type Tree } from './tree.ts'

const eventOf = (properties: Record<string, unknown>, event_type = 'order.created'): Event => ({
  event_id: '00000000-0000-4000-8000-000000000000',
  event_type,
  user_id: 'user_1',
  timestamp: '2026-11-21T10:00:00.000000Z',
  properties,
  source: null,
  schema_version: 1,
})

const foundBy = (index: MatchingIndex, event: Event): number[] => {
  const count = index.match(event)
  return [...index.found.subarray(0, count)].sort((one, other) => one - other)
}

/** What the judge says, over all filters one after another. */
const judged = (filters: ReadonlyMap<number, Tree>, event: Event): number[] =>
  [...filters]
    .filter(([, tree]) => matches(tree, event))
    .map(([handle]) => handle)
    .sort((one, other) => one - other)

const some = (name: string, test: Test): Tree => ({ kind: 'some', path: ['properties', name], test })
const is = (name: string, ...values: (string | number)[]): Tree => some(name, { kind: 'equals', values })
const all = (...of: Tree[]): Tree => ({ kind: 'all', of })
const from = (name: string, value: number): Tree =>
  some(name, {
    kind: 'range',
    low: { value, included: true },
    high: { value: Number.POSITIVE_INFINITY, included: false },
  })
const between = (name: string, low: number, high: number): Tree =>
  some(name, { kind: 'range', low: { value: low, included: true }, high: { value: high, included: true } })

function assertEmpty(index: MatchingIndex): void {
  const { bytes, ...sizes } = index.sizes
  const nothing = {
    classes: 0,
    tokens: 0,
    fields: 0,
    nodes: 1,
    blocks: 0,
    clauses: 0,
    conditions: 0,
    trees: 0,
  }
  assert.deepEqual(sizes, nothing)
  assert.equal(index.size, 0)
  assert.ok(bytes < 2 ** 21, `${bytes} bytes are left`)
}

/** Handles as callers give them: dense, and used again. */
class Handles {
  readonly filters = new Map<number, Tree>()
  readonly #free: number[] = []
  #next = 0

  take(tree: Tree): number {
    const handle = this.#free.pop() ?? this.#next++
    this.filters.set(handle, tree)
    return handle
  }

  give(handle: number): void {
    this.filters.delete(handle)
    this.#free.push(handle)
  }
}

// Ten thousand were tried by hand; these take a second.
const numRuns = 300

test('the index finds what the judge finds, while filters come and go, and gives everything back at the end', () => {
  const step = fc.record({
    kind: fc.constantFrom('add', 'remove', 'match'),
    pick: fc.nat(),
    event: arbitraryEvent,
  })
  fc.assert(
    fc.property(
      fc.array(arbitraryTree, { minLength: 1, maxLength: 12, size: 'max' }),
      fc.array(step, { minLength: 1, maxLength: 60, size: 'max' }),
      (trees, steps) => {
        const index = createMatchingIndex({ eventsPerRound: 7 })
        const handles = new Handles()
        for (const { kind, pick, event } of steps) {
          if (kind === 'add') {
            const tree = trees[pick % trees.length] as Tree
            // As after a reload: an equal tree, not the same object.
            index.add(handles.take(tree), structuredClone(tree))
          } else if (kind === 'remove' && handles.filters.size > 0) {
            const handle = [...handles.filters.keys()][pick % handles.filters.size] as number
            index.remove(handle, structuredClone(handles.filters.get(handle) as Tree))
            handles.give(handle)
          }
          assert.equal(index.size, handles.filters.size)
          assert.deepEqual(foundBy(index, event), judged(handles.filters, event))
        }
        for (const [handle, tree] of handles.filters) index.remove(handle, tree)
        assertEmpty(index)
      },
    ),
    { numRuns },
  )
})

test('equal filters are one class, however many have them and in whatever order they are written', () => {
  const index = createMatchingIndex()
  const one = all(is('tier', 'gold', 'silver'), from('amount', 10))
  const other = all(from('amount', 10), is('tier', 'silver', 'gold'))
  for (let handle = 0; handle < 1_000; handle++) index.add(handle, handle % 2 === 0 ? one : other)
  assert.equal(index.sizes.classes, 1)
  const event = eventOf({ tier: 'gold', amount: 10 })
  assert.equal(foundBy(index, event).length, 1_000)
  // Out of the middle, from both ends, and back.
  for (let handle = 0; handle < 1_000; handle += 3) index.remove(handle, other)
  const left = Array.from({ length: 1_000 }, (_, n) => n).filter((n) => n % 3 !== 0)
  assert.deepEqual(foundBy(index, event), left)
  index.add(0, one)
  assert.deepEqual(foundBy(index, event), [0, ...left])
  for (const handle of [0, ...left]) index.remove(handle, one)
  assertEmpty(index)
})

test('a handle in use, one that is not, and a tree that is not its own are mistakes that change nothing', () => {
  const index = createMatchingIndex()
  index.add(0, is('tier', 'gold'))
  assert.throws(() => index.add(0, is('tier', 'silver')), /in use/)
  assert.throws(() => index.remove(1, is('tier', 'gold')), /does not have/)
  assert.throws(() => index.remove(0, is('tier', 'silver')), /does not have/)
  assert.deepEqual(foundBy(index, eventOf({ tier: 'gold' })), [0])
  assert.equal(index.sizes.tokens, 1)
})

test('ten thousand filters with ranges and thresholds, many at the same round number, are found and taken away again', () => {
  const index = createMatchingIndex()
  const filters = new Map<number, Tree>()
  for (let n = 0; n < 10_000; n++) {
    const low = n % 3 === 0 ? 100 : (n * 7919) % 1_000
    const tree =
      n % 2 === 0 ? all(is('tier', 'gold'), between('amount', low, low + (n % 50))) : from('amount', low)
    filters.set(
      n,
      all(tree, { kind: 'none', path: ['properties', 'skip'], test: { kind: 'equals', values: [n] } }),
    )
  }
  for (const [handle, tree] of filters) index.add(handle, tree)
  const events = [0, 99, 100, 101, 555.5, 2_000].flatMap((amount) => [
    eventOf({ tier: 'gold', amount, skip: 3 }),
    eventOf({ tier: 'free', amount: [amount, -5], skip: 9 }),
  ])
  const check = () => {
    for (const event of events) assert.deepEqual(foundBy(index, event), judged(filters, event))
  }
  check()
  for (const [handle, tree] of [...filters].filter(([handle]) => handle % 4 !== 1)) {
    index.remove(handle, tree)
    filters.delete(handle)
  }
  check()
  for (const [handle, tree] of filters) index.remove(handle, tree)
  assertEmpty(index)
})

test('of several values of one member each may pass another test', () => {
  const index = createMatchingIndex()
  const filters = new Map<number, Tree>([
    [0, all(is('tags', 'red'), is('tags', 'round'))],
    [1, all(is('tags', 'round'), some('tags', { kind: 'prefix', values: ['re'], ignoreCase: false }))],
    [
      2,
      all(
        from('sizes', 10),
        some('sizes', {
          kind: 'range',
          low: { value: -Infinity, included: false },
          high: { value: 5, included: true },
        }),
      ),
    ],
    [3, all(between('sizes', 1, 4), between('sizes', 9, 20))],
    [4, between('sizes', 5, 8)],
    // Found by either of its values, and still only once.
    [5, is('tags', 'red', 'round')],
  ])
  for (const [handle, tree] of filters) index.add(handle, tree)
  const lists = [['red', 'round'], ['round'], ['red'], ['round', 'reed'], 'red', [['round'], 'red']]
  const sizes = [[2, 12], [12], [2], [4, 9], [3, 6, 8], 6, [1, 30], [30, 2, 11]]
  for (const tags of lists)
    for (const each of sizes) {
      const event = eventOf({ tags, sizes: each })
      assert.deepEqual(foundBy(index, event), judged(filters, event))
    }
  assert.deepEqual(foundBy(index, eventOf({ tags: ['red', 'round'], sizes: [2, 12] })), [0, 1, 2, 3, 5])
  for (const [handle, tree] of filters) index.remove(handle, tree)
  assertEmpty(index)
})

test('a filter that goes leaves those alone that name texts, ends or blocks like its own', () => {
  const texts = (kind: 'prefix' | 'suffix', value: string, ignoreCase = false): Tree =>
    some('path', { kind, values: [value], ignoreCase })
  const address = (block: string): Tree => some('address', { kind: 'cidr', blocks: [block] })
  const pairs: readonly (readonly [Tree, Tree])[] = [
    [is('path', '/a'), is('path', '/b')],
    [texts('prefix', '/a'), texts('prefix', '/b')],
    [texts('suffix', '.a'), texts('suffix', '.b')],
    [texts('prefix', '/A', true), texts('prefix', '/B', true)],
    [address('10.0.0.0/8'), address('11.0.0.0/8')],
    [is('size', 1), is('size', 2)],
  ]
  for (const [stays, goes] of pairs) {
    const index = createMatchingIndex()
    index.add(0, stays)
    index.add(1, goes)
    index.remove(1, goes)
    const events = ['/a', '/b', 'x.a', 'x.b'].map((path) => eventOf({ path, address: '10.1.1.1', size: 1 }))
    for (const event of events) assert.deepEqual(foundBy(index, event), judged(new Map([[0, stays]]), event))
    index.remove(0, stays)
    assertEmpty(index)
  }
})

test('a member that every object has from its prototype is not a member of the event', () => {
  const index = createMatchingIndex()
  const exists = (...path: string[]): Tree => ({
    kind: 'some',
    path: ['properties', ...path],
    test: { kind: 'exists' },
  })
  index.add(0, exists('__proto__', '__proto__'))
  index.add(1, exists('constructor'))
  assert.deepEqual(foundBy(index, eventOf({ a: 1 })), [])
  const own: unknown = JSON.parse('{"__proto__":{"__proto__":1},"constructor":1}')
  assert.deepEqual(foundBy(index, eventOf(own as Record<string, unknown>)), [0, 1])
})

test('two filters that differ only in what must stand in one and the same object are two classes', () => {
  const index = createMatchingIndex()
  const member = (name: string): Tree => ({
    kind: 'some',
    path: [name],
    test: { kind: 'equals', values: [1] },
  })
  const within = (of: Tree): Tree => ({ kind: 'within', path: ['properties', 'items'], of })
  index.add(0, within(all(member('a'), member('b'))))
  index.add(1, all(within(member('a')), within(member('b'))))
  assert.equal(index.sizes.classes, 2)
  assert.deepEqual(foundBy(index, eventOf({ items: [{ a: 1 }, { b: 1 }] })), [1])
  assert.deepEqual(foundBy(index, eventOf({ items: [{ a: 1, b: 1 }] })), [0, 1])
  assert.deepEqual(foundBy(index, eventOf({ items: { a: 1, b: 1 } })), [0, 1])
})

test('of two ranges the narrower one is looked up, by the numbers seen, and the filter is found again to be removed', () => {
  const index = createMatchingIndex()
  const tree = all(between('wide', 0, 1_000), between('narrow', 5, 6))
  index.add(0, tree)
  for (let n = 0; n < 2_000; n++) index.match(eventOf({ wide: n % 1_000, narrow: n % 100 }))
  index.add(1, all(between('wide', 1, 999), between('narrow', 5, 6)))
  const event = eventOf({ wide: 500, narrow: 5 })
  assert.deepEqual(foundBy(index, event), [0, 1])
  index.remove(0, tree)
  assert.deepEqual(foundBy(index, event), [1])
  index.remove(1, all(between('wide', 1, 999), between('narrow', 5, 6)))
  assertEmpty(index)
})

test('filters as large as they may be stay within limits of time and memory', () => {
  const index = createMatchingIndex()
  const { testsMax, valuesMax, valueCharsMax } = filterLimits
  const word = (n: number) => `value-${n}`
  const filters: Tree[] = [
    // Every test a different member.
    all(...Array.from({ length: testsMax }, (_, n) => is(`member${n}`, word(n)))),
    // Long lists in one filter: their product is a million million.
    all(
      ...['a', 'b', 'c', 'd'].map((name) =>
        is(name, ...Array.from({ length: valuesMax }, (_, n) => word(n))),
      ),
    ),
    // A begin of every length.
    some('path', {
      kind: 'prefix',
      values: Array.from({ length: valueCharsMax }, (_, n) => `${'x'.repeat(n)}y`),
      ignoreCase: false,
    }),
    // As many alternatives as there may be, each with a long list.
    all(is('a', ...Array.from({ length: 60 }, (_, n) => word(n))), {
      kind: 'any',
      of: Array.from({ length: filterLimits.clausesMax }, (_, n) => from(`amount${n}`, n)),
    }),
  ]
  const startedMs = performance.now()
  for (const [handle, tree] of filters.entries()) index.add(handle, tree)
  const long = Object.fromEntries(Array.from({ length: testsMax }, (_, n) => [`member${n}`, word(n)]))
  assert.deepEqual(foundBy(index, eventOf(long)), [0])
  const listed = { a: word(1), b: word(2), c: word(999), d: word(0) }
  assert.deepEqual(foundBy(index, eventOf(listed)), [1])
  assert.deepEqual(foundBy(index, eventOf({ ...listed, amount7: 8 })), [1, 3])
  assert.deepEqual(foundBy(index, eventOf({ path: `${'x'.repeat(100)}yz` })), [2])
  const { bytes } = index.sizes
  assert.ok(bytes < 8 * 2 ** 20, `${bytes} bytes`)
  for (const [handle, tree] of filters.entries()) index.remove(handle, tree)
  // They take about 50 ms; the limit is for a slow machine, and far below what a product would take.
  assert.ok(performance.now() - startedMs < 5_000)
  assertEmpty(index)
})

test('a filter with too many alternatives is refused and leaves nothing behind', () => {
  const index = createMatchingIndex()
  const either = (name: string): Tree => ({
    kind: 'any',
    of: [between(name, 0, 1), between(name, 2, 3), between(name, 4, 5)],
  })
  const wide = all(...['a', 'b', 'c', 'd'].map(either))
  assert.throws(() => index.add(0, wide), { name: 'FilterError', code: 'filter_too_wide' })
  assert.throws(() => clausesOf(wide), { code: 'filter_too_wide' })
  assertEmpty(index)
})

test('an array of objects is judged as a whole: one element must pass what stands within', () => {
  const index = createMatchingIndex()
  const tree: Tree = {
    kind: 'within',
    path: ['properties', 'items'],
    of: all(
      { kind: 'some', path: ['sku'], test: { kind: 'equals', values: ['a'] } },
      {
        kind: 'some',
        path: ['price'],
        test: { kind: 'equals', values: [2] },
      },
    ),
  }
  index.add(0, tree)
  assert.deepEqual(foundBy(index, eventOf({ items: { sku: 'a', price: 2 } })), [0])
  assert.deepEqual(
    foundBy(
      index,
      eventOf({
        items: [
          { sku: 'a', price: 1 },
          { sku: 'a', price: 2 },
        ],
      }),
    ),
    [0],
  )
  assert.deepEqual(
    foundBy(
      index,
      eventOf({
        items: [
          { sku: 'a', price: 1 },
          { sku: 'b', price: 2 },
        ],
      }),
    ),
    [],
  )
  index.remove(0, tree)
  assertEmpty(index)
})

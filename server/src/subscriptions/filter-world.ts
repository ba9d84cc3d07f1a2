import type { Event } from '@pulse/protocol/event'
import fc, { type Arbitrary } from 'fast-check'
import { filterLimits, type Path, type Scalar, type Test, type Tree } from './tree.ts'
import { partsOf } from './tree-building.ts'

// Filters and events for tests. Names and values come from small pools that both share, so that about every second
// test finds its member and every third passes; what is special in a language (its words, its stars) is among them.

const names = [
  'amount',
  'user_tier',
  'tags',
  'items',
  'sku',
  'in',
  'a b',
  'x.y',
  '$or',
  '__proto__',
  'größe',
] as const
const eventTypes = ['purchase', 'click', 'order.created', 'order.paid', 'Order.Created'] as const
const users = ['u1', 'u2', 'U1', '10.0.0.1'] as const
const texts = [
  '',
  'a',
  'A',
  'ab',
  'aab',
  'aBa',
  'gold',
  'Gold',
  'a*b',
  'a\\b',
  '"',
  'ß',
  'Σας',
  'ΣΑΣ',
  '\u2028',
] as const
const addresses = ['10.0.0.1', '10.200.3.4', '192.168.1.1', '2001:db8::1', '::ffff:10.0.0.1', '::1'] as const
const blocks = ['10.0.0.0/8', '10.0.0.1/32', '0.0.0.0/0', '192.168.0.0/23', '2001:db8::/33', '::/0'] as const
const wildcards = ['*', 'a*', '*b', 'a*b', '*a*', 'a*a*b', 'o*.*d', 'a\\*b', '*\\\\*', 'gold'] as const
const numbers = [-1, -0.5, 0, 1, 2, 99.99, 100, 100.01, 1e21, 5e-324] as const

const aText: Arbitrary<string> = fc.constantFrom(...texts, ...addresses, ...eventTypes)
const aNumber: Arbitrary<number> = fc.constantFrom(...numbers)

/** A value that is no object and no array. */
export const aScalar: Arbitrary<Scalar> = fc.oneof(aText, aNumber, fc.boolean(), fc.constant(null))

const aName: Arbitrary<string> = fc.constantFrom(...names)

/** The properties of an event: values, lists, objects, lists of objects, and lists of lists. */
const someProperties: Arbitrary<Record<string, unknown>> = fc.letrec<{
  object: Record<string, unknown>
  value: unknown
}>((tie) => ({
  object: fc
    .array(fc.tuple(aName, tie('value')), { maxLength: 5 })
    // Unlike an assignment, this gives even `__proto__` to the object itself, as JSON.parse does.
    .map((members) => Object.fromEntries(members)),
  value: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    { arbitrary: aScalar, weight: 4 },
    { arbitrary: fc.array(tie('value'), { maxLength: 3 }), weight: 1 },
    { arbitrary: tie('object'), weight: 2 },
  ),
})).object

/** An event whose values the filters of `aTree` know. */
export const anEvent: Arbitrary<Event> = fc.record({
  event_id: fc.uuid(),
  event_type: fc.constantFrom(...eventTypes),
  user_id: fc.option(fc.constantFrom(...users)),
  timestamp: fc.constantFrom('2026-11-21T10:00:00.000000Z', '2026-11-22T00:00:00.000001Z'),
  properties: someProperties,
  source: fc.option(fc.constantFrom('shop', 'Shop')),
  schema_version: fc.constantFrom(1, 2),
})

const listOf = <T>(one: Arbitrary<T>): Arbitrary<readonly T[]> =>
  fc.uniqueArray(one, { minLength: 1, maxLength: 3, comparator: 'SameValueZero' })

const open = (value: number) => ({ value, included: false })

const aRange: Arbitrary<Test> = fc
  .tuple(fc.uniqueArray(aNumber, { minLength: 2, maxLength: 2 }), fc.boolean(), fc.boolean(), fc.nat(3))
  .map(([pair, lowIncluded, highIncluded, kind]): Test => {
    const [low = 0, high = 0] = pair.sort((one, other) => one - other)
    if (kind === 0) return { kind: 'range', low: { value: low, included: lowIncluded }, high: open(Infinity) }
    if (kind === 1)
      return { kind: 'range', low: open(-Infinity), high: { value: high, included: highIncluded } }
    if (kind === 2)
      return { kind: 'range', low: { value: low, included: true }, high: { value: low, included: true } }
    return {
      kind: 'range',
      low: { value: low, included: lowIncluded },
      high: { value: high, included: highIncluded },
    }
  })

const plainTest: Arbitrary<Test> = fc.oneof(
  { arbitrary: fc.constant<Test>({ kind: 'exists' }), weight: 1 },
  { arbitrary: listOf(aScalar).map((values): Test => ({ kind: 'equals', values })), weight: 4 },
  { arbitrary: listOf(aText).map((values): Test => ({ kind: 'equals-ignore-case', values })), weight: 1 },
  {
    arbitrary: fc
      .tuple(fc.constantFrom('prefix', 'suffix'), listOf(aText), fc.boolean())
      .map(([kind, values, ignoreCase]): Test => ({ kind, values, ignoreCase })),
    weight: 2,
  },
  {
    arbitrary: fc.constantFrom(...wildcards).map((value): Test => ({ kind: 'wildcard', values: [value] })),
    weight: 1,
  },
  { arbitrary: aRange, weight: 3 },
  {
    arbitrary: listOf(fc.constantFrom(...blocks)).map((each): Test => ({ kind: 'cidr', blocks: each })),
    weight: 1,
  },
)

/** One test of every kind, also `other` of each. */
export const aTest: Arbitrary<Test> = fc.oneof(
  { arbitrary: plainTest, weight: 5 },
  { arbitrary: plainTest.map((than): Test => ({ kind: 'other', than })), weight: 1 },
)

const elementPath: Arbitrary<Path> = fc.array(aName, { minLength: 1, maxLength: 2 })

const eventPath: Arbitrary<Path> = fc.oneof(
  {
    arbitrary: fc.constantFrom(['event_type'], ['user_id'], ['source'], ['schema_version'], ['event_id']),
    weight: 1,
  },
  { arbitrary: elementPath.map((path) => ['properties', ...path]), weight: 2 },
)

const leafAt = (path: Arbitrary<Path>): Arbitrary<Tree> =>
  fc
    .tuple(fc.constantFrom('some', 'some', 'none'), path, aTest)
    .map(([kind, where, test]): Tree => ({ kind, path: where, test }))

const treeOver = (path: Arbitrary<Path>, objects: Arbitrary<Path>, maxDepth: number): Arbitrary<Tree> =>
  fc.letrec<{ tree: Tree }>((tie) => {
    const inner: Arbitrary<Tree>[] = maxDepth > 1 ? [withinAt(objects, maxDepth - 1)] : []
    return {
      tree: fc.oneof(
        { maxDepth, depthSize: 'small' },
        { arbitrary: leafAt(path), weight: 5 },
        {
          arbitrary: fc
            .tuple(fc.constantFrom('all', 'any'), fc.array(tie('tree'), { maxLength: 3 }))
            .map(([kind, of]): Tree => ({ kind, of })),
          weight: 4,
        },
        { arbitrary: tie('tree').map((of): Tree => ({ kind: 'not', of })), weight: 1 },
        ...inner.map((arbitrary) => ({ arbitrary, weight: 2 })),
      ),
    }
  }).tree

const withinAt = (objects: Arbitrary<Path>, maxDepth: number): Arbitrary<Tree> =>
  fc
    .tuple(objects, treeOver(elementPath, elementPath, maxDepth))
    .map(([path, of]): Tree => ({ kind: 'within', path, of }))

const objectPath: Arbitrary<Path> = fc.array(aName, { maxLength: 2 }).map((path) => ['properties', ...path])

/** A filter with every kind of node and test, within all limits. Its clauses may be more than `clausesMax`. */
export const aTree: Arbitrary<Tree> = treeOver(eventPath, objectPath, 3).filter(
  (tree) => wildcardsIn(tree) <= filterLimits.wildcardsMax,
)

function wildcardsIn(tree: Tree): number {
  if (tree.kind === 'some' || tree.kind === 'none')
    return /"wildcard"/.test(JSON.stringify(tree.test)) ? 1 : 0
  return partsOf(tree).reduce((sum, part) => sum + wildcardsIn(part), 0)
}

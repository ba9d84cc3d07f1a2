import type { Event } from '@pulse/protocol/event'
import fc from 'fast-check'
import type { Path, Test, Tree } from '../tree.ts'

// Few names and few values, so that filters and events meet, and meet in every way: the same member is a text in one event,
// an array of objects in another.
const names = ['a', 'b', 'tier', '__proto__', 'constructor']
const texts = [
  '',
  'a',
  'ab',
  'abc',
  'abd',
  'AB',
  'ß',
  'ΑΣ',
  'ας',
  '10.1.2.3',
  '10.1.9.9',
  '::ffff:10.1.2.3',
  '2001:db8::1',
  '😀x',
]
const numbers = [-1, -0, 0, 0.5, 1, 2, 3, 10, 1e300]

const text = fc.constantFrom(...texts)
const number = fc.constantFrom(...numbers)
const scalar = fc.oneof(text, number, fc.constantFrom(true, false, null))
const someOf = <T>(of: fc.Arbitrary<T>) => fc.array(of, { minLength: 1, maxLength: 3 })

const bound = (infinite: number) =>
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ value: number, included: fc.boolean() }) },
    { weight: 1, arbitrary: fc.constant({ value: infinite, included: false }) },
  )

const plainTest: fc.Arbitrary<Test> = fc.oneof(
  fc.constant<Test>({ kind: 'exists' }),
  someOf(scalar).map((values): Test => ({ kind: 'equals', values })),
  someOf(text).map((values): Test => ({ kind: 'equals-ignore-case', values })),
  fc
    .record({
      kind: fc.constantFrom('prefix' as const, 'suffix' as const),
      values: someOf(text),
      ignoreCase: fc.boolean(),
    })
    .map((each): Test => each),
  someOf(fc.constantFrom('a*', '*b', 'a*c', '*b*', '*', 'ab', 'a\\*', 'a*b*d')).map(
    (values): Test => ({ kind: 'wildcard', values }),
  ),
  fc
    .record({ low: bound(Number.NEGATIVE_INFINITY), high: bound(Number.POSITIVE_INFINITY) })
    .map((ends): Test => ({ kind: 'range', ...ends })),
  someOf(
    fc.constantFrom('10.1.0.0/16', '10.1.2.3/32', '0.0.0.0/0', '2001:db8::/32', '::/0', '10.1.2.0/25'),
  ).map((blocks): Test => ({ kind: 'cidr', blocks })),
)
const anyTest = fc.oneof(
  { weight: 6, arbitrary: plainTest },
  { weight: 1, arbitrary: plainTest.map((than): Test => ({ kind: 'other', than })) },
)

// Most speak of one member, so that filters meet in it.
const name = fc.oneof(
  { weight: 3, arbitrary: fc.constant('a') },
  { weight: 2, arbitrary: fc.constantFrom(...names) },
)
const propertyPath: fc.Arbitrary<Path> = fc.oneof(
  { weight: 3, arbitrary: name.map((each): Path => ['properties', each]) },
  { weight: 1, arbitrary: fc.tuple(name, name).map((path): Path => ['properties', ...path]) },
)
const eventPath: fc.Arbitrary<Path> = fc.oneof(
  { weight: 4, arbitrary: propertyPath },
  {
    weight: 1,
    arbitrary: fc.constantFrom<Path>(['event_type'], ['user_id'], ['schema_version'], ['nothing']),
  },
)

const leafOf = (path: fc.Arbitrary<Path>): fc.Arbitrary<Tree> =>
  fc.record({ kind: fc.constantFrom('some' as const, 'some' as const, 'none' as const), path, test: anyTest })

function treeOf(path: fc.Arbitrary<Path>, depth: number): fc.Arbitrary<Tree> {
  const leaf = leafOf(path)
  if (depth === 0) return leaf
  const below = treeOf(path, depth - 1)
  const few = fc.array(below, { maxLength: 3 })
  return fc.oneof(
    { weight: 3, arbitrary: leaf },
    { weight: 3, arbitrary: few.map((of): Tree => ({ kind: 'all', of })) },
    { weight: 2, arbitrary: few.map((of): Tree => ({ kind: 'any', of })) },
    { weight: 1, arbitrary: below.map((of): Tree => ({ kind: 'not', of })) },
    {
      weight: 2,
      arbitrary: fc
        .tuple(
          path.filter((each) => each.length < 3),
          treeOf(
            fc.array(name, { minLength: 1, maxLength: 2 }).map((each): Path => each),
            depth - 1,
          ),
        )
        .map(([within, of]): Tree => ({ kind: 'within', path: within, of })),
    },
  )
}

/** Any tree, also such as no pattern or expression would make. A few are too wide: see `clausesOf`. */
export const arbitraryTree: fc.Arbitrary<Tree> = treeOf(eventPath, 2)

const value: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown; object: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    scalar,
    tie('object'),
    fc.array(scalar, { minLength: 2, maxLength: 4, size: 'max' }),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.array(tie('object'), { maxLength: 3 }),
  ),
  object: fc.array(fc.tuple(name, tie('value')), { maxLength: 4 }).map(objectOf),
})).value

/** As JSON.parse makes it: `__proto__` is a member like others. */
function objectOf(members: readonly (readonly [string, unknown])[]): Record<string, unknown> {
  const object: Record<string, unknown> = {}
  for (const [key, each] of members)
    Object.defineProperty(object, key, { value: each, enumerable: true, configurable: true, writable: true })
  return object
}

/** Events whose members are now this, now that. */
export const arbitraryEvent: fc.Arbitrary<Event> = fc
  .record({
    event_type: fc.constantFrom('a', 'ab', 'abc', 'order.created'),
    user_id: fc.constantFrom(null, 'a', 'ab', '10.1.2.3'),
    properties: fc.array(fc.tuple(name, value), { maxLength: 4 }).map(objectOf),
    schema_version: fc.constantFrom(1, 2),
  })
  .map((members) => ({
    event_id: '00000000-0000-4000-8000-000000000000',
    timestamp: '2026-11-21T10:00:00.000000Z',
    source: null,
    ...members,
  }))

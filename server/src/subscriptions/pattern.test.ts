import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Event } from '@pulse/protocol/event'
import fc from 'fast-check'
import { parseExpression } from './expression.ts'
import { FilterError } from './filter-error.ts'
import { anEvent, aTree } from './filter-world.ts'
import { matches } from './matches.ts'
import { parsePattern, printPattern } from './pattern.ts'
import { aPattern, matchesByRules } from './pattern-world.ts'
import { filterLimits, type Tree } from './tree.ts'

const order: Event = {
  event_id: '0b7f0f3c-3a7e-4d8c-9a55-1f2f6a1c9d10',
  event_type: 'order.created',
  user_id: null,
  timestamp: '2026-11-21T10:00:00.000000Z',
  properties: {
    amount: 150,
    gift: false,
    ip: '10.1.2.3',
    ip6: '2001:db8::7',
    city: 'Zürich',
    tags: ['new', 'eu'],
    empty: [],
    shop: { region: 'eu', desk: { number: 4 } },
    items: [
      { sku: 'a', qty: 1 },
      { sku: 'b', qty: 5, gift: true },
    ],
  },
  source: 'shop',
  schema_version: 1,
}

const passes = (pattern: unknown) => matches(parsePattern(pattern), order)
/** Whether a list for one property passes. */
const passesAt = (name: string, ...list: unknown[]) => passes({ properties: { [name]: list } })

function refusal(pattern: unknown): FilterError {
  try {
    parsePattern(pattern)
  } catch (error) {
    if (error instanceof FilterError) return error
    throw error
  }
  return assert.fail(`${JSON.stringify(pattern)} was not refused`)
}

describe('a pattern', () => {
  test('matches if every member has one of its values', () => {
    assert.equal(passes({ event_type: ['click', 'order.created'], source: ['shop'] }), true)
    assert.equal(passes({ event_type: ['click', 'order.created'], source: ['till'] }), false)
    assert.equal(passes({ user_id: [null], schema_version: [1], properties: { gift: [false] } }), true)
    assert.equal(passesAt('amount', '150'), false)
    assert.equal(passesAt('amount', 1.5e2), true)
    assert.equal(passesAt('nowhere', null), false)
    assert.equal(passes({ properties: { shop: { desk: { number: [4] }, region: ['eu', 'us'] } } }), true)
  })

  test('knows begins and ends, with case and without', () => {
    assert.equal(passes({ event_type: [{ prefix: 'order.' }] }), true)
    assert.equal(passes({ event_type: [{ prefix: 'Order.' }] }), false)
    assert.equal(passesAt('city', { prefix: { 'equals-ignore-case': 'zÜ' } }), true)
    assert.equal(passesAt('city', { suffix: 'ich' }), true)
    assert.equal(passesAt('city', { suffix: 'ICH' }), false)
    assert.equal(passesAt('city', { suffix: { 'equals-ignore-case': 'ICH' } }), true)
    assert.equal(passesAt('city', { 'equals-ignore-case': 'ZÜRICH' }), true)
    assert.equal(passesAt('amount', { prefix: '1' }), false)
  })

  test('knows anything but a value, a list, a begin, an end, a wildcard and a word in any case; a value must be there', () => {
    const unwanted = (operand: unknown) => passesAt('city', { 'anything-but': operand })
    assert.equal(unwanted('Bern'), true)
    assert.equal(unwanted('Zürich'), false)
    assert.equal(unwanted(['Bern', 'Zürich']), false)
    assert.equal(unwanted(['Bern', 5, null, true]), true)
    assert.equal(unwanted({ prefix: 'Z' }), false)
    assert.equal(unwanted({ prefix: ['B', 'z'] }), true)
    assert.equal(unwanted({ suffix: 'ich' }), false)
    assert.equal(unwanted({ wildcard: 'Z*r*h' }), false)
    assert.equal(unwanted({ wildcard: ['B*', '*x*'] }), true)
    assert.equal(unwanted({ 'equals-ignore-case': 'zürich' }), false)
    assert.equal(unwanted({ 'equals-ignore-case': ['bern', 'ZÜRICH'] }), false)
    assert.equal(passesAt('nowhere', { 'anything-but': 'x' }), false)
    assert.equal(passesAt('tags', { 'anything-but': 'new' }), true)
    assert.equal(passesAt('tags', { 'anything-but': ['new', 'eu'] }), false)
  })

  test('knows ranges of numbers with ends that are included or not', () => {
    const ranges: readonly (readonly [unknown, boolean])[] = [
      [['=', 150], true],
      [['=', 151], false],
      [['>', 150], false],
      [['>=', 150], true],
      [['<', 150], false],
      [['<=', 150], true],
      [['>', 0, '<=', 150], true],
      [['<', 200, '>=', 150], true],
      [['>=', 150, '<=', 150], true],
      [['>', 150, '<', 200], false],
    ]
    for (const [numeric, expected] of ranges)
      assert.equal(passesAt('amount', { numeric }), expected, JSON.stringify(numeric))
    assert.equal(passesAt('city', { numeric: ['>', 0] }), false)
  })

  test('knows blocks of addresses of both versions', () => {
    assert.equal(passesAt('ip', { cidr: '10.0.0.0/8' }), true)
    assert.equal(passesAt('ip', { cidr: '10.1.2.3/32' }), true)
    assert.equal(passesAt('ip', { cidr: '10.2.0.0/16' }), false)
    assert.equal(passesAt('ip6', { cidr: '2001:db8::/32' }), true)
    assert.equal(passesAt('ip6', { cidr: '0.0.0.0/0' }), false)
    assert.equal(passesAt('city', { cidr: '0.0.0.0/0' }), false)
  })

  test('knows wildcards, in which a backslash takes the meaning from a star', () => {
    assert.equal(passes({ event_type: [{ wildcard: 'o*.c*d' }] }), true)
    assert.equal(passes({ event_type: [{ wildcard: 'o\\*.c*d' }] }), false)
    assert.equal(passes({ event_type: [{ wildcard: 'order' }] }), false)
  })

  test('asks only values whether they exist', () => {
    assert.equal(passesAt('amount', { exists: true }), true)
    assert.equal(passesAt('amount', { exists: false }), false)
    assert.equal(passesAt('nowhere', { exists: false }), true)
    assert.equal(passesAt('shop', { exists: true }), false)
    assert.equal(passesAt('empty', { exists: true }), false)
    assert.equal(passesAt('tags', { exists: true }), true)
    assert.equal(passes({ user_id: [{ exists: true }] }), true)
    assert.equal(passesAt('nowhere', 'x', { exists: false }), true)
    assert.equal(passesAt('amount', 'x', { exists: false }), false)
  })

  test('takes alternatives with $or, at every level and inside each other', () => {
    assert.equal(passes({ $or: [{ source: ['x'] }, { properties: { amount: [150] } }] }), true)
    assert.equal(passes({ event_type: ['click'], $or: [{ source: ['shop'] }, { source: ['x'] }] }), false)
    assert.equal(passes({ properties: { $or: [{ amount: [1] }, { city: ['x'], gift: [false] }] } }), false)
    assert.equal(
      passes({
        $or: [{ source: ['x'] }, { schema_version: [1], $or: [{ user_id: ['a'] }, { user_id: [null] }] }],
      }),
      true,
    )
  })

  test('asks what stands in one of its objects of one and the same element of an array', () => {
    assert.equal(passes({ properties: { items: { sku: ['a'], qty: [1] } } }), true)
    assert.equal(passes({ properties: { items: { sku: ['a'], qty: [5] } } }), false)
    assert.equal(passes({ properties: { items: { sku: ['a'], gift: [{ exists: false }] } } }), true)
    assert.equal(passes({ properties: { items: { sku: ['b'], gift: [{ exists: false }] } } }), false)
    assert.equal(passes({ properties: { items: { gift: [{ exists: false }] } } }), false)
    assert.equal(
      passes({ properties: { nowhere: { a: [{ exists: false }], b: [{ exists: false }] } } }),
      true,
    )
  })

  test('takes members of the event only as its own', () => {
    assert.equal(passes({ properties: { constructor: [{ exists: true }] } }), false)
    assert.equal(passes(JSON.parse('{"properties":{"__proto__":{"x":[{"exists":true}]}}}')), false)
    const event = { ...order, properties: JSON.parse('{"__proto__":{"x":1}}') as Record<string, unknown> }
    assert.equal(matches(parsePattern(JSON.parse('{"properties":{"__proto__":{"x":[1]}}}')), event), true)
  })
})

describe('a wrong pattern is refused with a pointer to what is wrong:', () => {
  const wrong: readonly (readonly [unknown, string, RegExp])[] = [
    [5, '', /must be an object/],
    [null, '', /must be an object/],
    [[], '', /must be an object/],
    [{}, '', /at least one member/],
    [{ event_type: 'a' }, '/event_type', /list of values or an object: \["a"\]/],
    [{ event_type: [] }, '/event_type', /must not be empty/],
    [{ event_type: ['a', ['b']] }, '/event_type/1', /must be text, a number/],
    [{ event_type: [{}] }, '/event_type/0', /one of the operators prefix, suffix/],
    [{ event_type: [{ begins: 'a' }] }, '/event_type/0', /one of the operators prefix/],
    [{ event_type: [{ constructor: 'a' }] }, '/event_type/0', /one of the operators prefix/],
    [{ event_type: [{ prefix: 'a', suffix: 'b' }] }, '/event_type/0', /must name one operator/],
    [{ event_type: [{ prefix: 5 }] }, '/event_type/0/prefix', /must be text/],
    [
      { event_type: [{ prefix: { 'equals-ignore-case': 5 } }] },
      '/event_type/0/prefix/equals-ignore-case',
      /must be text/,
    ],
    [{ event_type: [{ prefix: { suffix: 'a' } }] }, '/event_type/0/prefix', /operators equals-ignore-case/],
    [{ event_type: [{ exists: 1 }] }, '/event_type/0/exists', /true or false/],
    [{ event_type: [{ wildcard: 'a**' }] }, '/event_type/0/wildcard', /two \*/],
    [{ event_type: [{ wildcard: 'a\\b' }] }, '/event_type/0/wildcard', /backslash/],
    [{ event_type: [{ 'anything-but': [] }] }, '/event_type/0/anything-but', /must not be empty/],
    [
      { event_type: [{ 'anything-but': { numeric: ['>', 1] } }] },
      '/event_type/0/anything-but',
      /operators prefix/,
    ],
    [
      { event_type: [{ 'anything-but': { prefix: ['a', 1] } }] },
      '/event_type/0/anything-but/prefix/1',
      /must be text/,
    ],
    [{ properties: { 'a/b~c': [{ cidr: '10.0.0.0' }] } }, '/properties/a~1b~0c/0/cidr', /no block/],
    [{ properties: { a: [{ cidr: '10.0.0.0/33' }] } }, '/properties/a/0/cidr', /no block/],
    [{ properties: { a: [{ numeric: [] }] } }, '/properties/a/0/numeric', /one or two comparisons/],
    [{ properties: { a: [{ numeric: ['constructor', 5] }] } }, '/properties/a/0/numeric/0', /one of </],
    [{ properties: { a: [{ numeric: ['=', 5, '>', 1] }] } }, '/properties/a/0/numeric/0', /alone, =/],
    [{ properties: { a: [{ numeric: ['>', '5'] }] } }, '/properties/a/0/numeric/1', /must be a number/],
    [{ properties: { a: [{ numeric: ['>', 5, '>=', 6] }] } }, '/properties/a/0/numeric/2', /other end/],
    [{ properties: { a: [{ numeric: ['>', 6, '<', 5] }] } }, '/properties/a/0/numeric', /no number lies/],
    [{ properties: { a: [JSON.parse('1e999')] } }, '/properties/a/0', /too large/],
    [{ amount: [5] }, '/amount', /did you mean properties\.amount/],
    [{ event_type: { a: [5] } }, '/event_type', /is no object/],
    [{ properties: [5] }, '/properties', /name one of its members/],
    [{ properties: {} }, '/properties', /at least one member/],
    [{ $or: { a: 1 } }, '/$or', /list of two objects/],
    [{ $or: [{ source: ['a'] }] }, '/$or', /list of two objects/],
    [{ $or: [{ source: ['a'] }, 5] }, '/$or/1', /must be an object/],
  ]
  for (const [pattern, pointer, message] of wrong)
    test(JSON.stringify(pattern), () => {
      const error = refusal(pattern)
      assert.equal(error.code, 'invalid_filter')
      assert.equal(error.pointer, pointer)
      assert.match(error.message, message)
      assert.equal(error.at, undefined)
    })
})

/** `depth` objects around each other, made without recursion. */
function nested(depth: number, around: (inner: unknown) => unknown, innermost: unknown): unknown {
  let pattern = innermost
  for (let i = 0; i < depth; i++) pattern = around(pattern)
  return pattern
}

describe('a pattern that is too much is refused as such:', () => {
  const many = (count: number) => Array.from({ length: count }, (_, i) => i)
  const either = (inner: unknown) => ({ $or: [inner, { source: ['a'] }] })
  const absent = [{ exists: false }]
  const hostile: Readonly<Record<string, unknown>> = {
    'objects 100,000 deep': { properties: nested(100_000, (a) => ({ a }), [1]) },
    '$or 100,000 deep': nested(100_000, either, { source: ['b'] }),
    'alternatives and objects in turn': {
      properties: nested(1_000, (a) => ({ $or: [{ a }, { a }] }), { b: [1] }),
    },
    'a path longer than allowed': { properties: nested(16, (a) => ({ a }), [1]) },
    'more values than allowed': { schema_version: many(1_001) },
    'more unwanted values than allowed': { schema_version: [{ 'anything-but': many(1_001) }] },
    'a value longer than allowed': { user_id: ['a'.repeat(257)] },
    'more tests than allowed': { $or: many(257).map((i) => ({ user_id: [`${i}`] })) },
    'more characters than allowed': { user_id: many(300).map((i) => `${i}`.padEnd(250, 'x')) },
    'more wildcards than allowed': { user_id: many(9).map((i) => ({ wildcard: `${i}*a` })) },
    'more ways to be absent than clauses are allowed': {
      properties: {
        a: {
          $or: many(9).map((i) => ({ [`b${i}`]: absent })),
          c: { $or: many(9).map((i) => ({ [`d${i}`]: absent })) },
        },
      },
    },
  }
  for (const [name, pattern] of Object.entries(hostile))
    test(name, () => assert.equal(refusal(pattern).code, 'filter_too_wide'))

  test('and what just fits is not', () => {
    const { testsMax, valuesMax, valueCharsMax, pathDepthMax, wildcardsMax } = filterLimits
    for (const pattern of [
      { $or: many(testsMax).map((i) => ({ user_id: [`${i}`] })) },
      { schema_version: many(valuesMax) },
      { user_id: ['a'.repeat(valueCharsMax)] },
      { properties: nested(pathDepthMax - 1, (a) => ({ a }), [1]) },
      { user_id: many(wildcardsMax).map((i) => ({ wildcard: `${i}*a` })) },
      { user_id: many(1_000).map((i) => ({ wildcard: `${i}*` })) },
    ])
      assert.doesNotThrow(() => parsePattern(pattern), JSON.stringify(pattern).slice(0, 80))
  })
})

test('a pattern matches what the rules of event-ruler say, arrays included', () => {
  let matched = 0
  fc.assert(
    fc.property(aPattern, anEvent, (pattern, event) => {
      const expected = matchesByRules(pattern, event)
      if (expected) matched++
      assert.equal(matches(parsePattern(pattern), event), expected, JSON.stringify(pattern))
    }),
    { numRuns: 10_000 },
  )
  assert.ok(matched > 1_000, `${matched} of 10,000 matched`)
})

test('a pattern written from a tree and read again matches the same events', () => {
  let written = 0
  const aTreeOrPattern: fc.Arbitrary<Tree> = fc.oneof(aTree, aPattern.map(parsePattern))
  fc.assert(
    fc.property(aTreeOrPattern, fc.array(anEvent, { minLength: 1, maxLength: 5 }), (tree, events) => {
      const pattern = printPattern(tree)
      if (!pattern) return
      written++
      const again = parsePattern(JSON.parse(JSON.stringify(pattern)))
      for (const event of events)
        assert.equal(matches(again, event), matches(tree, event), JSON.stringify(pattern))
    }),
    { numRuns: 10_000 },
  )
  assert.ok(written > 3_000, `${written} of 10,000 have a pattern`)
})

test('what people ask for is written as the pattern that they would have written', () => {
  const pairs: readonly (readonly [string, unknown])[] = [
    [
      'event_type = "order.*" and properties.amount > 100',
      { event_type: [{ prefix: 'order.' }], properties: { amount: [{ numeric: ['>', 100] }] } },
    ],
    ['event_type in ("a", "b*")', { event_type: ['a', { prefix: 'b' }] }],
    ['user_id = "a" or source = "b"', { $or: [{ user_id: ['a'] }, { source: ['b'] }] }],
    ['properties.a missing', { properties: { a: [{ exists: false }] } }],
    [
      'not (properties.a exists or properties.b exists)',
      { properties: { a: [{ exists: false }], b: [{ exists: false }] } },
    ],
    [
      'properties.items has (sku = "a" and qty > 1)',
      { properties: { items: { sku: ['a'], qty: [{ numeric: ['>', 1] }] } } },
    ],
    ['user_id anything but ("a", "b")', { user_id: [{ 'anything-but': ['a', 'b'] }] }],
    ['user_id = "A" ignoring case', { user_id: [{ 'equals-ignore-case': 'A' }] }],
    ['properties.ip in cidr "10.0.0.0/8"', { properties: { ip: [{ cidr: '10.0.0.0/8' }] } }],
  ]
  for (const [text, pattern] of pairs) assert.deepEqual(printPattern(parseExpression(text)), pattern)
})

test('what a pattern cannot say is not written as one', () => {
  for (const text of [
    'user_id != "a"',
    'everything',
    'nothing',
    'user_id starts with "a" and user_id ends with "b"',
    'properties.items.sku = "a" and properties.items.qty = 1',
    'not properties.items has (sku = "a")',
    'properties.items has (sku missing)',
    'properties."$or" = 1',
    'user_id anything but > 5',
    '(user_id = "a" or source = "a") and (user_id = "b" or source = "b")',
  ])
    assert.equal(printPattern(parseExpression(text)), undefined, text)
})

test('whatever JSON is given is a tree or refused as a FilterError', () => {
  const member = fc.constantFrom(
    'event_type',
    'properties',
    '$or',
    'prefix',
    'numeric',
    'anything-but',
    'exists',
    'cidr',
    'a',
  )
  const soup = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 6 },
      fc.constantFrom<unknown>('a', '>', '=', 5, true, null, '10.0.0.0/8', '*'),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(member, tie('value'), { maxKeys: 3 }),
    ),
  })).value
  fc.assert(
    fc.property(soup, (value) => {
      try {
        parsePattern(value)
      } catch (error) {
        assert.ok(error instanceof FilterError, String(error))
      }
    }),
    { numRuns: 10_000 },
  )
})

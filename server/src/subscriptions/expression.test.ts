import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Event } from '@pulse/protocol/event'
import fc from 'fast-check'
import { parseExpression, printExpression } from './expression.ts'
import { FilterError } from './filter-error.ts'
import { anEvent, aTree } from './filter-world.ts'
import { matches } from './matches.ts'
import { filterLimits } from './tree.ts'

const order: Event = {
  event_id: '0b7f0f3c-3a7e-4d8c-9a55-1f2f6a1c9d10',
  event_type: 'order.created',
  user_id: 'user_7',
  timestamp: '2026-11-21T10:00:00.000000Z',
  properties: {
    amount: 150,
    coupon: null,
    gift: false,
    ip: '10.1.2.3',
    note: 'a*b',
    city: 'Zürich',
    tags: ['new', 'eu'],
    'odd name': 1,
    in: 2,
    items: [
      { sku: 'a', qty: 1 },
      { sku: 'b', qty: 5 },
    ],
  },
  source: 'shop',
  schema_version: 1,
}

/** Whether the order passes what a person wrote. */
const passes = (text: string, event: Event = order) => matches(parseExpression(text), event)

function all(expected: boolean, texts: readonly string[]): void {
  for (const text of texts) assert.equal(passes(text), expected, text)
}

function refusal(text: string): FilterError {
  try {
    parseExpression(text)
  } catch (error) {
    if (error instanceof FilterError) return error
    throw error
  }
  return assert.fail(`${text} was not refused`)
}

describe('an expression', () => {
  test('is the example of the issue', () => {
    const text = 'event_type = "order.*" and properties.amount > 100'
    assert.equal(passes(text), true)
    assert.equal(passes(text, { ...order, event_type: 'order' }), false)
    assert.equal(passes(text, { ...order, event_type: 'reorder.created' }), false)
    assert.equal(passes(text, { ...order, properties: { amount: 100 } }), false)
  })

  test('compares texts, numbers, true, false and null, each only with its own kind', () => {
    all(true, [
      'properties.amount = 150',
      'properties.amount = 1.5e2',
      'properties.gift = false',
      'properties.coupon = null',
      'user_id in ("user_1", "user_7")',
      "source = 'shop'",
      'schema_version = 1',
      'properties.city = "Z\\u00fcrich"',
    ])
    all(false, [
      'properties.amount = "150"',
      'schema_version = true',
      'properties.gift = null',
      'user_id = "USER_7"',
    ])
  })

  test('bounds numbers with comparisons, with two of them at once, and with between', () => {
    all(true, [
      'properties.amount > 149.99',
      'properties.amount >= 150',
      'properties.amount < 151',
      'properties.amount <= 150',
      'properties.amount between 150 and 150',
      'properties.amount > 100 and <= 150',
      'properties.amount > 100 and <= 150 and user_id = "user_7"',
      'properties.items.qty not between 2 and 4',
    ])
    all(false, [
      'properties.amount > 150',
      'properties.amount < 150',
      'properties.amount >= 100 and < 150',
      'user_id > 0',
      'properties.coupon >= 0',
    ])
  })

  test('asks two comparisons joined by "and" of one value, and two conditions of any', () => {
    all(false, ['properties.items.qty > 2 and < 4'])
    all(true, ['properties.items.qty > 2 and properties.items.qty < 4', 'properties.items.qty > 4 and < 6'])
  })

  test('asks for begins, ends, wildcards and addresses', () => {
    all(true, [
      'event_type starts with "order."',
      'event_type ends with (".paid", ".created")',
      'event_type like "o*.c*d"',
      'properties.city starts with "ZÜ" ignoring case',
      'properties.city = "ZÜRICH" ignoring case',
      'properties.city in ("BERN", "zürich") ignoring case',
      'properties.ip in cidr "10.0.0.0/8"',
      'properties.ip in cidr ("192.168.0.0/16", "10.1.2.3/32")',
      'properties.note like "a\\\\*b"',
    ])
    all(false, [
      'event_type starts with "Order."',
      'event_type like "order"',
      'properties.ip in cidr "10.2.0.0/16"',
      'properties.ip not in cidr "10.0.0.0/8"',
      'properties.amount starts with "1"',
    ])
  })

  test('binds "not" closest and "or" loosest, and takes parentheses', () => {
    all(true, [
      'user_id = "x" and source = "x" or source = "shop"',
      'not user_id = "x" and source = "shop"',
      'NOT (user_id = "x" OR source = "x")',
      'not not source = "shop"',
      'everything',
      'everything and not nothing',
    ])
    all(false, [
      'user_id = "x" and (source = "x" or source = "shop")',
      'not (user_id = "x" or source = "shop")',
      'nothing',
    ])
  })

  test('holds, when negated, exactly where it did not before: also where there is no value', () => {
    all(true, [
      'properties.nowhere != 5',
      'not properties.nowhere = 5',
      'properties.nowhere not in (5, 6)',
      'properties.nowhere missing',
      'properties.nowhere not exists',
      'properties.tags != "old"',
      'properties.tags anything but "new"',
    ])
    all(false, ['properties.tags != "new"', 'properties.nowhere anything but 5', 'properties.nowhere exists'])
  })

  test('says anything but a value, a list, or any other question', () => {
    all(true, [
      'user_id anything but ("a", 5, null)',
      'user_id anything but like "a*b"',
      'user_id anything but starts with "a"',
      'properties.amount anything but > 200',
      'properties.amount anything but between 1 and 2',
      'event_type anything but "click.*"',
      'event_type anything but ("click.*", "view")',
    ])
    all(false, [
      'event_type anything but ("order.*", "view")',
      'user_id anything but exists',
      'properties.ip anything but in cidr "10.0.0.0/8"',
    ])
  })

  test('asks several things of one element with "has"', () => {
    all(true, [
      'properties.items has (sku = "a" and qty = 1)',
      'properties.items.sku = "a" and properties.items.qty = 5',
      'properties has (amount = 150 and items has (sku = "b" and qty > 1))',
    ])
    all(false, ['properties.items has (sku = "a" and qty = 5)', 'properties.tags has (everything)'])
  })

  test('takes any name of a member, in quotes where it is no plain word', () => {
    all(true, [
      'properties."odd name" = 1',
      'properties.in = 2',
      'properties has ("in" = 2 and "odd name" exists)',
    ])
  })
})

describe('a star', () => {
  test('after = names a family of types, in every form of =', () => {
    all(true, [
      'event_type in ("click", "order.*")',
      'event_type = "*.created"',
      'event_type = "*"',
      'event_type != "click.*"',
      'event_type not in ("click.*", "view")',
    ])
    all(false, [
      'event_type != "order.*"',
      'event_type not in ("click", "order.*")',
      'event_type = exactly "order.*"',
    ])
  })

  test('after = elsewhere is refused, with what to write instead', () => {
    for (const text of [
      'properties.note = "a*"',
      'user_id != "*"',
      'properties has (event_type in ("a", "b*"))',
    ]) {
      const error = refusal(text)
      assert.equal(error.at, text.indexOf('"', text.search(/=|"b/)), text)
      assert.match(error.message, /like.*exactly/)
    }
    all(true, [
      'properties.note = exactly "a*b"',
      'properties.note in exactly ("x", "a*b")',
      'properties.note like "a*"',
    ])
    all(false, ['properties.note = exactly "a*"'])
  })
})

describe('a wrong expression is refused with the character and with what was expected:', () => {
  const wrong: readonly (readonly [string, number, RegExp])[] = [
    ['', 0, /expected a condition, .* but it ends/],
    ['   ', 3, /expected a condition/],
    ['event_type', 10, /expected =, !=, .*but it ends/],
    ['event_type = ', 13, /expected a text in quotes, a number/],
    ['event_type = order', 13, /stands in quotes, "order"/],
    ['event_type == "a"', 11, /= compares/],
    ['event_type <> "a"', 11, /write !=/],
    ['event_type = "a" && user_id = "b"', 17, /write and/],
    ['!user_id = "a"', 0, /write not/],
    ['event_type = "a" user_id = "b"', 17, /expected and, or, or the end, but there is "user_id"/],
    ['(event_type = "a"', 17, /the \) of the \( at character 1/],
    ['event_type = "a")', 16, /without its \(/],
    ['event_type = "a', 13, /has no end/],
    ['event_type = "\\x"', 14, /stands for nothing/],
    ['event_type = "a\nb"', 15, /on the line/],
    ['event_type in "a"', 14, /expected \(/],
    ['event_type = ("a", "b")', 13, /a list of values stands after in/],
    ['event_type in ("a" "b")', 19, /expected , or the \)/],
    ['event_type in ()', 15, /expected a text/],
    ['event_type starts "a"', 18, /expected with/],
    ['event_type anything "a"', 20, /expected but/],
    ['event_type like 5', 16, /expected a text in quotes/],
    ['event_type like "a**b"', 16, /two \*/],
    ['event_type like "a\\\\b"', 16, /backslash/],
    ['event_type like "a*b" ignoring case', 22, /case cannot be ignored/],
    ['event_type = "a*b" ignoring case', 13, /case cannot be ignored/],
    ['properties.a = 5 ignoring case', 15, /only texts/],
    ['properties.a > "5"', 15, /expected a number, but there is the text "5"/],
    ['properties.a > 5 and > 6', 21, /expected < or <=, the other end/],
    ['properties.a between 6 and 5', 21, /no number lies between/],
    ['properties.a > 5 and < 5', 13, /no number lies between/],
    ['properties.a > 1e999', 15, /too large/],
    ['properties.a > 01', 15, /numbers are written/],
    ['properties.a > 1.', 15, /numbers are written/],
    ['properties.a - 1 > 5', 13, /does not compute/],
    ['properties.items[0] = 1', 16, /every element/],
    ['properties.a in cidr "10.0.0.0"', 21, /no block of addresses/],
    ['properties.a in cidr "10.0.0.0/33"', 21, /no block of addresses/],
    ['amount > 5', 0, /no member amount, .*did you mean properties\.amount\?/],
    ['properties > 5', 0, /name one of its members/],
    ['user_id.x = 5', 0, /user_id is no object/],
    ['user_id has (x = 5)', 0, /user_id is no object/],
    ['properties.tags has "a"', 20, /in parentheses \(a plain value of a list is asked for with =\), but/],
    ['properties. = 5', 12, /expected the name of a member/],
    ['user_id = "\ud83d\ude00" ~', 15, /"~" has no meaning here/],
  ]
  for (const [text, at, message] of wrong)
    test(JSON.stringify(text), () => {
      const error = refusal(text)
      assert.equal(error.code, 'invalid_filter')
      assert.match(error.message, message)
      assert.equal(error.at, at)
      assert.equal(error.pointer, '')
    })
})

describe('an expression that is too much is refused as such:', () => {
  const depth = 100_000
  const hostile: Readonly<Record<string, string>> = {
    parentheses: `${'('.repeat(30_000)}everything${')'.repeat(30_000)}`,
    'parentheses without end': '('.repeat(60_000),
    not: `${'not '.repeat(15_000)}everything`,
    has: `properties has (${'a has ('.repeat(9_000)}`,
    'anything but': `user_id ${'anything but '.repeat(5_000)} 1`,
    'more characters than allowed': '('.repeat(depth),
    'more tests than allowed': Array(257).fill('user_id = "a"').join(' or '),
    'more values than allowed': `user_id in (${Array(1_001).fill('1').join()})`,
    'a value longer than allowed': `user_id = "${'a'.repeat(257)}"`,
    'a path longer than allowed': `properties${'.a'.repeat(16)} = 1`,
    'a name longer than allowed': `properties.${'a'.repeat(257)} = 1`,
    'more wildcards than allowed': `user_id like (${Array.from({ length: 9 }, (_, i) => `"${i}*a"`).join()})`,
  }
  for (const [name, text] of Object.entries(hostile))
    test(name, () => assert.equal(refusal(text).code, 'filter_too_wide'))

  test('and what just fits is not', () => {
    const { testsMax, valuesMax, valueCharsMax, pathDepthMax, treeDepthMax, wildcardsMax } = filterLimits
    for (const text of [
      Array(testsMax).fill('user_id = "a"').join(' or '),
      `user_id in (${Array.from({ length: valuesMax }, (_, i) => i).join()})`,
      `user_id = "${'a'.repeat(valueCharsMax)}"`,
      `properties${'.a'.repeat(pathDepthMax - 1)} = 1`,
      `${'('.repeat(treeDepthMax)}everything${')'.repeat(treeDepthMax)}`,
      `user_id like (${Array.from({ length: wildcardsMax }, (_, i) => `"${i}*a"`).join()})`,
      Array(testsMax).fill('(user_id = "a")').join(' or '),
      'event_type in ("a*", "b*", "c*", "d*", "e*", "f*", "g*", "h*", "i*", "j*")',
    ])
      assert.doesNotThrow(() => parseExpression(text), text.slice(0, 80))
  })
})

test('a tree written as an expression and read again matches the same events', () => {
  fc.assert(
    fc.property(aTree, fc.array(anEvent, { minLength: 1, maxLength: 5 }), (tree, events) => {
      const text = printExpression(tree)
      const again = parseExpression(text)
      for (const event of events) assert.equal(matches(again, event), matches(tree, event), text)
    }),
    { numRuns: 5_000 },
  )
})

test('what is written reads like what a person would write', () => {
  for (const text of [
    'event_type = "order.*" and properties.amount > 100',
    'event_type in ("order.*", "cart.*")',
    'event_type != "order.*"',
    'event_type = "a" or event_type = "b" and user_id missing',
    '(event_type = "a" or user_id = "b") and source = "c"',
    'not (user_id = "a" and source = "b")',
    'properties.amount > 5 and <= 10',
    'properties.amount between 5 and 10',
    'properties.user_tier not in ("gold", null)',
    'user_id = exactly "a*"',
    'user_id anything but ("a", "b")',
    'user_id anything but starts with "a" ignoring case',
    'event_type anything but "order.*"',
    'not user_id like "a*b*c"',
    'not properties.amount >= 5',
    'properties.items has (sku = "a" and not "in" exists or "a b".c missing)'.replace(
      'not "in" exists',
      '"in" missing',
    ),
    'everything',
    'nothing',
  ])
    assert.equal(printExpression(parseExpression(text)), text)
})

test('whatever is given is a tree or refused as a FilterError', () => {
  const word = fc.constantFrom(
    ...'and or not ( ) = != > >= , . in between has like exists missing anything but starts with ends ignoring case exactly cidr everything properties event_type amount "a*" "10.0.0.0/8" 5 -1 true null'.split(
      ' ',
    ),
  )
  const soup = fc.oneof(
    fc.array(word, { maxLength: 12 }).map((words) => words.join(' ')),
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.tuple(aTree.map(printExpression), fc.nat(), fc.nat()).map(([text, from, length]) => {
      const at = from % text.length
      return text.slice(0, at) + text.slice(at + (length % 5))
    }),
  )
  let read = 0
  fc.assert(
    fc.property(soup, (text) => {
      try {
        const tree = parseExpression(text)
        read++
        assert.doesNotThrow(() => parseExpression(printExpression(tree)))
      } catch (error) {
        assert.ok(error instanceof FilterError, `${text}: ${error}`)
        assert.ok(error.at === undefined || error.at <= text.length)
      }
    }),
    { numRuns: 10_000 },
  )
  assert.ok(read > 100, `${read} were expressions`)
})

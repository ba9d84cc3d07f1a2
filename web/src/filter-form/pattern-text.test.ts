import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatPattern } from './pattern-text.ts'

const pattern = {
  event_type: [{ prefix: 'order.' }],
  properties: { amount: [{ numeric: ['>', 100] }], tags: ['new', 'eu', 'a "quoted" one', 'and another'] },
}

test('what fits into a line stays in it, and the text means the same', () => {
  const text = formatPattern(pattern)
  assert.deepEqual(JSON.parse(text), pattern)
  assert.match(text, /^ {2}"event_type": \[\{ "prefix": "order\." \}\],$/m)
  assert.match(text, /^ {4}"amount": \[\{ "numeric": \[">", 100\] \}\],$/m)
  assert.equal(formatPattern({ a: [1] }), '{ "a": [1] }')
  assert.equal(formatPattern({}), '{}')
})

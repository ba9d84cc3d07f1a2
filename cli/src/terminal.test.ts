import assert from 'node:assert/strict'
import { test } from 'node:test'
import { counted, printable } from './terminal.ts'

test('text from outside can neither steer the terminal nor turn the direction of the text', () => {
  assert.equal(printable('a\u001b[31m\u009b\u202eb'), 'a\\u001b[31m\\u009b\\u202eb')
  assert.equal(printable('Zürich 日本 👩‍👩‍👧'), 'Zürich 日本 👩‍👩‍👧')
})

test('a count and its noun agree', () => {
  assert.deepEqual(
    [counted(0, 'record'), counted(1, 'record'), counted(2000, 'record')],
    ['0 records', '1 record', '2,000 records'],
  )
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { classOfDelay } from './flight-departed.ts'

test('a delay belongs to the class whose bounds hold it', () => {
  const classes = [-1, 0, 14, 15, 59, 60].map(classOfDelay)
  assert.deepEqual(classes, ['early', 'on_time', 'on_time', 'late', 'late', 'very_late'])
})

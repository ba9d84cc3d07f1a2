import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeSeries, sampleRows, toCsv, trendOf } from './summary.ts'

test('a series is told as its latest, lowest and highest value and its trend', () => {
  assert.equal(
    describeSeries('Received', [null, 1, 2, 8, 4], String),
    'Received: now 4, between 1 and 8, rising.',
  )
  assert.equal(describeSeries('Failed', [null, null], String), 'Failed: nothing measured.')
})

test('the trend compares the last quarter with the first', () => {
  assert.equal(trendOf([1, 1, 1, 1, 1, 1, 1, 1.05]), 'steady')
  assert.equal(trendOf([10, 10, 5, 5, 5, 5, 2, 1]), 'falling')
  assert.equal(trendOf([0, 0, 0, 0]), 'steady')
  assert.equal(trendOf([5]), 'steady')
})

test('the table has the newest row first and stays within its rows', () => {
  assert.deepEqual(sampleRows([1, 2, 3, 4, 5], 12), [4, 3, 2, 1, 0])
  const rows = sampleRows(
    Array.from({ length: 600 }, (_, second) => second),
    12,
  )
  assert.equal(rows.length, 12)
  assert.equal(rows[0], 599)
})

test('CSV leaves empty what was not measured and quotes names that need it', () => {
  assert.equal(
    toCsv([0, 1], [{ name: 'a, b', values: [1, null] }]),
    'time,"a, b"\r\n1970-01-01T00:00:00.000Z,1\r\n1970-01-01T00:00:01.000Z,\r\n',
  )
})

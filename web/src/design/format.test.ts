import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  formatAge,
  formatBytes,
  formatCount,
  formatJson,
  formatMs,
  formatRate,
  formatSpan,
  formatTimeOfDay,
} from './format.ts'

test('durations choose the unit in which they are easiest to read', () => {
  assert.deepEqual([0, 0.64, 3.21, 999, 1500, 90_000, 5_400_000].map(formatMs), [
    '0 ms',
    '640 µs',
    '3.21 ms',
    '999 ms',
    '1.5 s',
    '1.5 min',
    '1.5 h',
  ])
})

test('spans keep their two largest units', () => {
  assert.deepEqual([0, 42, 303, 11_530, 3600, 792_000].map(formatSpan), [
    '0 s',
    '42 s',
    '5 min 3 s',
    '3 h 12 min',
    '1 h',
    '9 d 4 h',
  ])
})

test('ages count from now, in tenths while they are fresh, and become a date after a day', () => {
  const now = Date.parse('2026-11-21T10:00:00.000Z')
  assert.equal(formatAge('2026-11-21T09:59:59.600123Z', now), '0.4 s ago')
  assert.equal(formatAge('2026-11-21T09:54:00.000000Z', now), '6 min ago')
  assert.equal(formatAge('2026-11-21T10:05:00.000000Z', now), 'in 5 min')
  assert.equal(formatAge('2019-03-01T10:05:00.000000Z', now), '1 Mar 2019')
  assert.equal(formatAge('not a time', now), 'not a time')
})

test('counts stay exact while a person can read them', () => {
  assert.deepEqual([0, 12_345, 99_999, 1_234_567].map(formatCount), ['0', '12,345', '99,999', '1.23M'])
  assert.deepEqual([0, 0.25, 42, 1234].map(formatRate), ['0', '0.25', '42', '1.23K'])
})

test('bytes are written in binary units', () => {
  assert.deepEqual([512, 148_897_792].map(formatBytes), ['512 B', '142 MiB'])
})

test('JSON shows the characters that would turn the direction of the text, and stays the same JSON', () => {
  const value = { name: '\u202eabc', list: [1] }
  assert.equal(formatJson(value), '{"name":"\\u202eabc","list":[1]}')
  assert.deepEqual(JSON.parse(formatJson(value, 2)), value)
})

test('a time of day has its seconds unless they say nothing', () => {
  const second = new Date(2026, 10, 21, 9, 5, 7).getTime() / 1000
  assert.deepEqual([formatTimeOfDay(second), formatTimeOfDay(second, false)], ['09:05:07', '09:05'])
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nearest, timeTicks, valueTicks } from './ticks.ts'

test('values are labelled at round steps from zero, as many as there is room for', () => {
  assert.deepEqual(valueTicks(11, 5, false), { at: [0, 2.5, 5, 7.5, 10], step: 2.5 })
  assert.deepEqual(valueTicks(1, 4, false).step, 0.25)
  assert.deepEqual(valueTicks(1100, 5, false).at, [0, 250, 500, 750, 1000])
  assert.deepEqual(valueTicks(0.011, 3, false).step, 0.005)
  assert.deepEqual(valueTicks(100, 10, false).step, 10)
  for (const max of [0.3, 7, 42, 999, 12_345])
    for (const count of [1, 3, 6]) assert.ok(valueTicks(max, count, false).at.length <= count + 1)
})

test('bytes are labelled at powers of two', () => {
  const mebi = 2 ** 20
  assert.deepEqual(valueTicks(300 * mebi, 5, true), {
    at: [0, 64, 128, 192, 256].map((count) => count * mebi),
    step: 64 * mebi,
  })
})

test('times are labelled where a clock has its marks', () => {
  assert.deepEqual(
    timeTicks(1_000_000_021, 1_000_000_081, 6).at,
    [1_000_000_030, 1_000_000_040, 1_000_000_050, 1_000_000_060, 1_000_000_070, 1_000_000_080],
  )
  assert.equal(timeTicks(0, 600, 10).step, 60)
  assert.equal(timeTicks(0, 600, 4).step, 300)
  assert.equal(timeTicks(0, 86_400, 4).step, 6 * 3600)
  assert.deepEqual(timeTicks(5, 5, 3).at, [5])
})

test('the nearest point is found, at the ends too', () => {
  const at = [10, 20, 40]
  assert.deepEqual(
    [0, 14, 16, 29, 31, 99].map((wanted) => nearest(at, wanted)),
    [0, 0, 1, 1, 2, 2],
  )
  assert.equal(nearest([], 1), undefined)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TailTimes } from './tail-times.ts'

const second = 1_000_000
const place = (...offsets: number[]) => Float64Array.from(offsets)

test('the oldest record before a place is as old as its second, over all partitions', () => {
  const times = new TailTimes(place(5, 0))
  times.add(0, { first: 5, end: 8, appendedAt: 10 * second })
  times.add(0, { first: 8, end: 9, appendedAt: 10.5 * second })
  times.add(0, { first: 9, end: 20, appendedAt: 30 * second })
  times.add(1, { first: 0, end: 3, appendedAt: 20 * second })
  assert.equal(times.since(place(20, 3)), undefined)
  assert.equal(times.since(place(99, 99)), undefined)
  assert.equal(times.since(place(9, 3)), 30 * second)
  assert.equal(times.since(place(8, 3)), 10 * second)
  assert.equal(times.since(place(19, 2)), 20 * second)
  assert.equal(times.since(place(5, 0)), 10 * second)
})

test('what came before the first mark is older than anybody knows here', () => {
  const times = new TailTimes(place(5, 7))
  assert.equal(times.since(place(5, 7)), undefined)
  assert.equal(times.since(place(5, 6)), null, 'also in a partition that has been quiet since')
  times.add(0, { first: 5, end: 8, appendedAt: 10 * second })
  assert.equal(times.since(place(4, 7)), null)
  assert.equal(times.since(place(5, 7)), 10 * second)
})

test('half an hour at least is remembered', () => {
  const times = new TailTimes(place(0))
  for (let n = 0; n < 10_000; n++) times.add(0, { first: n, end: n + 1, appendedAt: n * second })
  assert.equal(times.since(place(9_999)), 9_999 * second)
  assert.equal(times.since(place(8_500)), 8_500 * second)
  assert.equal(times.since(place(0)), null)
})

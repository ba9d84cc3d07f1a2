import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Missed } from './missed.ts'

const place = (...offsets: number[]) => Float64Array.from(offsets)

test('an event lies in a gap only where its partition has one', () => {
  const missed = new Missed()
  missed.gap(place(5, 3), place(9, 3), 'corrupt')
  assert.deepEqual(
    [4, 5, 8, 9].map((offset) => missed.at(0, offset)),
    [undefined, 'corrupt', 'corrupt', undefined],
  )
  assert.equal(missed.at(1, 3), undefined)
  missed.gap(undefined, place(12, 4), 'epoch')
  assert.deepEqual([missed.at(0, 0), missed.at(1, 3)], ['epoch', 'epoch'])
  assert.deepEqual([missed.has('epoch'), missed.has('retention')], [true, false])
})

test('gaps that follow on one another are remembered as one, of others the last 16', () => {
  const missed = new Missed()
  missed.gap(place(100), place(101), 'retention')
  for (let n = 200; n < 300; n++) missed.gap(place(200), place(n), 'dropped')
  assert.equal(missed.at(0, 100), 'retention')
  assert.equal(missed.at(0, 298), 'dropped')
  for (let n = 30; n < 45; n++) missed.gap(place(n * 10), place(n * 10 + 1), 'dropped')
  assert.equal(missed.at(0, 100), undefined, 'the oldest is forgotten')
  assert.deepEqual(
    [missed.at(0, 298), missed.at(0, 299), missed.at(0, 440)],
    ['dropped', undefined, 'dropped'],
  )
})

test('what was written between two replaced events lies in none of their stretches', () => {
  const missed = new Missed()
  missed.replaced(0, 5, place(5, 0))
  missed.replaced(0, 7, place(5, 0))
  missed.replaced(1, 2, place(5, 0))
  missed.replaced(0, 20, place(12, 0))
  const outcomes = [4, 5, 7, 8, 12, 19, 20, 21].map((offset) => missed.at(0, offset))
  const none = undefined
  assert.deepEqual(outcomes, [none, 'replaced', 'replaced', none, none, none, 'replaced', none])
  assert.deepEqual([missed.at(1, 1), missed.at(1, 2)], [none, 'replaced'])
})

test('what is read from the log again was replaced by nothing', () => {
  const missed = new Missed()
  missed.gap(place(0), place(3), 'retention')
  for (const offset of [5, 6, 7]) missed.replaced(0, offset, place(5))
  missed.readAgain(place(6))
  assert.deepEqual([missed.at(0, 5), missed.at(0, 6), missed.at(0, 2)], ['replaced', undefined, 'retention'])
})

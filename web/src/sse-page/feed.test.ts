import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  cleared,
  emptyFeed,
  emptyInWords,
  figureInWords,
  type Measurement,
  paused,
  shownMax,
  withEvent,
} from './feed.ts'

const event = (value: number): Measurement => ({
  ...{ topic: 'Global Metrics', value, value_of: '', at: '2026-03-01T12:00:00Z', figures: [] },
})
const after = (numbers: readonly number[], feed = emptyFeed, run = '9f1c2a7e') =>
  numbers.reduce((before, number) => withEvent(before, `${run}-${number}`, event(number)), feed)
const shown = (feed: typeof emptyFeed) => feed.shown.map(({ value }) => value)

test('the newest event is first, twenty are shown, all are counted', () => {
  const feed = after(Array.from({ length: 30 }, (_, at) => at + 1))
  assert.equal(feed.shown.length, shownMax)
  assert.deepEqual(shown(feed).slice(0, 3), [30, 29, 28])
  assert.equal(feed.captured, 30)
})

test('an event that comes again after a new connection is neither shown nor counted twice', () => {
  const feed = after([5, 6, 5, 6, 7])
  assert.deepEqual([shown(feed), feed.captured], [[7, 6, 5], 3])
})

test('a server that starts anew, and counts from one again, is followed; one that is come back to brings nothing twice', () => {
  const before = after([41, 42])
  const anew = after([1, 2], before, '07b9d3f1')
  assert.deepEqual([shown(anew), anew.captured], [[2, 1, 42, 41], 4])
  const back = after([42, 43], anew)
  assert.deepEqual([shown(back), back.captured], [[43, 2, 1, 42, 41], 5])
})

test('clearing empties the feed and its count, and goes on with what comes next', () => {
  const feed = after([2, 3], cleared(after([1, 2])))
  assert.deepEqual([shown(feed), feed.captured], [[3], 1])
})

test('a paused feed stands still and goes on counting', () => {
  const feed = after([2, 3], paused(after([1])))
  assert.deepEqual([shown(feed), feed.captured], [[1], 3])
  const going = after([4], paused(feed))
  assert.deepEqual([shown(going), going.captured], [[4, 1], 4])
})

test('an empty feed says what it waits for', () => {
  assert.equal(emptyInWords(emptyFeed, true), 'Waiting for the first event.')
  assert.equal(emptyInWords(cleared(after([1])), true), 'Waiting for the next event.')
  assert.match(emptyInWords(emptyFeed, false), /^No connection/)
  assert.match(emptyInWords(paused(emptyFeed), true), /^Paused/)
})

test('figures are read with their unit', () => {
  assert.equal(figureInWords({ name: 'received', value: 1_200, unit: 'events/s' }), '1,200 events/s received')
  assert.equal(figureInWords({ name: 'checked', value: 12, unit: 'names/s' }), '12 names/s checked')
  assert.equal(figureInWords({ name: 'memory', value: 150, unit: 'MB' }), 'memory 150 MB')
  assert.equal(figureInWords({ name: 'watching', value: 1, unit: 'viewers' }), '1 viewer watching')
  assert.equal(figureInWords({ name: 'refused', value: 1, unit: 'requests/s' }), '1 requests/s refused')
  assert.equal(figureInWords({ name: 'waiting', value: null, unit: 'events' }), 'waiting unknown')
  assert.equal(
    figureInWords({ name: 'database answer', value: null, unit: 'ms' }),
    'database does not answer',
  )
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Event } from '@pulse/protocol/event'
import { Feed, feedLimits } from './feed.ts'

const event = (event_id: string): Event => ({
  event_id,
  event_type: 'purchase',
  user_id: null,
  timestamp: '2026-11-21T10:00:00.000000Z',
  properties: {},
  source: null,
  schema_version: 1,
})

function send(feed: Feed, count: number, from = 0): void {
  for (let index = from; index < from + count; index++) feed.event(event(String(index)))
}

const told = (feed: Feed) =>
  feed.shown.rows.map((row) => (row.kind === 'event' ? row.event.event_id : row.text))

test('the newest stands first, and every row keeps its key as others come', () => {
  const feed = new Feed()
  send(feed, 2)
  feed.tick()
  const before = feed.shown.rows
  send(feed, 1, 2)
  feed.note('Connected again')
  feed.tick()
  assert.deepEqual(told(feed), ['Connected again', '2', '1', '0'])
  assert.deepEqual(feed.shown.rows.slice(2), before)
  assert.equal(new Set(feed.shown.rows.map(({ key }) => key)).size, 4)
})

test('a batch that fits is shown whole; what comes faster than anybody reads is sampled, and said to be', () => {
  const feed = new Feed()
  send(feed, 150)
  feed.tick()
  assert.equal(feed.shown.rows.length, 150)
  assert.equal(feed.shown.sampled, false)
  for (let tick = 0; tick < 40; tick++) {
    send(feed, 500, 1_000 * (tick + 1))
    feed.tick()
  }
  assert.equal(feed.shown.sampled, true)
  assert.equal(feed.shown.rows.length, feedLimits.rowsMax)
  assert.equal(feed.shown.perSecond, 2_000)
  assert.equal(feed.shown.seen, 150 + 40 * 500)
  assert.equal(told(feed)[0], String(40_000 + 499), 'the newest of a tick is always among its rows')
  assert.equal(new Set(told(feed)).size, feedLimits.rowsMax)
  for (let tick = 0; tick < feedLimits.rateTicks; tick++) feed.tick()
  assert.equal(feed.shown.sampled, false)
  assert.equal(feed.shown.perSecond, 0)
})

test('while it is held nothing moves and what comes is counted; then the newest of it are shown', () => {
  const feed = new Feed()
  send(feed, 1)
  feed.tick()
  feed.hold(true)
  send(feed, 1_000, 1)
  feed.tick()
  assert.deepEqual(told(feed), ['0'])
  assert.equal(feed.shown.waiting, 1_000)
  feed.hold(false)
  assert.equal(feed.shown.waiting, 0)
  assert.equal(told(feed)[0], '1000')
  assert.equal(feed.shown.rows.length, feedLimits.rowsMax)
  assert.ok(told(feed).some((text) => /^\d+ more came meanwhile/.test(text)))
})

test('nobody is told when nothing has changed', () => {
  const feed = new Feed()
  let told = 0
  feed.watch(() => told++)
  feed.tick()
  feed.tick()
  assert.equal(told, 0)
  send(feed, 1)
  feed.tick()
  assert.equal(told, 1)
})

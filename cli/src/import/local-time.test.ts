import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createReadTime } from './local-time.ts'

test('times without an offset are read in the zone that was named', () => {
  const utc = createReadTime('UTC')
  const berlin = createReadTime('Europe/Berlin')
  assert.equal(utc('2001/01/01 00:47'), '2001-01-01T00:47:00.000000Z')
  assert.equal(utc('2001-01-01'), '2001-01-01T00:00:00.000000Z')
  assert.equal(utc('2001-01-01T01:02:03.1234567'), '2001-01-01T01:02:03.123456Z')
  assert.equal(berlin('2026-01-15 12:00'), '2026-01-15T11:00:00.000000Z')
  assert.equal(berlin('2026-07-15 12:00'), '2026-07-15T10:00:00.000000Z')
})

test('of an hour that a clock shows twice the first is taken, and a skipped one is moved on', () => {
  const berlin = createReadTime('Europe/Berlin')
  assert.equal(berlin('2026-10-25 01:59'), '2026-10-24T23:59:00.000000Z')
  assert.equal(berlin('2026-10-25 02:30'), '2026-10-25T00:30:00.000000Z')
  assert.equal(berlin('2026-10-25 03:00'), '2026-10-25T02:00:00.000000Z')
  assert.equal(berlin('2026-03-29 02:30'), '2026-03-29T00:30:00.000000Z')
  assert.equal(createReadTime('America/New_York')('2026-11-01 01:30'), '2026-11-01T05:30:00.000000Z')
})

test('a time with an offset is left as it is', () => {
  const read = createReadTime('Asia/Tokyo')
  assert.equal(read('2026-03-01T12:00:00.5+01:00'), '2026-03-01T12:00:00.5+01:00')
})

test('numbers are seconds, milliseconds or microseconds, told by their size', () => {
  const read = createReadTime('UTC')
  const at = '2026-03-01T12:00:00.000Z'
  const seconds = Date.parse(at) / 1000
  for (const value of [seconds, seconds * 1e3, seconds * 1e6, String(seconds), String(seconds * 1e3)])
    assert.equal(read(value), at)
})

test('what is no time is told, also a day that does not exist', () => {
  const read = createReadTime('UTC')
  for (const wrong of [
    '2026-02-30',
    '2026-13-01',
    'noon',
    '',
    '12:00',
    '31/12/2026',
    '2026-01-01 25:00',
    true,
    {},
  ])
    assert.equal(read(wrong), undefined, String(wrong))
})

test('a zone that does not exist is refused', () => {
  assert.throws(() => createReadTime('Mars/Olympus'), RangeError)
})

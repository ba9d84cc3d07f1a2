import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createInstantWriter, instantOf, microsOf, millisOf, parseInstant } from './instant.ts'

test('an instant keeps its place in time whatever its offset, with microseconds', () => {
  assert.equal(parseInstant('2026-11-21T10:00:00+05:30'), '2026-11-21T04:30:00.000000Z')
  assert.equal(parseInstant('2026-01-01T00:30:00.123456-01:00'), '2026-01-01T01:30:00.123456Z')
  assert.equal(parseInstant('2025-12-31t23:59:59.5z'), '2025-12-31T23:59:59.500000Z')
  assert.equal(parseInstant('2026-11-21T10:00:00.123456789Z'), '2026-11-21T10:00:00.123456Z')
  assert.equal(parseInstant('2016-12-31T23:59:60Z'), '2017-01-01T00:00:00.000000Z')
  assert.equal(parseInstant('2026-11-21 10:00:00Z'), '2026-11-21T10:00:00.000000Z')
  assert.equal(parseInstant('0099-03-01T00:00:00Z'), '0099-03-01T00:00:00.000000Z')
})

test('what is no RFC 3339 date-time is refused', () => {
  for (const text of [
    '',
    '2026-11-21',
    '2026-11-21T10:00:00',
    '2026-02-29T10:00:00Z',
    '2026-13-01T10:00:00Z',
    '2026-04-31T10:00:00Z',
    '2026-11-21T24:00:00Z',
    '2026-11-21T10:00:00+24:00',
    '2026-11-21T10:00:00.Z',
    '0000-12-31T00:00:00Z',
    '0001-01-01T00:00:00+01:00',
    '9999-12-31T23:30:00-01:00',
    'x2026-11-21T10:00:00Z',
  ])
    assert.equal(parseInstant(text), undefined, text)
})

test('for any date and offset the milliseconds are those of Date, and micros go there and back', () => {
  const any = fc.record({
    date: fc.date({ min: new Date('0002-01-01'), max: new Date('9998-12-31'), noInvalidDate: true }),
    offsetMinutes: fc.integer({ min: -1439, max: 1439 }),
  })
  fc.assert(
    fc.property(any, ({ date, offsetMinutes }) => {
      const local = new Date(date.getTime() + offsetMinutes * 60_000).toISOString().slice(0, 23)
      const size = Math.abs(offsetMinutes)
      const offset = `${offsetMinutes < 0 ? '-' : '+'}${String(Math.floor(size / 60)).padStart(2, '0')}:${String(size % 60).padStart(2, '0')}`
      const instant = parseInstant(`${local}${offset}`)
      assert.ok(instant)
      assert.equal(millisOf(instant), date.getTime())
    }),
  )
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 8_000_000_000_000_000 }), (micros) => {
      assert.equal(microsOf(instantOf(micros)), micros)
      assert.equal(parseInstant(instantOf(micros)), instantOf(micros))
    }),
  )
})

test('the writer for many instants writes what the one for a single instant does', () => {
  const write = createInstantWriter()
  const micros = fc.integer({ min: -62_135_596_800_000_000, max: 8_000_000_000_000_000 })
  const near = fc.tuple(micros, fc.integer({ min: 0, max: 3_000_000 }))
  fc.assert(
    fc.property(near, ([first, later]) => {
      for (const each of [first, first + later, first]) assert.equal(write(each), instantOf(each))
    }),
  )
})

test('the short way for the usual spelling takes and refuses what the long way does', () => {
  const usual = fc.date({ noInvalidDate: true }).map((date) => date.toISOString())
  const changed = fc
    .tuple(usual, fc.nat(23), fc.constantFrom('0', '1', '3', '6', '9', ':', 'x', ' ', '-', '.'))
    .map(([text, at, char]) => `${text.slice(0, at)}${char}${text.slice(at + 1)}`)
  fc.assert(
    fc.property(fc.oneof(usual, changed), (text) => {
      // A small letter means the same and is known to the long way only.
      const other = text.slice(0, 10) + text.slice(10).replace('T', 't').replace('Z', 'z')
      assert.equal(parseInstant(text), parseInstant(other))
    }),
    { numRuns: 5_000 },
  )
})

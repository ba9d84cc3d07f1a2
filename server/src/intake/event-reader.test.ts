import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { canonicalJson } from '@pulse/protocol/canonical-json'
import { type SubmittedEvent, submittedEventSchema } from '@pulse/protocol/event'
import fc from 'fast-check'
import { createSchemas } from '../schemas/schemas.ts'
import { canonicalOf, createEventReader, isPlainlyValid } from './event-reader.ts'
import { readSubmission } from './submission.ts'

const schemas = createSchemas({ eventTypes: {}, topics: {}, handled: [], partitions: 4, strict: false })
const limits = { eventBytesMax: 65_536, futureSkewSecondsMax: 300 }
const read = createEventReader({ limits, schemas })
const now = { receivedAt: Date.parse('2026-11-21T10:00:00Z') * 1000, suspect: true }

const orAbsent = <T>(value: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 9, arbitrary: fc.constant(undefined) }, value)
const almost = fc.oneof(fc.string(), fc.integer(), fc.constant(null), fc.constant({}), fc.constant([]))
const anySubmission = fc
  .record(
    {
      event_id: fc.oneof({ weight: 20, arbitrary: fc.uuid() }, almost),
      event_type: fc.oneof(
        { weight: 30, arbitrary: fc.stringMatching(/^[A-Za-z0-9][\w.:-]{0,20}$/) },
        almost,
      ),
      user_id: fc.oneof({ weight: 20, arbitrary: fc.string({ maxLength: 300 }) }, almost),
      timestamp: fc.oneof(
        {
          weight: 20,
          arbitrary: fc
            .date({ noInvalidDate: true, max: new Date('2026-11-21'), min: new Date('0001-01-01') })
            .map((date) => date.toISOString()),
        },
        almost,
      ),
      properties: fc.oneof({ weight: 20, arbitrary: fc.dictionary(fc.string(), fc.jsonValue()) }, almost),
      source: orAbsent(fc.oneof(fc.string(), almost)),
      schema_version: orAbsent(fc.oneof(fc.integer(), almost)),
      extra: orAbsent(fc.string()),
    },
    { requiredKeys: ['event_type'] },
  )
  .map((value) => JSON.parse(JSON.stringify(value)) as unknown)

test('the quick check accepts only what the schema accepts', () => {
  let quick = 0
  fc.assert(
    fc.property(anySubmission, (value) => {
      if (!isPlainlyValid(value)) return
      quick++
      assert.ok(submittedEventSchema.safeParse(value).success)
    }),
    { numRuns: 2_000 },
  )
  assert.ok(quick > 100, `only ${quick} of 2,000 were accepted: the property says little`)
})

test('the fingerprint is the SHA-256 of the canonical JSON of what was submitted, however it is spelled', () => {
  fc.assert(
    fc.property(anySubmission, (value) => {
      const parsed = submittedEventSchema.safeParse(value)
      if (!parsed.success) return
      const event = value as SubmittedEvent
      const text = canonicalOf(
        event,
        event.properties === undefined ? undefined : canonicalJson(event.properties),
      )
      assert.equal(text, canonicalJson(value))
      const reading = read(value, 0, now)
      if (reading.ok) assert.equal(reading.sha256, createHash('sha256').update(text).digest('hex'))
    }),
    { numRuns: 1_000 },
  )
})

test('the record is the whole event: defaults filled in, its instant in UTC, its id in lower case', () => {
  const reading = read(
    {
      event_id: 'ABCDEF00-0000-4000-8000-000000000001',
      event_type: 'purchase',
      timestamp: '2026-11-21T10:00:00+05:30',
    },
    0,
    now,
  )
  assert.ok(reading.ok)
  assert.deepEqual(JSON.parse(reading.record.value), {
    event_id: 'abcdef00-0000-4000-8000-000000000001',
    event_type: 'purchase',
    user_id: null,
    timestamp: '2026-11-21T04:30:00.000000Z',
    properties: {},
    source: null,
    schema_version: 1,
  })
  assert.equal(reading.record.fingerprint, reading.sha256.slice(0, 32))
  assert.equal(reading.record.key, 'abcdef00-0000-4000-8000-000000000001')
})

test('an event without an id gets one that needs no memory', () => {
  const reading = read({ event_type: 'custom' }, 0, now)
  assert.ok(reading.ok)
  assert.equal(reading.record.fingerprint, undefined)
})

const pointersOf = (value: unknown) => {
  const reading = read(value, 0, now)
  return reading.ok ? [] : reading.errors.map((error) => error.pointer)
}

test('everything that is wrong is named by JSON Pointer', () => {
  assert.deepEqual(pointersOf([]), [''])
  assert.deepEqual(pointersOf({}), ['/event_type'])
  assert.deepEqual(pointersOf({ event_type: 'a b' }), ['/event_type'])
  assert.deepEqual(pointersOf({ event_type: 'a', event_id: 'x', 'odd/na~me': 1 }), [
    '/event_id',
    '/odd~1na~0me',
  ])
  assert.deepEqual(pointersOf({ event_type: 'a', timestamp: '2026-11-21T10:05:01Z' }), ['/timestamp'])
  assert.deepEqual(pointersOf({ event_type: 'a', timestamp: '2026-11-21T10:04:59Z' }), [])
  assert.deepEqual(pointersOf({ event_type: 'a', properties: { a: { b: 'x\0' } } }), ['/properties/a/b'])
  assert.deepEqual(pointersOf({ event_type: 'a', user_id: '\ud800' }), ['/user_id'])
  assert.deepEqual(pointersOf(JSON.parse('{"event_type":"a","properties":{"x":{"__proto__":1}}}')), [
    '/properties/x/__proto__',
  ])
  assert.deepEqual(
    pointersOf({
      event_type: 'a',
      properties: Object.fromEntries(Array.from({ length: 257 }, (_, n) => [`p${n}`, n])),
    }),
    ['/properties'],
  )
  assert.deepEqual(pointersOf({ event_type: 'a', properties: { text: 'é'.repeat(33_000) } }), [''])
})

test('a number that would change when it is kept is named, a decimal is rounded as everywhere', () => {
  const pointersIn = (properties: string) => {
    const { items } = readSubmission(
      Buffer.from(`{"event_type":"a","properties":${properties}}`),
      { 'content-type': 'application/json' },
      5_000,
    )
    const item = items[0]
    assert.ok(item && 'value' in item)
    const reading = read(item.value, 0, { ...now, suspect: item.suspect })
    return reading.ok ? [] : reading.errors.map((error) => error.pointer)
  }
  for (const number of [
    '12345678901234567890',
    '-9007199254740993',
    '1e400',
    '-1E400',
    '1e-400',
    '0.001e-399',
  ])
    assert.deepEqual(pointersIn(`{"list":[1,{"n":${number}}]}`), ['/properties/list/1/n'], number)
  for (const number of [
    '9007199254740992',
    '1e21',
    '0e999',
    '0.30000000000000004',
    '3.14159265358979323846',
    '-0',
  ])
    assert.deepEqual(pointersIn(`{"n":${number},"then":true}`), [], number)
})

test('EF-48 types that nobody declared are taken, unless the server is strict', () => {
  const strict = createSchemas({
    eventTypes: { 'order.placed': {} },
    topics: {},
    handled: ['cart.*'],
    partitions: 4,
    strict: true,
  })
  const readStrictly = createEventReader({ limits, schemas: strict })
  assert.ok(read({ event_type: 'anything' }, 0, now).ok)
  assert.ok(!readStrictly({ event_type: 'anything' }, 0, now).ok)
  for (const known of ['order.placed', 'cart.emptied', 'purchase'])
    assert.ok(readStrictly({ event_type: known }, 0, now).ok)
})

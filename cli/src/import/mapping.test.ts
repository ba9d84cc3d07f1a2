import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileMapping, type Mapping } from './mapping.ts'

const seed = 'd1'
const map = (mapping: Mapping, values: Record<string, unknown>, typed = true, number = 1) =>
  compileMapping(mapping, { seed, typed })(new Map(Object.entries(values)), number)

const uuid = '0193c1a8-5a44-4c7e-9a51-0d8e3f1c2b4a'

test('columns become members where the mapping says, the rest become properties', () => {
  const mapping = {
    type: 'ride',
    id: 'ride_id',
    map: { user_id: 'rider', timestamp: 'date', 'properties.fare': 'price' },
  }
  const event = map(mapping, {
    ride_id: uuid.toUpperCase(),
    rider: '7',
    date: '2001/01/01 00:47',
    price: '9.50',
    city: 'Bonn',
  })
  assert.deepEqual(event, {
    event_id: uuid,
    event_type: 'ride',
    user_id: '7',
    timestamp: '2001-01-01T00:47:00.000000Z',
    properties: { fare: 9.5, city: 'Bonn' },
  })
})

test('chosen properties are these and no others, also those that are used elsewhere', () => {
  const event = map(
    { type: 't', properties: ['a', 'who'], map: { user_id: 'who' } },
    { a: '1', b: '2', who: 'x' },
  )
  assert.deepEqual(typeof event === 'object' && event.properties, { a: 1, who: 'x' })
})

test('columns that are to stay text stay text', () => {
  const event = map({ type: 't', text: ['zip'] }, { zip: '12345', n: '1' })
  assert.deepEqual(typeof event === 'object' && event.properties, { zip: '12345', n: 1 })
})

test('an event as it is stays as it is', () => {
  const event = {
    event_id: uuid,
    event_type: 'purchase',
    user_id: 'u',
    timestamp: '2026-03-01T12:00:00Z',
    properties: { amount: '42', deep: [1] },
    source: 's',
    schema_version: 2,
  }
  assert.deepEqual(map({}, event, false), event)
})

test('an id comes from the column, or from the file and the record number, and is the same each time', () => {
  const idOf = (mapping: Mapping, values: Record<string, unknown>, number = 1) => {
    const event = map({ type: 't', ...mapping }, values, true, number)
    return typeof event === 'object' ? event.event_id : event
  }
  assert.equal(idOf({}, { a: '1' }), idOf({}, { a: '2' }))
  assert.notEqual(idOf({}, { a: '1' }), idOf({}, { a: '1' }, 2))
  assert.match(
    idOf({}, { a: '1' }) ?? '',
    /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  )
  assert.equal(idOf({ id: 'n' }, { n: '5' }), idOf({ id: 'n' }, { n: '5' }, 9))
  assert.notEqual(idOf({ id: 'n' }, { n: '5' }), idOf({ id: 'n', type: 'other' }, { n: '5' }))
  assert.equal(idOf({ id: 'n' }, { a: '5' }), "no id: 'n' is empty")
})

test('what cannot become an event is told', () => {
  assert.equal(map({}, { a: '1' }), "no event_type: 'event_type' is empty")
  assert.equal(map({ type: 't' }, { timestamp: 'noon' }), "'noon' is no date and time")
  assert.throws(() => map({ map: { user: 'x' } }, {}), /'user' is no member of an event/)
  assert.throws(() => map({ timezone: 'Mars/Olympus' }, {}), RangeError)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  fromLocalInput,
  isFiltered,
  propertiesOf,
  readEventSearch,
  toCurl,
  toEventQuery,
  toLocalInput,
} from './event-search.ts'

const now = Date.parse('2026-11-21T10:00:00.000Z')

test('an address is read as the API names its members, and what is unknown or empty is left out', () => {
  const search = readEventSearch({
    event_type: 'purchase',
    user_id: '',
    status: 'dead',
    sort: 'up',
    'properties.amount': '42',
    'properties.': 'x',
  })
  assert.deepEqual(search, { event_type: 'purchase', status: 'dead', 'properties.amount': '42' })
  assert.deepEqual(propertiesOf(search), { amount: '42' })
  assert.deepEqual(readEventSearch({ status: 'gone', from: 5 }), {})
})

test('a span counts back from now, and a fixed time stays', () => {
  assert.equal(toEventQuery({ last: '1h' }, now, 50).from, '2026-11-21T09:00:00.000Z')
  assert.equal(toEventQuery({ from: '2020-01-01T00:00:00Z' }, now, 50).from, '2020-01-01T00:00:00Z')
  assert.equal(toEventQuery({ last: 'a year' }, now, 50).from, undefined)
  assert.equal(toEventQuery({ last: '1h' }, now, 50).to, undefined)
  assert.equal(toEventQuery({ last: '1h', 'properties.amount': '1' }, now, 50).to, '2026-11-21T10:00:00.000Z')
})

test('a cursor alone is no filter', () => {
  assert.equal(isFiltered({ cursor: 'abc' }), false)
  assert.equal(isFiltered({ cursor: 'abc', user_id: 'ada' }), true)
})

test('the curl survives quotes in what was searched', () => {
  const curl = toCurl('http://h', { user_id: "O'Neil & co", 'properties.a b': '1' }, now, 50)
  assert.equal(
    curl,
    `curl 'http://h/events?user_id=O%27Neil+%26+co&limit=50&properties.a+b=1' -H "Authorization: Bearer $(cat pulse-data/key)"`,
  )
})

test('a local time goes into the address as an instant and back', () => {
  const instant = fromLocalInput('2026-11-21T10:00:05')
  assert.equal(toLocalInput(instant), '2026-11-21T10:00:05')
  assert.equal(fromLocalInput(''), undefined)
  assert.equal(toLocalInput('soon'), '')
})

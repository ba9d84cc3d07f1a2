import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PulseError } from '@pulse/client'
import { markAt, misreadingOf } from './misreading.ts'

const refusal = (detail: string, pointer: string) =>
  new PulseError({ code: 'invalid_filter', detail, status: 422, errors: [{ pointer, detail }] })

test('the place of a refusal is taken out of its words, however often they say it', () => {
  const said = 'expected a value: a text stands in quotes, "purchase" (character 14) (at character 14)'
  assert.deepEqual(misreadingOf(refusal(said, '/condition/expression')), {
    text: 'Expected a value: a text stands in quotes, "purchase".',
    at: 13,
    pointer: '',
  })
  assert.deepEqual(misreadingOf(refusal('must be a list', '/pattern/properties/amount')), {
    text: 'Must be a list.',
    at: undefined,
    pointer: '/properties/amount',
  })
})

test('other failures are not about the filter', () => {
  assert.equal(misreadingOf(new PulseError({ code: 'network', detail: 'No answer' })), undefined)
  assert.equal(misreadingOf(new Error('no')), undefined)
})

test('the wrong piece is a whole word, one sign, or nothing at the end', () => {
  assert.deepEqual(markAt('event_type = purchase and x', 13), {
    before: 'event_type = ',
    wrong: 'purchase',
    after: ' and x',
  })
  assert.equal(markAt('a == 1', 2).wrong, '=')
  assert.deepEqual(markAt('event_type =', 12), { before: 'event_type =', wrong: '', after: '' })
  assert.deepEqual(markAt('x', 99), { before: 'x', wrong: '', after: '' })
})

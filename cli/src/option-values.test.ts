import assert from 'node:assert/strict'
import { test } from 'node:test'
import { list, moment, pairs, scalar, span, wholeNumber } from './option-values.ts'

test('a value that was written as text is read without losing anything', () => {
  const cases: [string, unknown][] = [
    ['66', 66],
    ['-5', -5],
    ['1.50', 1.5],
    ['1e3', 1000],
    ['0.000001', 0.000001],
    ['true', true],
    ['false', false],
    ['null', null],
    ['007', '007'],
    ['+1', '+1'],
    ['1,5', '1,5'],
    ['0x10', '0x10'],
    ['Infinity', 'Infinity'],
    ['4111111111111111', '4111111111111111'],
    ['123456789012345', 123456789012345],
    ['', ''],
    [' 1', ' 1'],
    ['1e999', '1e999'],
  ]
  for (const [text, value] of cases) assert.deepEqual(scalar(text), value, text)
})

test('pairs come in one text or in several', () => {
  assert.deepEqual(pairs('a=1,b=x=y', pairs('c=2')), { c: '2', a: '1', b: 'x=y' })
  for (const wrong of ['a', '=1', 'a=']) assert.throws(() => pairs(wrong), /is not NAME=VALUE/)
})

test('a list drops what is empty', () => {
  assert.deepEqual(list(' a, ,b,'), ['a', 'b'])
})

test('a whole number outside its bounds is refused', () => {
  const port = wholeNumber(0, 65_535)
  assert.equal(port('8000'), 8000)
  for (const wrong of ['-1', '65536', '1.5', '', 'x', '1e3'])
    assert.throws(() => port(wrong), /whole number from 0 to 65535/)
})

test('a time is RFC 3339, a date, or a span back from now', () => {
  assert.equal(moment('2026-03-01T12:00:00+01:00'), '2026-03-01T12:00:00+01:00')
  assert.equal(moment('2026-03-01'), '2026-03-01T00:00:00Z')
  const hourAgo = Date.now() - Date.parse(moment('1h'))
  assert.ok(Math.abs(hourAgo - 3_600_000) < 5_000)
  for (const wrong of ['yesterday', '1 h', '2026-03-01T12:00:00', '2026-13-01'])
    assert.throws(() => moment(wrong), /RFC 3339/)
})

test('a length of time has a unit, and is above zero', () => {
  const cases: [string, number][] = [
    ['500ms', 500],
    ['60s', 60_000],
    ['1.5m', 90_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
  ]
  for (const [text, ms] of cases) assert.equal(span(text), ms, text)
  for (const text of ['', '60', 's', '0s', '-1s', '1 s', '1w', 'soon']) assert.throws(() => span(text), text)
})

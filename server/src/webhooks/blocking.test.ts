import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Outcome } from './attempts.ts'
import { fateOf, isRefusal, isRefusedOften, type Signs, type Standing, standingOf } from './blocking.ts'

type Sign = keyof Signs
const signs: readonly Sign[] = ['isLate', 'othersWereTaken', 'keepsOthersOut', 'isRefused', 'mayDoubt']
const standings: readonly (Standing | undefined)[] = [undefined, 'proven', 'alone', 'doubted']

/** By how a key stood: the first row all of whose signs are there says how it stands. No row: as it did. */
const table: readonly [before: Standing | undefined, signs: readonly Sign[], after: Standing][] = [
  [undefined, ['isLate', 'othersWereTaken'], 'proven'],
  [undefined, ['othersWereTaken', 'keepsOthersOut'], 'proven'],
  [undefined, ['isLate', 'keepsOthersOut'], 'alone'],
  [undefined, ['isRefused', 'mayDoubt'], 'doubted'],
  ['alone', ['isLate', 'othersWereTaken'], 'proven'],
  ['doubted', ['isLate', 'othersWereTaken'], 'proven'],
]

test('how a key stands after a failure follows the table, for every sign and every standing before', () => {
  let judged = 0
  for (const before of standings)
    for (let bits = 0; bits < 2 ** signs.length; bits++) {
      const there = signs.filter((_, n) => bits & (2 ** n))
      const row = table.find(
        ([from, needed]) => from === before && needed.every((sign) => there.includes(sign)),
      )
      const given = Object.fromEntries(signs.map((sign) => [sign, there.includes(sign)]))
      const found = standingOf(before, given as unknown as Signs)
      assert.equal(found, row ? row[2] : before, `${before} with ${there.join(', ')}`)
      judged++
    }
  assert.equal(judged, 128)
})

test('only what surely has to wait is given up untried, and a doubt is worth a tenth of the room', () => {
  const fates = (parked: number, doubted: number) =>
    (['proven', 'alone', 'doubted'] as const).map((standing) => fateOf(standing, { parked, doubted }))
  assert.deepEqual(fates(99_999, 9_999), ['park', 'park', 'park'])
  assert.deepEqual(fates(99_999, 10_000), ['park', 'park', 'wait'])
  assert.deepEqual(fates(100_000, 0), ['bury', 'wait', 'wait'])
})

test('a refusal is an answer that a receiver gives to one event', () => {
  const answered = (status: number): Outcome => ({ kind: 'answered', status, retryAfterMs: undefined })
  const refusals = [200, 301, 400, 404, 408, 409, 422, 429, 500, 501, 502, 503, 504, 520].filter((status) =>
    isRefusal(answered(status)),
  )
  assert.deepEqual(refusals, [400, 404, 409, 422, 500])
  assert.equal(isRefusal({ kind: 'failed', failure: { errorClass: 'Timeout', message: 'none' } }), false)
  assert.equal(isRefusal({ kind: 'left' }), false)
})

test('five refusals are often, or all but the last attempt where there are fewer', () => {
  const often = (attemptsMax: number) =>
    [0, 1, 2, 3, 4, 5].map((refusals) => isRefusedOften(refusals, attemptsMax))
  assert.deepEqual(often(12), [false, false, false, false, false, true])
  assert.deepEqual(often(4), [false, false, false, true, true, true])
  assert.equal(isRefusedOften(0, 1), false)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readAnswer, sentenceOf } from './answer.ts'

test('a free name is told with who found it, a taken one as taken', () => {
  const free = readAnswer(200, { available: true, username: 'ada' })
  assert.deepEqual(free, { kind: 'available', username: 'ada', foundBy: 'filter' })
  assert.equal(sentenceOf(free), 'ada is available!')
  const resolved = { available: true, username: 'ada', source: 'Bloom Filter (False Positive Resolved)' }
  assert.deepEqual(readAnswer(200, resolved), { kind: 'available', username: 'ada', foundBy: 'database' })
  const taken = readAnswer(200, { available: false, username: 'ada', source: 'PostgreSQL' })
  assert.equal(taken.kind, 'taken')
  assert.equal(sentenceOf(taken), 'Sorry, ada is already taken.')
})

test('a name that cannot be one is told why, and what nobody knows is an error', () => {
  const invalid = readAnswer(422, { available: false, code: 'invalid_name', detail: 'A name has no spaces.' })
  assert.deepEqual(invalid, { kind: 'invalid', why: 'A name has no spaces.' })
  const away = readAnswer(503, {
    code: 'unavailable',
    detail: 'The database does not answer.',
    retry_after: 2,
  })
  assert.deepEqual(away, {
    kind: 'error',
    why: 'Error checking username. The database does not answer.',
    retryAfterSeconds: 2,
  })
})

test('only a clear yes makes a name available', () => {
  const bodies = [
    ...[null, undefined, '', [], {}, { available: true }, { available: 'true', username: 'a' }],
    ...[{ available: 1, username: 'a' }, { username: 'a' }],
  ]
  for (const body of bodies) assert.equal(readAnswer(200, body).kind, 'error', JSON.stringify(body))
  for (const status of [201, 204, 304, 400, 404, 422, 429, 500, 503])
    assert.equal(readAnswer(status, { available: true, username: 'a' }).kind, 'error', String(status))
})

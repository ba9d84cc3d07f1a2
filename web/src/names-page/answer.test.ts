import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readAnswer, sentenceOf, waitInWords } from './answer.ts'

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

test('what is wrong with the question is an answer; an outage, a limit and what nobody understands are asked again', () => {
  const empty = { code: 'invalid_request', detail: 'Username is required', available: false }
  assert.deepEqual(readAnswer(400, empty), { kind: 'invalid', why: 'Username is required' })
  const isAskedAgain = (status: number, body: unknown) => 'retryAfterSeconds' in readAnswer(status, body)
  for (const status of [400, 401, 403, 404, 405, 413, 414])
    assert.equal(isAskedAgain(status, { detail: 'No.' }), false, String(status))
  for (const status of [200, 429, 500, 502, 503, 504])
    assert.equal(isAskedAgain(status, '<html>'), true, String(status))
})

test('a limit says when it is over, and no wait is longer than an hour', () => {
  const limit = (retry_after: unknown) => readAnswer(429, { code: 'rate_limited', retry_after })
  assert.deepEqual(limit(42), { kind: 'limited', retryAfterSeconds: 42 })
  assert.deepEqual(limit(1e9), { kind: 'limited', retryAfterSeconds: 3_600 })
  assert.deepEqual(limit(undefined), { kind: 'limited', retryAfterSeconds: 5 })
  assert.deepEqual(
    [41_001, 99_000, 99_001, 3_600_000, -5].map(waitInWords),
    ['42 s', '99 s', '2 min', '60 min', '1 s'].map((wait) => `Checked again in ${wait}.`),
  )
})

test('only a clear yes makes a name available', () => {
  const bodies = [
    ...[null, undefined, '', [], {}, { available: true }, { available: 'true', username: 'a' }],
    ...[{ available: 1, username: 'a' }, { username: 'a' }],
  ]
  for (const body of bodies) assert.equal(readAnswer(200, body).kind, 'error', JSON.stringify(body))
  for (const status of [201, 204, 304, 400, 404, 422, 429, 500, 503])
    assert.match(readAnswer(status, { available: true, username: 'a' }).kind, /^(error|limited)$/)
})

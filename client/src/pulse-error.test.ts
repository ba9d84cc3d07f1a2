import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ProblemCode, problems } from '@pulse/protocol/problem'
import { errorOfAnswer, PulseError, parseRetryAfter } from './pulse-error.ts'

test('the client and the protocol agree on which problems are worth repeating', () => {
  for (const [code, { retryable, status }] of Object.entries(problems)) {
    const error = new PulseError({ code: code as ProblemCode, detail: 'x', status })
    assert.equal(error.retryable, retryable, code)
  }
})

test('Retry-After is read as seconds and as a date, and nothing else', () => {
  const now = Date.parse('2026-03-01T12:00:00Z')
  assert.equal(parseRetryAfter('7', now), 7)
  assert.equal(parseRetryAfter('0.25', now), 0.25)
  assert.equal(parseRetryAfter('Sun, 01 Mar 2026 12:00:30 GMT', now), 30)
  assert.equal(parseRetryAfter('Sun, 01 Mar 2026 11:00:00 GMT', now), 0)
  assert.equal(parseRetryAfter('soon', now), undefined)
  assert.equal(parseRetryAfter(null, now), undefined)
})

test('a problem document becomes an error with everything that it says', () => {
  const problem = {
    type: '/docs/problems/invalid_event',
    title: 'Event not valid',
    status: 422,
    detail: 'One member is wrong.',
    code: 'invalid_event',
    request_id: 'r1',
    errors: [{ pointer: '/event_type', detail: 'is missing' }],
    retry_after: 1.5,
  }
  const error = errorOfAnswer(
    new Response(null, { status: 422, headers: { 'retry-after': '2' } }),
    JSON.stringify(problem),
  )
  assert.equal(error.code, 'invalid_event')
  assert.equal(error.message, 'One member is wrong.')
  assert.equal(error.requestId, 'r1')
  assert.equal(error.retryAfter, 1.5)
  assert.deepEqual(error.errors, problem.errors)
  assert.equal(error.retryable, false)
})

test('the page of a proxy is told apart from an answer of the server, and repeated if it says that it is passing', () => {
  const gateway = errorOfAnswer(new Response(null, { status: 502 }), '<html>Bad gateway</html>')
  const notFound = errorOfAnswer(new Response(null, { status: 404 }), '<html>Not found</html>')
  assert.deepEqual([gateway.code, gateway.retryable], ['unexpected_answer', true])
  assert.deepEqual([notFound.code, notFound.retryable], ['unexpected_answer', false])
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decide, type Outcome, retryAfterMsOf } from './attempts.ts'

const policy = { attemptsMax: 5, baseMs: 100, maxMs: 300 }
const answered = (status: number, retryAfterMs?: number): Outcome => ({
  kind: 'answered',
  status,
  retryAfterMs,
})
const decideAt = (attempt: number, outcome: Outcome, random = 1) =>
  decide(outcome, { attempt, policy, random: () => random })

test('every answer and every failure has what follows from it', () => {
  for (const status of [200, 201, 204, 299]) assert.equal(decideAt(1, answered(status)).kind, 'taken')
  assert.equal(decideAt(1, answered(410)).kind, 'gone')
  for (const status of [100, 301, 308, 400, 401, 404, 408, 429, 500, 503])
    assert.equal(decideAt(1, answered(status)).kind, 'again', `${status}`)
  const failed: Outcome = { kind: 'failed', failure: { errorClass: 'Timeout', message: 'late' } }
  assert.equal(decideAt(4, failed).kind, 'again')
  assert.deepEqual(decideAt(5, failed), { kind: 'given_up', failure: failed.failure })
  assert.equal(decideAt(5, { kind: 'left' }).kind, 'left')
  assert.equal(decideAt(5, answered(410)).kind, 'gone')
})

test('waits double up to their limit, and are a random part of that', () => {
  const delays = [1, 2, 3, 4].map((attempt) => {
    const verdict = decideAt(attempt, answered(500))
    return verdict.kind === 'again' ? verdict.delayMs : undefined
  })
  assert.deepEqual(delays, [100, 200, 300, 300])
  const half = decideAt(2, answered(500), 0.5)
  assert.equal(half.kind === 'again' && half.delayMs, 100)
})

test('Retry-After is a least wait of an hour at most; 429 and 503 ask quiet for the whole webhook', () => {
  const verdict = decideAt(1, answered(500, 5_000))
  assert.ok(verdict.kind === 'again')
  assert.deepEqual([verdict.delayMs, verdict.quietMs], [5_000, undefined])
  for (const status of [429, 503]) {
    const quiet = decideAt(1, answered(status, 1e9))
    assert.ok(quiet.kind === 'again')
    assert.deepEqual([quiet.delayMs, quiet.quietMs], [3_600_000, 3_600_000])
  }
  const now = Date.parse('2026-01-01T00:00:00Z')
  assert.equal(retryAfterMsOf('7', now), 7_000)
  assert.equal(retryAfterMsOf('Thu, 01 Jan 2026 00:00:09 GMT', now), 9_000)
  assert.equal(retryAfterMsOf('Thu, 01 Jan 2020 00:00:09 GMT', now), 0)
  assert.equal(retryAfterMsOf('soon', now), undefined)
  assert.equal(retryAfterMsOf(undefined, now), undefined)
})

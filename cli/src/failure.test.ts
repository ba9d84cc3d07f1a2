import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ErrorCode, PulseError } from '@pulse/client'
import { type ProblemCode, problems } from '@pulse/protocol/problem'
import { exitCodes } from './exit-code.ts'
import { CommandError, describeFailure, failureLine, failureProblem, Interrupted } from './failure.ts'

const expected: Record<ProblemCode | 'network' | 'timeout', number> = {
  invalid_json: exitCodes.failed,
  invalid_encoding: exitCodes.failed,
  invalid_request: exitCodes.usage,
  invalid_idempotency_key: exitCodes.failed,
  unauthenticated: exitCodes.auth,
  forbidden: exitCodes.auth,
  not_found: exitCodes.notFound,
  method_not_allowed: exitCodes.failed,
  not_acceptable: exitCodes.failed,
  request_timeout: exitCodes.unavailable,
  conflict: exitCodes.conflict,
  event_id_conflict: exitCodes.conflict,
  idempotency_key_conflict: exitCodes.conflict,
  idempotency_key_in_use: exitCodes.unavailable,
  payload_too_large: exitCodes.failed,
  uri_too_long: exitCodes.failed,
  upgrade_required: exitCodes.failed,
  unsupported_media_type: exitCodes.failed,
  invalid_event: exitCodes.failed,
  invalid_batch: exitCodes.failed,
  query_too_wide: exitCodes.usage,
  invalid_filter: exitCodes.usage,
  filter_too_wide: exitCodes.usage,
  invalid_name: exitCodes.usage,
  name_taken: exitCodes.conflict,
  too_many_headers: exitCodes.failed,
  rate_limited: exitCodes.unavailable,
  over_budget: exitCodes.unavailable,
  internal: exitCodes.failed,
  unavailable: exitCodes.unavailable,
  overloaded: exitCodes.unavailable,
  disk_full: exitCodes.unavailable,
  shutting_down: exitCodes.unavailable,
  query_timeout: exitCodes.unavailable,
  network: exitCodes.unavailable,
  timeout: exitCodes.unavailable,
}

test('every problem has its exit code', () => {
  for (const [code, exitCode] of Object.entries(expected)) {
    const status = code in problems ? problems[code as ProblemCode].status : undefined
    const error = new PulseError({ code: code as ProblemCode, detail: 'x', status })
    assert.equal(describeFailure(error).exitCode, exitCode, code)
  }
})

test('a failure is one line: what happened, which member, which request, what to type next', () => {
  const error = new PulseError({
    code: 'unauthenticated',
    detail: 'The key\nis not valid',
    status: 401,
    requestId: 'r7',
    errors: [{ pointer: '/a', detail: 'is wrong' }],
  })
  assert.equal(
    failureLine(describeFailure(error)),
    'The key is not valid (/a is wrong) [request r7] Next: pulse login --url URL, or --data DIR with the data folder of a local server',
  )
})

test('what is wrong with a member is said once, and nobody is sent to a list that is not there', () => {
  const lineOf = (detail: string) =>
    failureLine(
      describeFailure(
        new PulseError({
          code: 'invalid_event',
          detail,
          status: 422,
          errors: [{ pointer: '/event_type', detail: 'must be short' }],
        }),
      ),
    )
  assert.equal(lineOf('/event_type must be short'), '/event_type must be short.')
  assert.equal(
    lineOf('The path is not valid: see errors.'),
    'The path is not valid (/event_type must be short)',
  )
})

test('under --json a failure is a problem document with its exit code', () => {
  const failure = describeFailure(new CommandError(exitCodes.conflict, 'No', 'pulse doctor'))
  assert.deepEqual(failureProblem(failure), {
    schema: 'pulse.problem.v1',
    type: 'about:blank',
    title: 'No',
    code: 'command',
    exit_code: 6,
    next: 'pulse doctor',
  })
})

test('an interruption exits with 130, and a mistake of ours with 1 and without its stack', () => {
  assert.equal(describeFailure(new Interrupted('Interrupted.')).exitCode, 130)
  const mistake = describeFailure(new TypeError('x is not a function'))
  assert.equal(mistake.exitCode, 1)
  assert.doesNotMatch(failureLine(mistake), /\bat /)
})

test('a stream that cannot go on exits with the code that says why', () => {
  const cases: [ErrorCode, number, RegExp][] = [
    ['unauthenticated', exitCodes.auth, /Next: pulse login/],
    ['forbidden', exitCodes.auth, /Next: pulse keys create/],
    ['no_filter', exitCodes.notFound, /Next: pulse filters set/],
    ['invalid_filter', exitCodes.usage, /^Ended\.$/],
    ['invalid_position', exitCodes.usage, /^Ended\.$/],
    ['closed', exitCodes.unavailable, /^Ended\.$/],
    ['network', exitCodes.unavailable, /Next: pulse doctor/],
  ]
  for (const [code, exitCode, line] of cases) {
    const failure = describeFailure(new PulseError({ code, detail: 'Ended.' }))
    assert.equal(failure.exitCode, exitCode, code)
    assert.match(failureLine(failure), line)
  }
})

test('a wrong filter is told once, with its place', () => {
  const detail = 'expected a text (at character 14)'
  const error = new PulseError({
    ...{ code: 'invalid_filter', detail: `The filter cannot be taken: ${detail}.`, status: 422 },
    errors: [{ pointer: '/expression', detail }],
  })
  assert.equal(failureLine(describeFailure(error)), `The filter cannot be taken: ${detail}.`)
})

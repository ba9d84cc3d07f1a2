import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Admission } from './admission.ts'

/** An admission with a clock that is turned by hand. */
function aDoor(more: { rateMax?: number; ackDelayMsMax?: number; backlogSecondsMax?: number } = {}) {
  const state = { ms: 0, disk: 0.1, backlog: 0, draining: false }
  const admission = new Admission({
    limits: { rateMax: 0, ackDelayMsMax: 1_000, backlogSecondsMax: 0, diskUsedRatioMax: 0.9, ...more },
    diskUsedRatio: () => state.disk,
    backlogSeconds: () => state.backlog,
    draining: () => state.draining,
    now: () => state.ms,
  })
  return { admission, state, code: () => admission.refusal()?.code }
}

test('a budget lets its rate through, over any time, and says when to come back', () => {
  const { admission, state } = aDoor({ rateMax: 1_000 })
  let admitted = 0
  for (; state.ms < 10_000; state.ms += 0.1)
    if (!admission.refusal()) {
      admission.enter(1)
      admission.leave(1)
      admitted++
    }
  assert.ok(Math.abs(admitted - 10_100) <= 20, `${admitted} in 10 s, with a burst of 100`)
  while (!admission.refusal()) admission.enter(1)
  assert.equal(admission.refusal()?.code, 'over_budget')
  assert.ok((admission.refusal()?.options.retryAfter ?? 0) >= 1)
})

test('of a batch over the budget the first events are let in, and no budget is too small for one event', () => {
  const { admission, state, code } = aDoor({ rateMax: 1_000 })
  assert.equal(admission.enter(5_000), 100)
  assert.equal(admission.retryAfter(4_900), 5)
  assert.equal(code(), 'over_budget')
  state.ms = 50
  assert.equal(admission.enter(5_000), 50)
  const small = aDoor({ rateMax: 1 })
  assert.equal(small.admission.enter(3), 1)
  small.state.ms = 999
  assert.equal(small.code(), 'over_budget')
  small.state.ms = 1_001
  assert.equal(small.code(), undefined)
})

test('more in flight than the log settles within the allowed delay is refused', () => {
  const { admission, state, code } = aDoor()
  for (let i = 0; i < 20; i++) {
    admission.enter(500)
    state.ms += 100
    admission.leave(500)
  }
  admission.enter(4_500)
  assert.equal(code(), undefined, 'at 5,000 a second they wait 0.9 s')
  admission.enter(1_000)
  assert.equal(code(), 'overloaded', 'at 5,000 a second they wait 1.1 s')
  admission.leave(2_000)
  assert.equal(code(), undefined)
})

test('a full disk, a backlog over its limit and a server that stops let nothing in', () => {
  const { state, code } = aDoor({ backlogSecondsMax: 60 })
  state.backlog = 61
  assert.equal(code(), 'overloaded')
  state.backlog = 59
  assert.equal(code(), undefined)
  state.disk = 0.9
  assert.equal(code(), 'disk_full')
  state.draining = true
  assert.equal(code(), 'shutting_down')
})

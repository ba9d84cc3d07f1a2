import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isControl, isControlType } from './control-record.ts'
import type { LogRecord } from './log.ts'

const recordOf = (value: string): LogRecord => ({
  offset: 0,
  receivedAt: 0,
  value,
  get event() {
    return JSON.parse(value)
  },
})

test('a record is a control record by its type alone, and what is no event is none', () => {
  assert.equal(isControl(recordOf('{"event_type":"pulse.filters","properties":{}}')), true)
  assert.equal(isControl(recordOf('{"event_type":"custom","properties":{"type":"pulse.filters"}}')), false)
  assert.equal(isControl(recordOf('{"event_type":"pulse"}')), false)
  for (const text of ['"pulse.filters', 'null "pulse.', '{"event_type":7,"x":"pulse."}', '{"x":"pulse."}'])
    assert.equal(isControl(recordOf(text)), false, text)
  assert.deepEqual(['pulse.', 'pulse.x', 'pulse', 'Pulse.x', 'a.pulse.x'].map(isControlType), [
    true,
    true,
    false,
    false,
    false,
  ])
})

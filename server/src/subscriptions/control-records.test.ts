import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogRecord } from '@pulse/log'
import { announcedIn } from './control-records.ts'

test('what others write under a reserved type announces nothing, and harms nobody who follows the log', () => {
  for (const properties of [
    undefined,
    null,
    'text',
    [],
    {},
    { announcement: 'x', topic: 't', partition: 0 },
  ]) {
    const event = { event_type: 'pulse.filters', properties }
    assert.equal(announcedIn({ event, value: JSON.stringify(event) } as unknown as LogRecord), undefined)
  }
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clientFrameSchema, frameLimits } from './frames.ts'
import { formatStreamPosition } from './stream-position.ts'

test('a position over as many partitions as a topic may have, far on, fits into a frame', () => {
  const offsets = new Map(Array.from({ length: 1_024 }, (_, partition) => [partition, 999_999_999_999_999]))
  const position = formatStreamPosition([{ topic: 'events', epoch: Date.now(), offsets }])
  const frame = { type: 'resume', position }
  assert.deepEqual(clientFrameSchema.parse(frame), frame)
  assert.ok(JSON.stringify(frame).length < frameLimits.clientFrameBytesMax)
})

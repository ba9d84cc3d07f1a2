import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatCursor, parseCursor } from './cursor.ts'

const id = '0b6a3d0e-6c1e-4d0f-9c2a-1f6f0f4f9a11'
const at = '2026-11-21T10:00:00.000123Z'

test('a cursor is read as it was written', () => {
  assert.deepEqual(parseCursor(formatCursor({ at, id })), { at, id })
})

test('a cursor with an instant or an id that the database could not read is refused before it gets there', () => {
  for (const wrong of [
    { at: '2026-99-21T10:00:00.000123Z', id },
    { at: '2026-02-30T10:00:00.000123Z', id },
    { at, id: '------------------------------------' },
    { at, id: id.replaceAll('-', '').padEnd(36, '0') },
  ])
    assert.throws(() => parseCursor(formatCursor(wrong)), { code: 'invalid_request' })
})

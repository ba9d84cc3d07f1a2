import { parseInstant } from '@pulse/protocol/instant'
import { ProblemError } from '../http/problem-error.ts'

/** Where a page ended: the sort key of its last row. */
export interface Cursor {
  readonly at: string
  readonly id: string
}

/** Writes a cursor; opaque to clients. */
export function formatCursor(cursor: Cursor): string {
  return Buffer.from(`${cursor.at} ${cursor.id}`).toString('base64url')
}

const form = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/

/** Reads a cursor. Throws ProblemError `invalid_request` for one that this server did not write. */
export function parseCursor(text: string | undefined): Cursor | undefined {
  if (text === undefined) return undefined
  const parts = form.exec(Buffer.from(text, 'base64url').toString('latin1'))
  if (!parts?.[1] || !parts[2] || parseInstant(parts[1]) === undefined)
    throw new ProblemError('invalid_request', 'The cursor is not one of this server.', {
      errors: [{ pointer: '/cursor', detail: 'must be a cursor from an earlier answer' }],
    })
  return { at: parts[1], id: parts[2] }
}

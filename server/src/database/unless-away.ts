import { LogError } from '@pulse/log'
import { ProblemError } from '../http/problem-error.ts'

/** States of PostgreSQL that pass: no connection, no resources, shutting down, an error of the system, a server that is not the primary any more. */
const passing = /^((08|53|57|58)...|25006)$/

/**
 * The answer of the database. Rejects with ProblemError `unavailable` if it is away, which is no mistake of ours and of
 * nobody who asked, else with what it rejected with.
 */
export async function unlessAway<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked
  } catch (cause) {
    if (!isAway(cause)) throw cause
    throw new ProblemError('unavailable', 'The database does not answer.', { retryAfter: 2, cause })
  }
}

// What has no code of PostgreSQL's comes of the connection, not of the statement.
function isAway(error: unknown): boolean {
  if (error instanceof LogError) return error.retryable
  const { code, message = '' } = error as { code?: string; message?: string }
  if (code === undefined) return /connect|terminated|timeout/i.test(message)
  return /^[0-9A-Z]{5}$/.test(code) ? passing.test(code) : /^E[A-Z]+$/.test(code)
}

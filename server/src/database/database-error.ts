/** The database did not start, or does not answer. */
export class DatabaseError extends Error {
  override name = 'DatabaseError'
  readonly code: 'unavailable' | 'start-failed'
  constructor(code: DatabaseError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
  get retryable(): boolean {
    return this.code === 'unavailable'
  }
}

/** The code that Node or PostgreSQL gave an error (`ENOENT`, `57P03`), if any. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}

/** What an error says, in one line. An attempt at several addresses says it in its parts. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors.map(reasonOf).join('; ')
  return (error instanceof Error ? error.message : String(error)).split('\n').join(' ')
}

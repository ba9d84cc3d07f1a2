export type FilterErrorCode = 'invalid_filter' | 'filter_too_wide'

interface Place {
  /** JSON Pointer into the pattern or the simple form. */
  readonly pointer?: string
  /** Character of the expression, counted from 0 in UTF-16 code units. */
  readonly at?: number
}

/**
 * A filter that is refused: `invalid_filter` for what cannot be read or can never be meant, `filter_too_wide` for
 * what is larger than `filterLimits` allow. Nothing is kept of it. The message says to who wrote the filter what is
 * wrong; the place stands beside it.
 */
export class FilterError extends Error {
  override name = 'FilterError'
  readonly code: FilterErrorCode
  /** JSON Pointer into the pattern, or '' if it is about the whole or about an expression. */
  readonly pointer: string
  /** Character of the expression, from 0; undefined if it is about the whole or about a pattern. */
  readonly at: number | undefined
  constructor(code: FilterErrorCode, message: string, { pointer = '', at }: Place = {}) {
    super(message)
    this.code = code
    this.pointer = pointer
    this.at = at
  }
}

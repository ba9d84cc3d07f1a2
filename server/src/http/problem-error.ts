import { type ProblemCode, problems } from '@pulse/protocol/problem'
import type { InvalidMember } from '@pulse/protocol/receipt'

interface ProblemOptions extends ErrorOptions {
  errors?: readonly InvalidMember[]
  /** Whole seconds; becomes the Retry-After header. */
  retryAfter?: number
  headers?: Readonly<Record<string, string>>
  /** Further members of the answer. */
  members?: Readonly<Record<string, unknown>>
}

/** Thrown by any route; the HTTP layer turns it into an RFC 9457 answer. The message is the problem's `detail`. */
export class ProblemError extends Error {
  override name = 'ProblemError'
  readonly code: ProblemCode
  readonly options: ProblemOptions
  constructor(code: ProblemCode, detail: string, options: ProblemOptions = {}) {
    // A problem is an answer, and its stack is read by nobody; taking it costs more than anything else of a refusal, and
    // under overload there are thousands of those a second.
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    super(detail, options)
    Error.stackTraceLimit = stackTraceLimit
    this.code = code
    this.options = options
  }
  get status(): number {
    return problems[this.code].status
  }
}

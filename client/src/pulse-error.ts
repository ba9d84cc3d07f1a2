import type { Problem, ProblemCode } from '@pulse/protocol/problem'
import type { InvalidMember } from '@pulse/protocol/receipt'

/**
 * Why a call failed: a problem code of the server, or one that only a client can see.
 * `network`: no answer (refused, reset, unknown host). `timeout`: no answer in time. `unexpected_answer`: an
 * answer that is not Pulse's, for example the page of a proxy. `buffer_full`: a publisher holds as many events as it
 * may; wait for room.
 *
 * Why a subscription ended, besides `unauthenticated` and `forbidden`: `no_filter`: the subscriber has none, and none
 * was given. `too_slow`: its consumer, whose policy is `close`. `invalid_position`: damaged. `invalid_frame`: the
 * server did not understand this client. `closed`: for another reason, which the detail says.
 */
export type ErrorCode =
  | ProblemCode
  | 'network'
  | 'timeout'
  | 'unexpected_answer'
  | 'buffer_full'
  | 'no_filter'
  | 'too_slow'
  | 'invalid_position'
  | 'invalid_frame'
  | 'closed'

// Written as a list and not read from the protocol's table, because that table drags zod into every browser
// bundle. A test compares the two.
const retryableCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'network',
  'timeout',
  'request_timeout',
  'idempotency_key_in_use',
  'rate_limited',
  'over_budget',
  'unavailable',
  'overloaded',
  'disk_full',
  'shutting_down',
  'query_timeout',
])

// What gateways and proxies in front of a server answer while it restarts or is too busy.
const retryableStatuses: ReadonlySet<number> = new Set([408, 425, 429, 502, 503, 504])

interface PulseErrorFacts {
  readonly code: ErrorCode
  readonly detail: string
  readonly status?: number | undefined
  readonly title?: string | undefined
  readonly requestId?: string | undefined
  readonly errors?: readonly InvalidMember[] | undefined
  readonly suggestions?: readonly string[] | undefined
  /** Seconds. */
  readonly retryAfter?: number | undefined
  readonly cause?: unknown
}

/** A call that failed. `code` is stable and says why; `message` is for people and may change. */
export class PulseError extends Error {
  override name = 'PulseError'
  readonly code: ErrorCode
  /** HTTP status; undefined when there was no answer. */
  readonly status: number | undefined
  readonly title: string
  readonly detail: string
  /** Finds the request in the server's log. */
  readonly requestId: string | undefined
  /** Each wrong member of what was sent, by JSON Pointer. */
  readonly errors: readonly InvalidMember[]
  /** Of `name_taken`: names near it that are free. */
  readonly suggestions: readonly string[]
  /** Seconds that the server asks to wait before the same request is sent again. */
  readonly retryAfter: number | undefined

  constructor(facts: PulseErrorFacts) {
    super(facts.detail, facts.cause === undefined ? undefined : { cause: facts.cause })
    this.code = facts.code
    this.status = facts.status
    this.title = facts.title ?? facts.detail
    this.detail = facts.detail
    this.requestId = facts.requestId
    this.errors = facts.errors ?? []
    this.suggestions = facts.suggestions ?? []
    this.retryAfter = facts.retryAfter
  }

  /** True if the same request, sent again later, can succeed. */
  get retryable(): boolean {
    if (this.code === 'unexpected_answer') return retryableStatuses.has(this.status ?? 0)
    return retryableCodes.has(this.code)
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null

/** Seconds that a Retry-After header names, as a number or as a date; undefined if it names none. */
export function parseRetryAfter(header: string | null, nowMs: number): number | undefined {
  if (header === null) return undefined
  if (/^\s*\d+(\.\d+)?\s*$/.test(header)) return Number(header)
  const at = Date.parse(header)
  return Number.isNaN(at) ? undefined : Math.max(0, (at - nowMs) / 1000)
}

/** Makes the error of an answer that is not a success. `text` is its body, which may be no problem document. */
export function errorOfAnswer(response: Response, text: string): PulseError {
  const requestId = response.headers.get('x-request-id') ?? undefined
  const retryAfter = parseRetryAfter(response.headers.get('retry-after'), Date.now())
  const body = parseJson(text)
  if (!isObject(body) || typeof body.code !== 'string') {
    const elsewhere = response.headers.get('location')
    const hint =
      elsewhere === null
        ? 'Is there another server or a proxy at this address?'
        : `It leads to ${elsewhere}: is the server there?`
    const detail = `The answer ${response.status} is not Pulse's. ${hint}`
    return new PulseError({
      code: 'unexpected_answer',
      detail,
      status: response.status,
      requestId,
      retryAfter,
    })
  }
  const problem = body as unknown as Problem & { readonly suggestions?: readonly string[] }
  return new PulseError({
    code: problem.code,
    status: response.status,
    title: problem.title,
    detail: problem.detail ?? problem.title,
    requestId: problem.request_id ?? requestId,
    errors: problem.errors,
    suggestions: problem.suggestions,
    retryAfter: problem.retry_after ?? retryAfter,
  })
}

/** The value of a JSON text, or undefined if it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

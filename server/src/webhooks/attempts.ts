/** What one request came to. `answered`: with any status; `failed`: with none. */
export type Outcome =
  | { readonly kind: 'answered'; readonly status: number; readonly retryAfterMs: number | undefined }
  | { readonly kind: 'failed'; readonly failure: Failure }
  /** It was called off on our side; whether the receiver has taken it is not known. */
  | { readonly kind: 'left' }

/** Why an attempt failed: a class for programs, a sentence for people. */
export interface Failure {
  readonly errorClass: string
  readonly message: string
}

export interface RetryPolicy {
  readonly attemptsMax: number
  readonly baseMs: number
  readonly maxMs: number
}

/** What follows from a request. */
export type Verdict =
  | { readonly kind: 'taken' }
  /** `quietMs`: the receiver asks for quiet, so nothing at all is sent for so long. */
  | {
      readonly kind: 'again'
      readonly delayMs: number
      readonly quietMs: number | undefined
      readonly failure: Failure
    }
  | { readonly kind: 'given_up'; readonly failure: Failure }
  /** The receiver wants no more of this webhook, ever. */
  | { readonly kind: 'gone' }
  | { readonly kind: 'left' }

/** A receiver cannot put us off for longer than this with one answer. */
const retryAfterMsMax = 3_600_000
const askForQuiet: ReadonlySet<number> = new Set([429, 503])

/** Decides what follows from attempt number `attempt` (from 1). `random`: from 0 to below 1. */
export function decide(
  outcome: Outcome,
  { attempt, policy, random }: { attempt: number; policy: RetryPolicy; random: () => number },
): Verdict {
  if (outcome.kind === 'left') return outcome
  if (outcome.kind === 'answered') {
    if (outcome.status >= 200 && outcome.status < 300) return { kind: 'taken' }
    if (outcome.status === 410) return { kind: 'gone' }
  }
  const failure = outcome.kind === 'failed' ? outcome.failure : failureOfStatus(outcome.status)
  if (attempt >= policy.attemptsMax) return { kind: 'given_up', failure }
  // Full jitter: receivers that come back are not met by everything that waited for them at one moment.
  const delayMs = random() * Math.min(policy.maxMs, policy.baseMs * 2 ** (attempt - 1))
  if (outcome.kind === 'failed' || outcome.retryAfterMs === undefined)
    return { kind: 'again', delayMs, quietMs: undefined, failure }
  const askedMs = Math.min(outcome.retryAfterMs, retryAfterMsMax)
  const quietMs = askForQuiet.has(outcome.status) ? askedMs : undefined
  return { kind: 'again', delayMs: Math.max(delayMs, askedMs), quietMs, failure }
}

function failureOfStatus(status: number): Failure {
  const isRedirect = status >= 300 && status < 400
  return {
    errorClass: isRedirect ? 'Redirect' : 'Status',
    message: `the receiver answered ${status}${isRedirect ? '; redirects are not followed' : ''}`,
  }
}

/** Reads `Retry-After`, seconds or a date; milliseconds from now, or undefined. */
export function retryAfterMsOf(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1_000
  const at = Date.parse(header)
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs)
}

import type { LogRecord } from '@pulse/log'
import { PermanentError } from '../config/define-config.ts'

/** Why an event could not be handled. */
export interface Failure {
  readonly errorClass: string
  readonly message: string
  /** True if no later try can help. */
  readonly permanent: boolean
  readonly handler: string
}

/** An event on its way through the handlers. */
export interface Work {
  readonly record: LogRecord
  readonly key: string
  /** Attempts before this one. */
  readonly attempts: number
}

/** What one attempt at one event led to. */
export type Outcome =
  | {
      readonly kind: 'processed'
      readonly work: Work
      readonly enriched: object | null
      readonly rows: UserRows
    }
  | { readonly kind: 'dropped'; readonly work: Work; readonly reason: string }
  /** The same event came before: it has had its effect or will have it. */
  | { readonly kind: 'repeated'; readonly work: Work }
  /** No event: a record for those who follow the log. */
  | { readonly kind: 'control'; readonly work: Work }
  | {
      readonly kind: 'parked'
      readonly work: Work
      readonly failure: Failure | undefined
      readonly delayMs: number
    }
  | { readonly kind: 'dead'; readonly work: Work; readonly failure: Failure }

/** An event that was given back: the stop began before its handler ended well, so it is its next owner's. */
export interface Left {
  readonly kind: 'left'
  readonly work: Work
}

/** What running an event led to, if it led to anything. */
export type Attempt = Outcome | Left

/** What may be committed: no offset may pass an event that was left, so nothing after it either. */
export function finishedOf(attempts: readonly Attempt[]): readonly Outcome[] {
  const first = attempts.findIndex(({ kind }) => kind === 'left')
  return (first === -1 ? attempts : attempts.slice(0, first)) as readonly Outcome[]
}

/** Rows for a team's own tables. */
export type UserRows = Readonly<Record<string, readonly Record<string, unknown>[]>>

export interface RetryPolicy {
  /** Attempts in all, the first one included. */
  readonly attemptsMax: number
  readonly baseMs: number
  readonly maxMs: number
}

/**
 * Full jitter over an exponential bound: base, 2 base, 4 base … up to max (Brooker, "Exponential Backoff And
 * Jitter", AWS 2015). `attempt` is the one that just failed, from 1. Returns milliseconds.
 */
export function backoffMs(policy: RetryPolicy, attempt: number, random: () => number = Math.random): number {
  return Math.ceil(random() * Math.min(policy.maxMs, policy.baseMs * 2 ** (attempt - 1)))
}

/** What a failed attempt means under the policy: parked for another one, or dead. */
export function afterFailure(work: Work, failure: Failure, policy: RetryPolicy): Outcome {
  const attempt = work.attempts + 1
  if (failure.permanent || attempt >= policy.attemptsMax) return { kind: 'dead', work, failure }
  return { kind: 'parked', work, failure, delayMs: backoffMs(policy, attempt) }
}

/** Reads what a handler threw, whatever it was. */
export function failureOf(thrown: unknown, handler: string): Failure {
  if (!(thrown instanceof Error))
    return { errorClass: 'Error', message: clean(thrown), permanent: false, handler }
  return {
    errorClass: clean(thrown.name) || 'Error',
    message: clean(thrown.message),
    permanent: thrown instanceof PermanentError || thrown.name === 'PermanentError',
    handler,
  }
}

// A message may quote the whole payload. A NUL cannot be stored, nor half a surrogate pair, which the cut may leave.
const clean = (thrown: unknown) => textOf(thrown).replaceAll('\0', '').slice(0, 2_000).toWellFormed()

function textOf(thrown: unknown): string {
  try {
    return String(thrown)
  } catch {
    return Object.prototype.toString.call(thrown) // an object without a prototype has no text
  }
}

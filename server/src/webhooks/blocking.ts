import type { Failure, Outcome } from './attempts.ts'
import { letterLimits } from './letter.ts'

/** Why one was given up untried. */
export const tooManyParked: Failure = {
  errorClass: 'Blocked',
  message: `${letterLimits.parkedMax} events wait behind others of their keys`,
}

/** Refused so often, a key makes way where the memory is full, if it is tried so often at all. */
const refusalsMin = 5

/**
 * Why a key is blocked:
 *
 * - `proven`: the receiver took others between two failures of it.
 * - `alone`: it keeps all others out of a full memory, so none of them can show whether it would be taken.
 * - `doubted`: the receiver answers, and refuses it again and again, while keys fill the memory none of which is taken.
 *   It refuses either those keys or everything, which shows only once there is room for others.
 */
export type Standing = 'proven' | 'alone' | 'doubted'

/** What is known of a key whose first letter has failed, but was not given up. */
export interface Signs {
  /** That failed twice, or is tried again only after longer than we would wait ourselves. */
  readonly isLate: boolean
  /** Others were taken since it failed before or, the first time, was sent. */
  readonly othersWereTaken: boolean
  /** The memory is full, and it alone takes up most of it. */
  readonly keepsOthersOut: boolean
  /** The memory is full, and the receiver's answers have refused it often. */
  readonly isRefused: boolean
  /** Few enough wait in the database on a doubt. */
  readonly mayDoubt: boolean
}

/**
 * How a key stands after a failure; undefined: it is not blocked. One sign of the first three says little: a first
 * failure may be the beginning of an outage, or its end. Two of them do.
 */
export function standingOf(before: Standing | undefined, signs: Signs): Standing | undefined {
  const { isLate, othersWereTaken, keepsOthersOut, isRefused, mayDoubt } = signs
  if (before) return isLate && othersWereTaken ? 'proven' : before
  if ([isLate, othersWereTaken, keepsOthersOut].filter((sign) => sign).length >= 2)
    return othersWereTaken ? 'proven' : 'alone'
  return isRefused && mayDoubt ? 'doubted' : undefined
}

/**
 * What becomes of an event that comes behind a blocked key: `wait` is parked too, but nothing is taken in after it, so that
 * the log keeps the rest. Only what surely has to wait is given up untried: in an outage nothing may be.
 */
export function fateOf(
  standing: Standing,
  { parked, doubted }: { readonly parked: number; readonly doubted: number },
): 'park' | 'wait' | 'bury' {
  const { parkedMax, doubtedMax } = letterLimits
  if (parked >= parkedMax) return standing === 'proven' ? 'bury' : 'wait'
  return standing === 'doubted' && doubted >= doubtedMax ? 'wait' : 'park'
}

/**
 * Whether a receiver that is there has refused this one event, as far as an answer can say so. No answer, 408, 429 and all
 * beyond 500 are what senders get, and proxies say, where it is away or overloaded.
 */
export const isRefusal = (outcome: Outcome): boolean =>
  outcome.kind === 'answered' &&
  outcome.status >= 400 &&
  outcome.status <= 500 &&
  outcome.status !== 408 &&
  outcome.status !== 429

/** Whether so many refusals are enough, where a letter is tried so often. */
export const isRefusedOften = (refusals: number, attemptsMax: number): boolean =>
  refusals > 0 && refusals >= Math.min(refusalsMin, attemptsMax - 1)

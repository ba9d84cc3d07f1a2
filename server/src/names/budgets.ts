import { addressName, networkName } from '../http/address-name.ts'
import { ProblemError } from '../http/problem-error.ts'
import { type Rate, RateLimiter } from '../http/rate-limiter.ts'
import type { NamesReport } from './report.ts'

/** How many names may be asked for without a credential; null for no limit. */
export interface NameRates {
  readonly address: Rate | null
  readonly network: Rate | null
  readonly all: Rate | null
}

/** Whoever asks for many names is not choosing one: he is finding out which there are. */
export interface Budgets {
  /** Takes so many names from the budgets of an address. Throws ProblemError `rate_limited`, with when to come back. */
  take(address: string, names?: number): void
}

const everybody = 'everybody'

/**
 * Counts names per address, per network and in all, so that a list of names cannot be read out by many addresses of one
 * owner either. The first refusal of each in its window is reported as a sweep.
 */
export function createBudgets(rates: NameRates, report: NamesReport, now = Date.now): Budgets {
  const limiter = new RateLimiter()
  const sweeps = new RateLimiter()
  const takeOne = (name: string, rate: Rate | null, nowMs: number): void => {
    if (rate === null) return
    const budget = limiter.take(name, rate, nowMs)
    if (budget.allowed) return
    report.checked('limited')
    if (sweeps.take(name, { count: 1, windowMs: rate.windowMs }, nowMs).allowed) report.swept(name)
    throw new ProblemError('rate_limited', 'Too many names were asked for from there.', {
      retryAfter: budget.resetSeconds,
    })
  }
  return {
    take: (address, names = 1) => {
      const nowMs = now()
      const name = addressName(address)
      for (let taken = 0; taken < names; taken++) {
        takeOne(name, rates.address, nowMs)
        if (rates.network !== null) takeOne(networkName(name), rates.network, nowMs)
        takeOne(everybody, rates.all, nowMs)
      }
    },
  }
}

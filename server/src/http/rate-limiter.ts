import { LRUCache } from 'lru-cache'

/** So many requests in a window that begins with the first of them. */
export interface Rate {
  readonly count: number
  readonly windowMs: number
}

const pattern = /^([1-9]\d{0,8})\/([1-9]\d{0,4})?([smh])$/
const unitMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 }

/** The rate that a text such as `100/1m` names (units s, m, h), or undefined. */
export function parseRate(text: string): Rate | undefined {
  const [, count, amount = '1', unit = ''] = pattern.exec(text) ?? []
  const windowMs = Number(amount) * (unitMs[unit] ?? 0)
  return count === undefined ? undefined : { count: Number(count), windowMs }
}

/** What is left of a rate after one request. */
export interface Budget {
  readonly allowed: boolean
  readonly remaining: number
  /** Whole seconds until the window ends; at least 1. */
  readonly resetSeconds: number
}

interface Window {
  startedMs: number
  used: number
}

// A million strange addresses may not fill the memory: the least recently seen lose their count.
const windowsMax = 100_000

/**
 * Counts requests per name in windows. It answers in the same tick and holds at most 100,000 names; that is why it is
 * not a library: those that were looked at answer by promise, with a timer per name and no bound on names.
 */
export class RateLimiter {
  // Made with the first request: its room takes some 7 ms to lay out, and a start would wait for each limiter.
  #windows: LRUCache<string, Window> | undefined

  /** Takes one request from the name's budget; a refused request takes nothing. */
  take(name: string, rate: Rate, nowMs: number): Budget {
    this.#windows ??= new LRUCache({ max: windowsMax })
    let window = this.#windows.get(name)
    if (window === undefined || nowMs - window.startedMs >= rate.windowMs || nowMs < window.startedMs) {
      window = { startedMs: nowMs, used: 0 }
      this.#windows.set(name, window)
    }
    const allowed = window.used < rate.count
    if (allowed) window.used += 1
    const resetSeconds = Math.max(1, Math.ceil((window.startedMs + rate.windowMs - nowMs) / 1_000))
    return { allowed, remaining: rate.count - window.used, resetSeconds }
  }
}

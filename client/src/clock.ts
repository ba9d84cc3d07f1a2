/** Time as the client sees it; tests turn another one. */
export interface Clock {
  /** Milliseconds since 1970. Not a monotonic clock: those stand still while a laptop sleeps, and its sockets die. */
  now(): number
  /** Calls after so many milliseconds; returns what calls it off. */
  after(ms: number, call: () => void): () => void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, call) {
    const timer = setTimeout(call, ms)
    return () => clearTimeout(timer)
  },
}

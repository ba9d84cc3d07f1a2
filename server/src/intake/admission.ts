import { ProblemError } from '../http/problem-error.ts'

export interface AdmissionLimits {
  /** Events per second that are let in; 0 for no budget. */
  readonly rateMax: number
  /** Expected wait for the acknowledgement beyond which nothing more is let in, in milliseconds. */
  readonly ackDelayMsMax: number
  /** Seconds that processing may be behind; 0 for any. */
  readonly backlogSecondsMax: number
  /** Part of the disk that may be used. */
  readonly diskUsedRatioMax: number
}

interface AdmissionNeeds {
  readonly limits: AdmissionLimits
  /** Part of the disk that is used, 0 to 1; undefined while unknown. */
  readonly diskUsedRatio: () => number | undefined
  /** Seconds that processing is behind; undefined while unknown. */
  readonly backlogSeconds: () => number | undefined
  /** True once the server is told to stop. */
  readonly draining: () => boolean
  /** Milliseconds that only grow. */
  readonly now?: () => number
}

// A bucket of a tenth of a second lets a steady sender of the exact rate through and cuts a burst. It holds one event at
// least, or a budget below ten a second would let nothing in.
const bucketSeconds = 0.1
const bucketOf = (rateMax: number) => Math.max(1, rateMax * bucketSeconds)
/** Events let in and not settled, at most; bounds the memory of intake. */
export const inFlightEventsMax = 200_000
const secondsToFreeDisk = 60

/**
 * Decides whether events may come in: an answer that would come too late is refused at once instead, so memory
 * stays bounded and those who are let in are served in time. 429 is the sender's budget, 503 is our trouble.
 */
export class Admission {
  readonly #needs: AdmissionNeeds
  readonly #now: () => number
  #tokens: number
  #filledAt: number
  #inFlight = 0
  #settled = 0
  #settledAt: number
  /** Events per second that the log settles while it has something to do; a moving average. */
  #pace = 10_000

  constructor(needs: AdmissionNeeds) {
    this.#needs = needs
    this.#now = needs.now ?? (() => performance.now())
    this.#tokens = bucketOf(needs.limits.rateMax)
    this.#filledAt = this.#now()
    this.#settledAt = this.#now()
  }

  /** Events that are let in and not settled yet. */
  get inFlight(): number {
    return this.#inFlight
  }

  /** Why nothing is let in at the moment, if so. Cheap: asked before a body is read. */
  refusal(): ProblemError | undefined {
    const { limits, draining } = this.#needs
    if (draining()) return refuse('shutting_down', 'This server is shutting down.', 1)
    if ((this.#needs.diskUsedRatio() ?? 0) >= limits.diskUsedRatioMax) {
      const percent = Math.round(limits.diskUsedRatioMax * 100)
      return refuse('disk_full', `The disk is over ${percent} % full.`, secondsToFreeDisk)
    }
    const behind = this.#needs.backlogSeconds() ?? 0
    if (limits.backlogSecondsMax > 0 && behind > limits.backlogSecondsMax)
      return refuse(
        'overloaded',
        `Processing is ${Math.round(behind)} s behind.`,
        behind - limits.backlogSecondsMax,
      )
    const waitMs = (this.#inFlight / this.#pace) * 1000
    if (this.#inFlight >= inFlightEventsMax || (this.#inFlight > 1_000 && waitMs > limits.ackDelayMsMax))
      return refuse('overloaded', `${this.#inFlight} events wait for the disk.`, waitMs / 1000)
    this.#fill()
    if (limits.rateMax > 0 && this.#tokens < 1)
      return refuse(
        'over_budget',
        `The budget is ${limits.rateMax} events per second.`,
        (1 - this.#tokens) / limits.rateMax,
      )
    return undefined
  }

  /**
   * Lets events in, or throws the refusal. Returns how many: of a batch that is larger than what is left of the
   * budget, the first ones. So many must `leave` again.
   */
  enter(events: number): number {
    const refusal = this.refusal()
    if (refusal) throw refusal
    const admitted = this.#needs.limits.rateMax > 0 ? Math.min(events, Math.floor(this.#tokens)) : events
    if (this.#inFlight === 0) this.#settledAt = this.#now()
    this.#tokens -= admitted
    this.#inFlight += admitted
    return admitted
  }

  /** Whole seconds after which the budget has room for so many events again. */
  retryAfter(events: number): number {
    return Math.max(1, Math.ceil(events / this.#needs.limits.rateMax))
  }

  /** So many of them are settled. */
  leave(events: number): void {
    this.#inFlight -= events
    this.#settled += events
    const now = this.#now()
    const ms = now - this.#settledAt
    if (ms < 100) return
    this.#pace = Math.max(100, this.#pace * 0.7 + ((this.#settled * 1000) / ms) * 0.3)
    this.#settled = 0
    this.#settledAt = now
  }

  #fill(): void {
    const now = this.#now()
    const { rateMax } = this.#needs.limits
    this.#tokens = Math.min(bucketOf(rateMax), this.#tokens + ((now - this.#filledAt) * rateMax) / 1000)
    this.#filledAt = now
  }
}

// Up to a fifth more at random, so that those who are refused together do not come back together.
function refuse(
  code: 'shutting_down' | 'disk_full' | 'overloaded' | 'over_budget',
  detail: string,
  seconds: number,
): ProblemError {
  const retryAfter = Math.max(1, Math.ceil(seconds * (1 + Math.random() * 0.2)))
  return new ProblemError(code, detail, { retryAfter })
}

/** What waits for processing. */
export interface Backlog {
  /** Events that are kept and that nobody has tried yet. */
  readonly events: number
  /** How long the oldest of them has waited. */
  readonly seconds: number
  /** Beside those: events that were tried, failed, and wait for another attempt. */
  readonly parked: number
}

/** A backlog that nobody could measure for this long is not shown as if it were true. */
const freshMs = 10_000

/** Holds the last measured backlog, so that no request has to ask the database for it. */
export class BacklogWatch {
  #last: Backlog | undefined
  #at = 0
  #measuredAt: Date | undefined

  /** Keeps a measurement that has just been made. */
  keep(backlog: Backlog): void {
    this.#last = backlog
    this.#at = performance.now()
    this.#measuredAt = new Date()
  }

  /** The backlog if it was measured within the last ten seconds. */
  fresh(): Backlog | undefined {
    return performance.now() - this.#at <= freshMs ? this.#last : undefined
  }

  /** The last known backlog and when it was true. */
  last(): (Backlog & { readonly measuredAt: Date }) | undefined {
    return this.#last && this.#measuredAt ? { ...this.#last, measuredAt: this.#measuredAt } : undefined
  }
}

/** What the load generator is told to do, and what it answers; both travel as JSON between two processes. */

/** How requests are paced. */
export type Pace =
  /** Every connection sends its next request when the last one is answered: finds the rate. */
  | { readonly kind: 'closed' }
  /** So many requests per second on a fixed schedule, whatever the server does: finds the delay. */
  | { readonly kind: 'open'; readonly requestsPerSecond: number }

/** Requests that ask for something, in the place of those that hand events in. */
export interface Asking {
  /** Asked in turn. */
  readonly paths: readonly string[]
  /** How the body of a right answer begins. */
  readonly answer: string
}

/** A server. */
export interface Target {
  readonly url: string
  /** Empty: requests are sent without a credential. */
  readonly key: string
}

export interface LoadPlan {
  /** Connections are dealt to them in turn. */
  readonly targets: readonly Target[]
  /** Over all targets; each carries one request at a time. */
  readonly connections: number
  readonly pace: Pace
  /** Asks for these rather than sending events. */
  readonly asking?: Asking
  /** 0: single events. Else events per request. */
  readonly batch: number
  /** Part of the events that were acknowledged before, 0 to 1. */
  readonly repeats: number
  /** Prepared ids (see `id-window.ts`) from which every second repeat is taken; 0 for none. */
  readonly windowEvents: number
  /** Load at the beginning that is not counted. */
  readonly warmUpMs: number
  readonly measuredMs: number
}

/** Delays in milliseconds, to the end of the answer: from sending (closed) or from the intended start (open). */
export interface Delays {
  readonly requests: number
  readonly p50: number
  readonly p95: number
  readonly p99: number
  readonly max: number
}

export interface LoadResult {
  /** From the end of the warm-up to the last answer. */
  readonly seconds: number
  /** Events in answers that said accepted or duplicate; of what was asked for, the right answers. */
  readonly accepted: number
  readonly duplicates: number
  /** Requests without a 2xx answer, and 2xx answers that reject an event or say another thing than they should. */
  readonly failed: number
  /** Requests by what became of them: a status, or the name of what went wrong. */
  readonly outcomes: Readonly<Record<string, number>>
  /** Of requests with a 2xx answer; null if there was none. */
  readonly succeeded: Delays | null
  /** Of requests that were refused with 429 or 503; null if there was none. */
  readonly refused: Delays | null
  /** Part of one core that the generator itself used, 0 to 1. */
  readonly generatorCpu: number
  /** Longest time in which the generator did not look at its schedule; 0 with a closed pace. So much of a delay may be its own. */
  readonly generatorStallMs: number
}

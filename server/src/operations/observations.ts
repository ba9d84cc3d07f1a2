import { type BucketFacts, Buckets, ObservedLatency, secondsBounds } from './observed-latency.ts'

/**
 * The facts that intake and processing report, from which every figure of the server is made: Prometheus, the
 * summary and the live charts. Call each with a count per batch and event type, after the fact is certain.
 *
 * Every event that was offered is exactly one of received, duplicate or rejected; every received one ends as
 * processed, failed (dead-lettered) or dropped, and is backlog until then. So the counters can be balanced.
 * Durations are milliseconds. A call costs well under a microsecond and never throws.
 */
export interface Observations {
  /** Events that were kept for the first time and acknowledged. */
  received(eventType: string, count: number): void
  /** Events that were kept before and got their first receipt again, at the door or from the log. */
  duplicate(eventType: string, count: number): void
  /** Events that were refused; the reason is a problem code or the status of a batch's item. */
  rejected(reason: string, count: number): void
  /** From the request's last byte to its answer; a batch counts each of its events. */
  acknowledged(ms: number, count: number): void
  /** One commit of the log: how many events it kept, and how long the database took. */
  committed(events: number, ms: number): void
  /** Events whose rows are committed, `ms` after they were received. */
  processed(eventType: string, count: number, ms: number): void
  /** One handler ran for one event or a batch of them, and ended either way. */
  handled(eventType: string, count: number, ms: number): void
  /** Attempts that failed and will be tried again. */
  retried(eventType: string, count: number): void
  /** Events that became dead letters; the class is the error's name, for example `ValidationError`. */
  failed(eventType: string, errorClass: string, count: number): void
  /** Events that a handler or rule let go on purpose. */
  dropped(eventType: string, count: number): void
}

/** Totals since this process started. */
export interface Totals {
  received: number
  duplicate: number
  rejected: number
  processed: number
  retried: number
  failed: number
  dropped: number
}

/** What is known about one event type. */
export interface TypeFacts extends Readonly<Omit<Totals, 'rejected'>> {
  readonly processing: BucketFacts
  readonly handler: BucketFacts
  readonly failedByClass: ReadonlyMap<string, number>
}

/** What has been observed, as the operations module reads it. */
export interface Observed {
  readonly totals: Readonly<Totals>
  readonly types: ReadonlyMap<string, TypeFacts>
  readonly rejectedByReason: ReadonlyMap<string, number>
  readonly ack: ObservedLatency
  readonly processing: ObservedLatency
  readonly commitEvents: BucketFacts
  readonly commitSeconds: BucketFacts
}

/** Names come from clients, and every one of them costs memory here and in Prometheus: the rest is `other`. */
export const namesMax = { eventTypes: 200, reasons: 50, errorClassesPerType: 20 } as const

const commitBounds = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000]

class TypeTally implements TypeFacts {
  received = 0
  duplicate = 0
  processed = 0
  retried = 0
  failed = 0
  dropped = 0
  readonly processing = new Buckets(secondsBounds)
  readonly handler = new Buckets(secondsBounds)
  readonly failedByClass = new Map<string, number>()
}

const addBounded = (
  to: Map<string, number>,
  name: string,
  { count, max }: { count: number; max: number },
) => {
  const key = to.has(name) || to.size < max ? name : 'other'
  to.set(key, (to.get(key) ?? 0) + count)
}

/** Counts into plain numbers: nothing is formatted, allocated or locked until somebody asks. */
class Tally implements Observations, Observed {
  readonly totals: Totals = {
    received: 0,
    duplicate: 0,
    rejected: 0,
    processed: 0,
    retried: 0,
    failed: 0,
    dropped: 0,
  }
  readonly types = new Map<string, TypeTally>()
  readonly rejectedByReason = new Map<string, number>()
  readonly ack = new ObservedLatency()
  readonly processing = new ObservedLatency()
  readonly commitEvents = new Buckets(commitBounds)
  readonly commitSeconds = new Buckets(secondsBounds)

  #type(eventType: string): TypeTally {
    const known = this.types.get(eventType)
    if (known) return known
    if (this.types.size >= namesMax.eventTypes && eventType !== 'other') return this.#type('other')
    const fresh = new TypeTally()
    this.types.set(eventType, fresh)
    return fresh
  }

  received(eventType: string, count: number): void {
    this.totals.received += count
    this.#type(eventType).received += count
  }

  duplicate(eventType: string, count: number): void {
    this.totals.duplicate += count
    this.#type(eventType).duplicate += count
  }

  rejected(reason: string, count: number): void {
    this.totals.rejected += count
    addBounded(this.rejectedByReason, reason, { count, max: namesMax.reasons })
  }

  acknowledged(ms: number, count: number): void {
    this.ack.record(ms, count)
  }

  committed(events: number, ms: number): void {
    this.commitEvents.record(events, 1)
    this.commitSeconds.record(ms / 1_000, 1)
  }

  processed(eventType: string, count: number, ms: number): void {
    this.totals.processed += count
    const type = this.#type(eventType)
    type.processed += count
    type.processing.record(ms > 0 ? ms / 1_000 : 0, count)
    this.processing.record(ms, count)
  }

  handled(eventType: string, count: number, ms: number): void {
    this.#type(eventType).handler.record(ms / 1_000, count)
  }

  retried(eventType: string, count: number): void {
    this.totals.retried += count
    this.#type(eventType).retried += count
  }

  failed(eventType: string, errorClass: string, count: number): void {
    this.totals.failed += count
    const type = this.#type(eventType)
    type.failed += count
    addBounded(type.failedByClass, errorClass, { count, max: namesMax.errorClassesPerType })
  }

  dropped(eventType: string, count: number): void {
    this.totals.dropped += count
    this.#type(eventType).dropped += count
  }
}

/** Starts counting from zero. Give it to the modules as `Observations` and to operations as `Observed`. */
export function createObservations(): Observations & Observed {
  return new Tally()
}

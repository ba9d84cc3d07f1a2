import { LatencyHistogram } from './latency-histogram.ts'

/** Upper bounds in seconds of the buckets that Prometheus sees. */
export const secondsBounds = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
] as const

/** How much a bounded, ever growing Prometheus histogram holds: counts per bucket (not cumulated), sum, count. */
export interface BucketFacts {
  readonly bounds: readonly number[]
  /** One more than bounds: the last one counts what lies above all of them. */
  readonly counts: Readonly<Float64Array>
  readonly sum: number
  readonly count: number
}

/** Counts values into fixed buckets for ever, as Prometheus wants it. A value on a bound belongs below it. */
export class Buckets implements BucketFacts {
  readonly bounds: readonly number[]
  readonly counts: Float64Array
  sum = 0
  count = 0
  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = new Float64Array(bounds.length + 1)
  }
  /** Counts `value` (in the unit of the bounds) `count` times. */
  record(value: number, count: number): void {
    let bucket = 0
    while (bucket < this.bounds.length && value > (this.bounds[bucket] ?? 0)) bucket++
    this.counts[bucket] = (this.counts[bucket] ?? 0) + count
    this.sum += value * count
    this.count += count
  }
}

const slotSeconds = 5
const slotCount = 12

/**
 * One latency seen in three ways: buckets since the start for Prometheus, the running second for the live
 * charts, and the last 60 seconds for the summary.
 */
export class ObservedLatency {
  readonly buckets = new Buckets(secondsBounds)
  readonly second = new LatencyHistogram()
  #slots = Array.from({ length: slotCount }, () => new LatencyHistogram())
  /** Number of the open slot since 1970; none before the first second has ended. */
  #slot: number | undefined

  /** Counts a duration in milliseconds `count` times. */
  record(ms: number, count: number): void {
    this.buckets.record(ms > 0 ? ms / 1_000 : 0, count)
    this.second.record(ms, count)
  }

  /** Ends the running second: `unixSecond` is the one that begins. */
  turn(unixSecond: number): void {
    const next = Math.floor(unixSecond / slotSeconds)
    const open = this.#slot ?? next
    this.#slots[open % slotCount]?.merge(this.second)
    this.second.clear()
    this.#slot = next
    // A late timer skips slots, a clock set back repeats them: what they held is no longer the last minute.
    const skipped = next >= open ? Math.min(next - open, slotCount) : slotCount
    for (let step = 0; step < skipped; step++) this.#slots[(next - step) % slotCount]?.clear()
  }

  /** Everything of the last 55 to 60 seconds and of the running one. */
  recent(): LatencyHistogram {
    const all = new LatencyHistogram()
    for (const slot of this.#slots) all.merge(slot)
    all.merge(this.second)
    return all
  }
}

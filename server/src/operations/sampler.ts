import type { Backlog } from './backlog.ts'
import type { History, HistoryRow } from './history.ts'
import type { Observed, Totals } from './observations.ts'

interface SamplerNeeds {
  readonly observed: Observed
  readonly history: History
  /** The backlog if it was measured lately. */
  readonly backlog: () => Backlog | undefined
  /** 99th percentile of the event loop's delay since the last call, in milliseconds. */
  readonly takeEventLoopP99Ms: () => number
  readonly memoryBytes: () => number
}

/** Writes the running second into the history and begins the next. */
export class Sampler {
  #needs: SamplerNeeds
  #before: Totals
  #second: number | undefined

  constructor(needs: SamplerNeeds) {
    this.#needs = needs
    this.#before = { ...needs.observed.totals }
  }

  /** `unixSecond` has just begun; everything counted until now belongs to the seconds before it. */
  sample(unixSecond: number): void {
    if (unixSecond === this.#second) return
    const { history, observed } = this.#needs
    const ended = unixSecond - 1
    const since = this.#second ?? ended
    // A busy process may miss seconds. What was counted in them is spread evenly, so that the area under the
    // line still is the number of events; what was not measured in them stays empty.
    const seconds = unixSecond > since && unixSecond - since <= 60 ? unixSecond - since : 1
    const rates = this.#takeRates(seconds)
    for (let second = unixSecond - seconds; second < ended; second++) history.write(second, rates)
    history.write(ended, { ...rates, ...this.#measure() })
    observed.ack.turn(unixSecond)
    observed.processing.turn(unixSecond)
    this.#second = unixSecond
  }

  #takeRates(seconds: number): HistoryRow {
    const before = this.#before
    const totals = { ...this.#needs.observed.totals }
    this.#before = totals
    return {
      received_per_second: (totals.received - before.received) / seconds,
      processed_per_second: (totals.processed - before.processed) / seconds,
      failed_per_second: (totals.failed - before.failed) / seconds,
      duplicates_per_second: (totals.duplicate - before.duplicate) / seconds,
      rejected_per_second: (totals.rejected - before.rejected) / seconds,
    }
  }

  #measure(): HistoryRow {
    const { observed, backlog, takeEventLoopP99Ms, memoryBytes } = this.#needs
    const waiting = backlog()
    return {
      backlog_events: waiting?.events ?? null,
      backlog_seconds: waiting?.seconds ?? null,
      ack_p50_ms: observed.ack.second.percentile(0.5),
      ack_p95_ms: observed.ack.second.percentile(0.95),
      ack_p99_ms: observed.ack.second.percentile(0.99),
      processing_p95_ms: observed.processing.second.percentile(0.95),
      event_loop_p99_ms: takeEventLoopP99Ms(),
      memory_bytes: memoryBytes(),
    }
  }
}

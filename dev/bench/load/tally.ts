import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import type { Answer } from './connection.ts'
import type { Delays, LoadPlan, LoadResult } from './plan.ts'

const counts = /^\{"accepted":(\d+),"duplicates":(\d+),"rejected":(\d+)/

/** Counts what became of requests. */
export class Tally {
  readonly #batch: number
  readonly #answer: string
  readonly #outcomes: Record<string, number> = {}
  // Microseconds: whole milliseconds would round the quick answers away.
  readonly #succeeded = createHistogram({ figures: 3 })
  readonly #refused = createHistogram({ figures: 3 })
  #accepted = 0
  #duplicates = 0
  #failed = 0

  constructor({ batch, asking }: Pick<LoadPlan, 'batch' | 'asking'>) {
    this.#batch = batch
    this.#answer = asking?.answer ?? ''
  }

  /** Takes one answer; `ms` is its delay. */
  add(answer: Answer, ms: number): void {
    const { status } = answer
    if (status === 429 || status === 503) this.#refused.record(microsOf(ms))
    if (typeof status === 'number' && status >= 200 && status <= 299) this.#addSuccess(answer, ms)
    else this.#fail(status)
  }

  #addSuccess({ status, start }: Answer, ms: number): void {
    if (!start.startsWith(this.#answer)) {
      this.#fail(`${status} that says another thing`)
      return
    }
    this.#succeeded.record(microsOf(ms))
    const found = this.#batch === 0 ? undefined : counts.exec(start)
    this.#accepted += this.#batch === 0 ? 1 : Number(found?.[1] ?? 0)
    this.#duplicates += Number(found?.[2] ?? 0)
    if (this.#batch > 0 && found?.[3] !== '0') this.#fail(`${status} that rejects events`)
    else this.#count(status)
  }

  #fail(outcome: string | number): void {
    this.#failed++
    this.#count(outcome)
  }

  #count(outcome: string | number): void {
    this.#outcomes[outcome] = (this.#outcomes[outcome] ?? 0) + 1
  }

  result(of: Pick<LoadResult, 'seconds' | 'generatorCpu' | 'generatorStallMs'>): LoadResult {
    return {
      ...of,
      accepted: this.#accepted,
      duplicates: this.#duplicates,
      failed: this.#failed,
      outcomes: this.#outcomes,
      succeeded: delaysOf(this.#succeeded),
      refused: delaysOf(this.#refused),
    }
  }
}

const microsOf = (ms: number) => Math.max(1, Math.round(ms * 1000))

function delaysOf(histogram: RecordableHistogram): Delays | null {
  if (histogram.count === 0) return null
  const at = (rank: number) => histogram.percentile(rank) / 1000
  return {
    requests: histogram.count,
    p50: at(50),
    p95: at(95),
    p99: at(99),
    max: histogram.max / 1000,
  }
}

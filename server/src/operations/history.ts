/** What is kept for every second; the unit stands in the name. */
export const historyColumns = [
  'received_per_second',
  'processed_per_second',
  'failed_per_second',
  'duplicates_per_second',
  'rejected_per_second',
  'backlog_events',
  'backlog_seconds',
  'ack_p50_ms',
  'ack_p95_ms',
  'ack_p99_ms',
  'processing_p95_ms',
  'event_loop_p99_ms',
  'memory_bytes',
] as const
export type HistoryColumn = (typeof historyColumns)[number]

/** One second's values; what is absent was not measured. */
export type HistoryRow = Partial<Record<HistoryColumn, number | null>>

/** Columns of equal length, oldest first; null where nothing was measured. `at` is in unix seconds. */
export type HistorySeries = { at: number[] } & Record<HistoryColumn, (number | null)[]>

/** How many seconds are kept: 15 minutes, so that a chart of 10 has room. */
export const historySecondsMax = 900

/**
 * The last 15 minutes second by second, in typed arrays of fixed size (13 columns, 94 KB). A second is written
 * by its number, so a late timer leaves a hole instead of shifting what follows.
 */
export class History {
  #columns = new Map<HistoryColumn, Float64Array>(
    historyColumns.map((name) => [name, new Float64Array(historySecondsMax).fill(Number.NaN)]),
  )
  #first: number | undefined
  #last: number | undefined

  /** Writes a second that has ended. One far from the last (the clock was set) starts the history anew. */
  write(unixSecond: number, row: HistoryRow): void {
    const last = this.#last
    if (last === undefined || unixSecond < last || unixSecond - last > historySecondsMax)
      this.#restart(unixSecond)
    else for (let second = last + 1; second < unixSecond; second++) this.#put(second, {})
    this.#put(unixSecond, row)
    this.#last = unixSecond
  }

  #restart(unixSecond: number): void {
    for (const values of this.#columns.values()) values.fill(Number.NaN)
    this.#first = unixSecond
  }

  #put(unixSecond: number, row: HistoryRow): void {
    const place = unixSecond % historySecondsMax
    for (const [name, values] of this.#columns) values[place] = row[name] ?? Number.NaN
  }

  /** The number of the last second that was written. */
  get lastSecond(): number | undefined {
    return this.#last
  }

  /** The last `seconds` seconds, or as many as there are. */
  read(seconds: number): HistorySeries {
    const range = this.#range(seconds)
    const column = (name: HistoryColumn) => range.map((second) => this.#value(name, second))
    const columns = Object.fromEntries(historyColumns.map((name) => [name, column(name)]))
    return { at: range, ...columns } as HistorySeries
  }

  /** Mean of a column over the last `seconds` seconds; 0 while there is none. */
  mean(name: HistoryColumn, seconds: number): number {
    const values = this.#measured(name, seconds)
    return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length
  }

  /** Highest value of a column over the last `seconds` seconds; 0 while there is none. */
  highest(name: HistoryColumn, seconds: number): number {
    return Math.max(0, ...this.#measured(name, seconds))
  }

  #measured(name: HistoryColumn, seconds: number): number[] {
    return this.#range(seconds)
      .map((second) => this.#value(name, second))
      .filter((value) => value !== null)
  }

  #value(name: HistoryColumn, second: number): number | null {
    const value = this.#columns.get(name)?.[second % historySecondsMax] ?? Number.NaN
    return Number.isNaN(value) ? null : value
  }

  #range(seconds: number): number[] {
    const last = this.#last
    if (last === undefined) return []
    const first = Math.max(this.#first ?? last, last - Math.min(seconds, historySecondsMax) + 1)
    return Array.from({ length: last - first + 1 }, (_, index) => first + index)
  }
}

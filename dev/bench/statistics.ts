/** The values of one figure, one for each run. */
export type Series = readonly number[]

/** The middle value; of an even number, the mean of the two in the middle. NaN of none. */
export function median(values: Series): number {
  const sorted = [...values].sort((a, b) => a - b)
  const upper = sorted[sorted.length >> 1] ?? Number.NaN
  const lower = sorted[(sorted.length - 1) >> 1] ?? Number.NaN
  return (lower + upper) / 2
}

/** The value that so much of a hundred lies at or below, by nearest rank; NaN of none. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)] ?? Number.NaN
}

/** Collects figures over runs, in the order in which they were first seen. */
export class Figures<Name extends string = string> {
  readonly #series = new Map<Name, number[]>()

  /** Adds the value of one run. */
  add(name: Name, value: number): void {
    const series = this.#series.get(name)
    if (series) series.push(value)
    else this.#series.set(name, [value])
  }

  of(name: Name): Series {
    return this.#series.get(name) ?? []
  }
}

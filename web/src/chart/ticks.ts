/** Where the labels of an axis stand, and how far apart. */
export interface Ticks {
  readonly at: readonly number[]
  readonly step: number
}

// What a clock counts in. Every zone is a whole number of quarters of an hour off, so these fall on its own marks.
const timeSteps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600]

function multiples(from: number, to: number, step: number): Ticks {
  const first = Math.ceil(from / step)
  const count = Math.max(0, Math.floor(to / step) - first + 1)
  return { at: Array.from({ length: count }, (_, n) => (first + n) * step), step }
}

/** Instants between two, in seconds since 1970, on the marks of a clock; `countMax` as a rule. */
export function timeTicks(from: number, to: number, countMax: number): Ticks {
  const least = (to - from) / Math.max(1, countMax)
  const step = timeSteps.find((one) => one >= least) ?? Math.ceil(least / 3600) * 3600
  return multiples(from, to, step)
}

/** Round values from 0 to `max`; `countMax` as a rule. Of bytes (`binary`) the round ones are powers of two. */
export function valueTicks(max: number, countMax: number, binary: boolean): Ticks {
  const least = max / Math.max(1, countMax)
  if (binary) return multiples(0, max, 2 ** Math.max(0, Math.ceil(Math.log2(least))))
  const power = 10 ** Math.floor(Math.log10(least))
  const step = ([1, 2, 2.5, 5].find((part) => part * power >= least) ?? 10) * power
  return multiples(0, max, step)
}

/** Index of the value nearest to one that is asked for, of values that rise; undefined if there is none. */
export function nearest(values: readonly number[], wanted: number): number | undefined {
  if (values.length === 0) return undefined
  let low = 0
  let high = values.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if ((values[middle] as number) < wanted) low = middle + 1
    else high = middle
  }
  const before = values[low - 1]
  return before !== undefined && wanted - before < (values[low] as number) - wanted ? low - 1 : low
}

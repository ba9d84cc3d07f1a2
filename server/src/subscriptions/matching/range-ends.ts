import type { Test } from '../tree.ts'

/** The first and the last double that pass. Of a range that no number passes the last one is minus infinity. */
export function closedEnds({ low, high }: Extract<Test, { kind: 'range' }>): readonly [number, number] {
  const first = low.included ? low.value : above(low.value)
  const last = high.included ? high.value : -above(-high.value)
  return first === Number.POSITIVE_INFINITY || first > last ? [0, Number.NEGATIVE_INFINITY] : [first, last]
}

const double = new Float64Array(1)
const whole = new BigInt64Array(double.buffer)

/** The next double; infinite ends stay what they are. */
function above(value: number): number {
  if (!Number.isFinite(value)) return value
  if (value === 0) return Number.MIN_VALUE
  double[0] = value
  whole[0] = (whole[0] as bigint) + (value > 0 ? 1n : -1n)
  return double[0] as number
}

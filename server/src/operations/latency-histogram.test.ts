import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { LatencyHistogram } from './latency-histogram.ts'

/** The obvious version: sort, take the nearest rank. */
const exactPercentile = (values: readonly number[], share: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1] ?? Number.NaN
}

const filled = (values: readonly number[]): LatencyHistogram => {
  const histogram = new LatencyHistogram()
  for (const value of values) histogram.record(value)
  return histogram
}

const holds = (histogram: LatencyHistogram, values: readonly number[], share: number) => {
  const exact = exactPercentile(values, share)
  const found = histogram.percentile(share) ?? Number.NaN
  const allowed = Math.max(exact * 0.008, 0.0005) + 1e-9
  assert.ok(Math.abs(found - exact) <= allowed, `p${share * 100} is ${found}, exactly ${exact}`)
}

const duration = fc.oneof(
  fc.double({ min: 0, max: 1, noNaN: true }),
  fc.double({ min: 0, max: 1_000, noNaN: true }),
  fc.double({ min: 0, max: 1e9, noNaN: true }),
  fc.constantFrom(0, 0.001, 0.064, 0.065, 2 ** 31 / 1_000, (2 ** 31 - 1) / 1_000, 2 ** 32 / 1_000),
)
const durations = fc.array(duration, { minLength: 1, maxLength: 300 })
const share = fc.oneof(fc.constantFrom(0.5, 0.95, 0.99, 1), fc.double({ min: 0.001, max: 1, noNaN: true }))

test('a percentile is within 0.8 % of the exact one, for any durations up to days', () => {
  fc.assert(
    fc.property(durations, share, (values, at) => holds(filled(values), values, at)),
    { numRuns: 2_000 },
  )
})

test('merged histograms answer as one that saw everything', () => {
  fc.assert(
    fc.property(fc.array(durations, { minLength: 1, maxLength: 5 }), share, (parts, at) => {
      const merged = new LatencyHistogram()
      for (const part of parts) merged.merge(filled(part))
      assert.equal(merged.count, parts.flat().length)
      assert.equal(merged.percentile(at), filled(parts.flat()).percentile(at))
    }),
  )
})

test('counting a duration n times is recording it n times', () => {
  const many = new LatencyHistogram()
  many.record(3, 99)
  many.record(40, 1)
  holds(many, [...Array.from({ length: 99 }, () => 3), 40], 0.99)
  holds(many, [...Array.from({ length: 99 }, () => 3), 40], 1)
})

test('an empty or cleared histogram has no percentile, and nonsense counts as zero', () => {
  const histogram = filled([5])
  histogram.clear()
  assert.equal(histogram.percentile(0.5), null)
  histogram.record(Number.NaN)
  histogram.record(-4)
  assert.equal(histogram.percentile(1), 0)
})

import { Counter, Gauge, type Registry } from 'prom-client'
import type { BucketFacts } from './observed-latency.ts'

/** One number of a family, with its labels. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** One histogram of a family, with its labels. */
export interface HistogramSample {
  readonly labels: Readonly<Record<string, string>>
  readonly buckets: BucketFacts
}

interface Family<T> {
  readonly name: string
  readonly help: string
  /** Names of the labels, in order. */
  readonly labels?: readonly string[]
  /** Asked at each scrape. Must be quick and must not wait. */
  readonly samples: () => Iterable<T>
}

/** A family that only ever grows. Nothing is counted twice: the numbers are read when they are asked for. */
export function registerCounter(metrics: Registry, family: Family<Sample>): void {
  new Counter({
    name: family.name,
    help: family.help,
    labelNames: [...(family.labels ?? [])],
    registers: [metrics],
    collect() {
      this.reset()
      for (const { labels, value } of family.samples()) this.inc(labels, value)
    },
  })
}

/** A family that goes up and down. A family that yields no sample is absent, which is not the same as zero. */
export function registerGauge(metrics: Registry, family: Family<Sample>): void {
  new Gauge({
    name: family.name,
    help: family.help,
    labelNames: [...(family.labels ?? [])],
    registers: [metrics],
    collect() {
      this.reset()
      this.remove({})
      for (const { labels, value } of family.samples()) this.set(labels, value)
    },
  })
}

/** Prometheus wants each bucket to hold everything at or below its bound. */
const expand = (name: string, { labels, buckets }: HistogramSample) => {
  let below = 0
  const values = buckets.bounds.map((bound, index) => {
    below += buckets.counts[index] ?? 0
    return { metricName: `${name}_bucket`, labels: { ...labels, le: String(bound) }, value: below }
  })
  return [
    ...values,
    { metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: buckets.count },
    { metricName: `${name}_sum`, labels, value: buckets.sum },
    { metricName: `${name}_count`, labels, value: buckets.count },
  ]
}

/**
 * A family of histograms whose buckets we hold ourselves. prom-client's own Histogram takes one observation at a
 * time, by hashing its labels: at 100,000 events a second that would be the most expensive thing we do.
 */
export function registerHistogram(metrics: Registry, family: Family<HistogramSample>): void {
  const { name, help } = family
  const own = {
    name,
    help,
    type: 'histogram',
    aggregator: 'sum',
    reset: () => undefined,
    get: async () => ({
      name,
      help,
      type: 'histogram',
      aggregator: 'sum',
      values: [...family.samples()].flatMap((sample) => expand(name, sample)),
    }),
  }
  // The registry asks a metric for nothing but `name`, `get` and `reset`; its type knows only its own classes.
  metrics.registerMetric(own as unknown as Gauge)
}

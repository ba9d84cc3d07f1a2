import type { Logger } from 'pino'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { WantedChange } from './filter-decision.ts'
import type { FilterRow } from './filter-store.ts'

/** The facts about filters. */
export interface SubscriptionsReport {
  /** A change is made and known everywhere. `by` names who asked for it. */
  changed(kind: WantedChange['kind'], row: FilterRow, by: string): void
  /** An announcement of so many changes stands in every partition. */
  announced(changes: number, ms: number): void
  announceFailed(error: unknown): void
  /** A group of changes could not be made, or not be followed to its end. */
  changesFailed(error: unknown): void
  /** An announcement that its own server had not made known was made known. */
  swept(changes: number): void
  sweepFailed(error: unknown): void
  forgotten(versions: number): void
  counted(counts: { filters: number; unselective: number; open: number }): void
  /** True if this server has changed filters since they were counted. */
  countsAreStale(): boolean
}

/**
 * Makes the report. Metrics: `pulse_filters{selective}`, `pulse_filter_changes_open`, `pulse_filter_changes_total{kind}`,
 * `pulse_filter_changes_swept_total`, `pulse_filter_announce_seconds`, `pulse_filter_versions_forgotten_total`.
 */
export function createSubscriptionsReport(to: { log: Logger; metrics: Registry }): SubscriptionsReport {
  const { log } = to
  const counters = createCounters(to.metrics)
  let sweepFails = false
  let stale = true
  return {
    changed: (kind, { subscriber, name, version }, by) => {
      stale = true
      counters.changes.inc({ kind })
      log.info({ audit: true, by, subscriber_id: subscriber, filter: name, version }, `filter ${kind}d`)
    },
    announced: (_changes, ms) => counters.announce.observe(ms / 1_000),
    announceFailed: (error) =>
      log.warn({ err: error }, 'a change of filters is not known everywhere yet; tried again'),
    changesFailed: (error) => log.error({ err: error }, 'changes of filters failed'),
    swept: (changes) => {
      counters.swept.inc(changes)
      log.info({ changes }, 'changes of filters that were left unknown are known now')
    },
    sweepFailed: (error) => {
      if (!sweepFails) log.warn({ err: error }, 'filters cannot be looked after; tried again')
      sweepFails = true
    },
    forgotten: (versions) => {
      counters.forgotten.inc(versions)
      if (versions > 0) log.info({ versions }, 'versions of filters forgotten that apply to nothing any more')
    },
    counted: ({ filters, unselective, open }) => {
      sweepFails = false
      stale = false
      counters.filters.set({ selective: 'yes' }, filters - unselective)
      counters.filters.set({ selective: 'no' }, unselective)
      counters.open.set(open)
    },
    countsAreStale: () => stale,
  }
}

function createCounters(metrics: Registry) {
  const registers = [metrics]
  return {
    filters: new Gauge({
      name: 'pulse_filters',
      help: 'Stored filters; those that are not selective are asked of every event.',
      labelNames: ['selective'],
      registers,
    }),
    open: new Gauge({
      name: 'pulse_filter_changes_open',
      help: 'Changes of filters that the log does not tell of yet.',
      registers,
    }),
    changes: new Counter({
      name: 'pulse_filter_changes_total',
      help: 'Changes of filters that are made and known, by kind.',
      labelNames: ['kind'],
      registers,
    }),
    swept: new Counter({
      name: 'pulse_filter_changes_swept_total',
      help: 'Changes that a server other than their own, or a later try, has made known.',
      registers,
    }),
    announce: new Histogram({
      name: 'pulse_filter_announce_seconds',
      help: 'From the commit of changes of filters to the last of their control records.',
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    }),
    forgotten: new Counter({
      name: 'pulse_filter_versions_forgotten_total',
      help: 'Versions of filters forgotten because all that they apply to has left the log.',
      registers,
    }),
  }
}

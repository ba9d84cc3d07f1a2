import type { Registry } from 'prom-client'
import type { Backlog } from './backlog.ts'
import type { Observed, TypeFacts } from './observations.ts'
import { registerCounter, registerGauge, registerHistogram } from './prometheus.ts'
import type { Disk } from './resources.ts'

/** Where the figures come from. Each is asked at a scrape and must not wait for anything. */
export interface MetricSources {
  readonly observed: Observed
  readonly backlog: () => Backlog | undefined
  readonly services: () => Readonly<Record<string, 'up' | 'down'>>
  readonly disk: () => Disk | undefined
  /** Highest one-second p99 of the last minute, milliseconds. */
  readonly eventLoopP99Ms: () => number
  /** Share of time in which the event loop was busy, 0 to 1. */
  readonly eventLoopUtilization: () => number
  readonly version: string
  readonly startedAt: Date
}

type TypeCount = 'received' | 'duplicate' | 'processed' | 'retried' | 'dropped'

const typeCounters: readonly (readonly [TypeCount, string])[] = [
  ['received', 'Events kept for the first time and acknowledged.'],
  ['duplicate', 'Events that had been kept before; each got its first receipt again.'],
  ['processed', 'Events whose rows are committed.'],
  ['retried', 'Attempts that failed and will be made again.'],
  ['dropped', 'Events that a handler or a rule let go on purpose.'],
]

function* typeCounts(types: ReadonlyMap<string, TypeFacts>, count: TypeCount) {
  for (const [event_type, type] of types) yield { labels: { event_type }, value: type[count] }
}

function* rejections(byReason: ReadonlyMap<string, number>) {
  for (const [reason, value] of byReason) yield { labels: { reason }, value }
}

function* failures(types: ReadonlyMap<string, TypeFacts>) {
  for (const [event_type, type] of types)
    for (const [error_type, value] of type.failedByClass) yield { labels: { event_type, error_type }, value }
}

function* filled(types: ReadonlyMap<string, TypeFacts>, which: 'processing' | 'handler') {
  for (const [event_type, type] of types)
    if (type[which].count > 0) yield { labels: { event_type }, buckets: type[which] }
}

function registerEvents(metrics: Registry, { types, rejectedByReason }: Observed): void {
  for (const [count, help] of typeCounters)
    registerCounter(metrics, {
      name: `pulse_events_${count}_total`,
      help,
      labels: ['event_type'],
      samples: () => typeCounts(types, count),
    })
  registerCounter(metrics, {
    name: 'pulse_events_failed_total',
    help: 'Events that became dead letters.',
    labels: ['event_type', 'error_type'],
    samples: () => failures(types),
  })
  registerCounter(metrics, {
    name: 'pulse_events_rejected_total',
    help: 'Events that were refused at the door.',
    labels: ['reason'],
    samples: () => rejections(rejectedByReason),
  })
}

function registerLatencies(metrics: Registry, observed: Observed): void {
  registerHistogram(metrics, {
    name: 'pulse_ack_seconds',
    help: 'From the last byte of a request to its acknowledgement; each event counts.',
    samples: () => [{ labels: {}, buckets: observed.ack.buckets }],
  })
  registerHistogram(metrics, {
    name: 'pulse_processing_seconds',
    help: 'From the acknowledgement of an event to its committed row.',
    labels: ['event_type'],
    samples: () => filled(observed.types, 'processing'),
  })
  registerHistogram(metrics, {
    name: 'pulse_handler_seconds',
    help: 'How long handlers ran.',
    labels: ['event_type'],
    samples: () => filled(observed.types, 'handler'),
  })
  registerHistogram(metrics, {
    name: 'pulse_log_commit_events',
    help: 'How many events one commit of the log kept.',
    samples: () => [{ labels: {}, buckets: observed.commitEvents }],
  })
  registerHistogram(metrics, {
    name: 'pulse_log_commit_seconds',
    help: 'How long one commit of the log took.',
    samples: () => [{ labels: {}, buckets: observed.commitSeconds }],
  })
}

/** A gauge without labels that is absent while its value is not known. */
function gauge(
  metrics: Registry,
  text: { name: string; help: string },
  value: () => number | undefined,
): void {
  const samples = () => {
    const known = value()
    return known === undefined ? [] : [{ labels: {}, value: known }]
  }
  registerGauge(metrics, { ...text, samples })
}

function registerBacklog(metrics: Registry, backlog: MetricSources['backlog']): void {
  const name = (what: string) => `pulse_backlog_${what}`
  gauge(metrics, { name: name('events'), help: 'Events kept and not yet tried.' }, () => backlog()?.events)
  gauge(
    metrics,
    { name: name('seconds'), help: 'How long the oldest event of the backlog has waited.' },
    () => backlog()?.seconds,
  )
  gauge(
    metrics,
    { name: 'pulse_parked_events', help: 'Events that wait for another attempt.' },
    () => backlog()?.parked,
  )
}

function* memorySamples() {
  const { rss, heapUsed, external } = process.memoryUsage()
  yield { labels: { kind: 'resident' }, value: rss }
  yield { labels: { kind: 'heap_used' }, value: heapUsed }
  yield { labels: { kind: 'external' }, value: external }
}

function registerProcess(metrics: Registry, from: MetricSources): void {
  registerGauge(metrics, {
    name: 'pulse_memory_bytes',
    help: 'Memory of this process; the database has its own.',
    labels: ['kind'],
    samples: memorySamples,
  })
  registerCounter(metrics, {
    name: 'pulse_cpu_seconds_total',
    help: 'Processor time of this process.',
    samples: () => {
      const { user, system } = process.cpuUsage()
      return [{ labels: {}, value: (user + system) / 1e6 }]
    },
  })
  const loop = {
    name: 'pulse_event_loop_p99_seconds',
    help: 'Worst one-second p99 of timer delay in the last minute.',
  }
  gauge(metrics, loop, () => from.eventLoopP99Ms() / 1_000)
  const busy = { name: 'pulse_event_loop_utilization_ratio', help: 'Share of time the event loop was busy.' }
  gauge(metrics, busy, from.eventLoopUtilization)
  const used = { name: 'pulse_disk_used_ratio', help: 'How full the disk of the data folder is.' }
  gauge(metrics, used, () => from.disk()?.usedRatio)
  const free = { name: 'pulse_disk_free_bytes', help: 'What is left on the disk of the data folder.' }
  gauge(metrics, free, () => from.disk()?.freeBytes)
}

function* serviceSamples(services: Readonly<Record<string, 'up' | 'down'>>) {
  for (const [service, state] of Object.entries(services))
    yield { labels: { service }, value: state === 'up' ? 1 : 0 }
}

/** Puts every figure of the server into the registry. Throws when one of its names is taken. */
export function registerMetrics(metrics: Registry, from: MetricSources): void {
  registerEvents(metrics, from.observed)
  registerLatencies(metrics, from.observed)
  registerBacklog(metrics, from.backlog)
  registerProcess(metrics, from)
  registerGauge(metrics, {
    name: 'pulse_service_up',
    help: '1 if the service answered its last probe, else 0.',
    labels: ['service'],
    samples: () => serviceSamples(from.services()),
  })
  registerGauge(metrics, {
    name: 'pulse_build_info',
    help: 'Always 1; the version is its label.',
    labels: ['version'],
    samples: () => [{ labels: { version: from.version }, value: 1 }],
  })
  const started = { name: 'pulse_start_time_seconds', help: 'When this process started, unix time.' }
  gauge(metrics, started, () => from.startedAt.getTime() / 1_000)
}

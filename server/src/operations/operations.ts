import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { Health, Readiness, Summary } from './answers.ts'
import { EverySecond } from './background.ts'
import { type Backlog, BacklogWatch } from './backlog.ts'
import { HealthProbe, type Probe } from './health-probe.ts'
import { History, type HistorySeries } from './history.ts'
import { registerMetrics } from './metrics.ts'
import type { Observed } from './observations.ts'
import type { ObservedLatency } from './observed-latency.ts'
import { createOperationsReport } from './report.ts'
import { type Disk, EventLoopWatch, measureDisk } from './resources.ts'
import { Sampler } from './sampler.ts'

/** What operations needs. Everything that may wait for another machine is asked in the background. */
export interface OperationsNeeds {
  /** `database` and `log` decide between healthy and unhealthy; any other one between healthy and degraded. */
  readonly probes: Readonly<Record<string, Probe>>
  /** The backlog of the whole installation. Asked once a second. */
  readonly backlog: (signal: AbortSignal) => Promise<Backlog>
  /** Parts that are not ready beside the probes, for example `starting` or `draining`; empty when all are. */
  readonly isReady: () => readonly string[]
  readonly observed: Observed
  /** Folder whose disk is watched. */
  readonly dataDir: string
  readonly version: string
  readonly startedAt: Date
  readonly metrics: Registry
  readonly log: Logger
}

/** How the server is. Nothing here waits: every answer is from the last round of the background watches. */
export interface Operations extends AsyncDisposable {
  health(): Health
  readiness(): Readiness
  summary(): Summary
  history(seconds: number): HistorySeries
  /** The backlog of the whole installation, at most ten seconds old; undefined while it cannot be measured. */
  backlog(): Backlog | undefined
  /** How long a service took for its last answer to a probe, in milliseconds; undefined while it is down. */
  answerMs(service: string): number | undefined
  /** The disk of the data folder as of the last second, for admission; undefined while it cannot be measured. */
  disk(): Disk | undefined
  /** The Prometheus text and its content type. */
  scrape(): Promise<{ readonly text: string; readonly contentType: string }>
}

const essential: ReadonlySet<string> = new Set(['database', 'log'])

const percentiles = (latency: ObservedLatency): Summary['ack_ms'] => {
  const recent = latency.recent()
  return { p50: recent.percentile(0.5), p95: recent.percentile(0.95), p99: recent.percentile(0.99) }
}

class RunningOperations implements Operations {
  #needs: OperationsNeeds
  #report: ReturnType<typeof createOperationsReport>
  #probe: HealthProbe
  #backlog = new BacklogWatch()
  #history = new History()
  #eventLoop = new EventLoopWatch()
  #sampler: Sampler
  #disk: Disk | undefined
  #watches: EverySecond[]
  #tick: NodeJS.Timeout | undefined

  constructor(needs: OperationsNeeds) {
    this.#needs = needs
    this.#report = createOperationsReport(needs.log)
    this.#probe = new HealthProbe({
      probes: needs.probes,
      changed: (service, up, error) => this.#report.serviceChanged(service, up, error),
    })
    this.#sampler = new Sampler({
      observed: needs.observed,
      history: this.#history,
      backlog: () => this.#backlog.fresh(),
      takeEventLoopP99Ms: () => this.#eventLoop.takeP99Ms(),
      memoryBytes: () => process.memoryUsage.rss(),
    })
    this.#watches = [
      new EverySecond((signal) => this.#measureBacklog(signal)),
      new EverySecond(() => this.#measureDisk()),
    ]
  }

  async start(): Promise<void> {
    const { observed, version, startedAt, metrics } = this.#needs
    registerMetrics(metrics, {
      observed,
      version,
      startedAt,
      backlog: () => this.#backlog.fresh(),
      services: () => this.#probe.services(),
      disk: () => this.#disk,
      eventLoopP99Ms: () => this.#history.highest('event_loop_p99_ms', 60),
      eventLoopUtilization: () => this.#eventLoop.utilization(),
    })
    this.#eventLoop.start()
    this.#sampleAtNextSecond()
    await Promise.all([this.#probe.start(), ...this.#watches.map((watch) => watch.start(1_000))])
  }

  /** Aligned to the clock, because an interval of 1,000 ms drifts and would skip a second every few minutes. */
  #sampleAtNextSecond(): void {
    const now = Date.now()
    this.#tick = setTimeout(
      () => {
        this.#sampler.sample(Math.floor(Date.now() / 1_000))
        this.#sampleAtNextSecond()
      },
      1_002 - (now % 1_000),
    )
    this.#tick.unref()
  }

  async #measureBacklog(signal: AbortSignal): Promise<void> {
    try {
      const backlog = await this.#needs.backlog(signal)
      if (signal.aborted) return
      this.#backlog.keep(backlog)
      this.#report.backlogKnown()
    } catch (error) {
      if (!signal.aborted) this.#report.backlogUnknown(error)
    }
  }

  async #measureDisk(): Promise<void> {
    try {
      this.#disk = await measureDisk(this.#needs.dataDir)
      this.#report.diskKnown()
    } catch (error) {
      this.#disk = undefined
      this.#report.diskUnknown(error)
    }
  }

  health(): Health {
    const services = this.#probe.services()
    const down = Object.keys(services).filter((service) => services[service] === 'down')
    const degraded = down.length > 0 || this.#needs.isReady().length > 0
    return {
      status: down.some((service) => essential.has(service))
        ? 'unhealthy'
        : degraded
          ? 'degraded'
          : 'healthy',
      timestamp: new Date().toISOString(),
      version: this.#needs.version,
      database: services.database === 'up',
      services,
    }
  }

  readiness(): Readiness {
    const services = this.#probe.services()
    const down = [...essential].filter((service) => services[service] === 'down')
    const failing = [...new Set([...this.#needs.isReady(), ...down])]
    return { status: failing.length === 0 ? 'ready' : 'not_ready', failing }
  }

  summary(): Summary {
    const { observed, startedAt } = this.#needs
    const { duplicate, ...totals } = observed.totals
    const waiting = this.#backlog.last()
    return {
      queue_length: waiting?.events ?? null,
      pending_messages: waiting?.parked ?? null,
      timestamp: new Date().toISOString(),
      ...totals,
      duplicates: duplicate,
      backlog: {
        events: waiting?.events ?? null,
        seconds: waiting?.seconds ?? null,
        measured_at: waiting?.measuredAt.toISOString() ?? null,
      },
      rates: {
        received_per_second: this.#history.mean('received_per_second', 10),
        processed_per_second: this.#history.mean('processed_per_second', 10),
      },
      ack_ms: percentiles(observed.ack),
      processing_ms: percentiles(observed.processing),
      uptime_seconds: Math.max(0, (Date.now() - startedAt.getTime()) / 1_000),
      started_at: startedAt.toISOString(),
      event_loop_p99_ms: this.#history.highest('event_loop_p99_ms', 10),
      memory_bytes: process.memoryUsage.rss(),
      disk: this.#disk ? { used_ratio: this.#disk.usedRatio, free_bytes: this.#disk.freeBytes } : null,
    }
  }

  history(seconds: number): HistorySeries {
    return this.#history.read(seconds)
  }

  backlog(): Backlog | undefined {
    return this.#backlog.fresh()
  }

  answerMs(service: string): number | undefined {
    return this.#probe.answerMs(service)
  }

  disk(): Disk | undefined {
    return this.#disk
  }

  async scrape(): Promise<{ text: string; contentType: string }> {
    const { metrics } = this.#needs
    return { text: await metrics.metrics(), contentType: metrics.contentType }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#tick)
    this.#eventLoop[Symbol.dispose]()
    const watches = [this.#probe, ...this.#watches]
    await Promise.all(watches.map((watch) => watch[Symbol.asyncDispose]()))
  }
}

/**
 * Starts to watch the server: probes, backlog and disk once a second, history at every second of the clock. Resolves
 * when each has been measured once, or after a second. Throws when a metric's name is taken in the registry.
 */
export async function openOperations(needs: OperationsNeeds): Promise<Operations> {
  const operations = new RunningOperations(needs)
  await operations.start()
  return operations
}

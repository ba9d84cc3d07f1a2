import type { Logger } from 'pino'
import { Counter, Gauge, type Registry } from 'prom-client'

/** Every fact about the database that is worth a line or a number. */
export interface Report {
  started(detail: { location: string; tookMs: number; adopted: boolean }): void
  moved(detail: { from: string; to: string }): void
  passwordRenewed(file: string): void
  lost(reason: string): void
  back(detail: { downMs: number }): void
  stillAway(reason: string): void
  poolLost(pool: string, reason: string): void
  unsynced(settings: string): void
  stopped(detail: { tookMs: number; hard: boolean }): void
  watchPool(pool: string, counts: () => PoolCounts): void
}

export interface PoolCounts {
  readonly totalCount: number
  readonly idleCount: number
  readonly waitingCount: number
}

/** Writes the facts to the log and the metrics of this process. */
export function createReport(to: { log: Logger; metrics: Registry }): Report {
  const { log } = to
  const registers = [to.metrics]
  const up = new Gauge({ name: 'pulse_database_up', help: '1 while the database answers.', registers })
  const losses = new Counter({
    name: 'pulse_database_losses_total',
    help: 'Times the database went away.',
    registers,
  })
  const pools = new Map<string, () => PoolCounts>()
  new Gauge({
    name: 'pulse_database_connections',
    help: 'Connections of a pool by state; waiting ones are requests without a connection.',
    labelNames: ['pool', 'state'],
    registers,
    collect() {
      for (const [pool, counts] of pools) {
        const { totalCount, idleCount, waitingCount } = counts()
        this.set({ pool, state: 'idle' }, idleCount)
        this.set({ pool, state: 'busy' }, totalCount - idleCount)
        this.set({ pool, state: 'waiting' }, waitingCount)
      }
    },
  })
  return {
    started: (detail) => {
      up.set(1)
      log.info(detail, detail.adopted ? 'database adopted' : 'database ready')
    },
    moved: (detail) =>
      log.warn(detail, 'the database files lie elsewhere, because its user cannot enter the data folder'),
    passwordRenewed: (file) => log.warn({ file }, 'the database password was lost, and a new one was made'),
    lost: (reason) => {
      up.set(0)
      losses.inc()
      log.error({ reason }, 'database lost')
    },
    back: (detail) => {
      up.set(1)
      log.warn(detail, 'database back')
    },
    stillAway: (reason) => log.warn({ reason }, 'database still away'),
    poolLost: (pool, reason) => log.warn({ pool, reason }, 'idle database connection lost'),
    unsynced: (names) =>
      log.warn({ settings: names }, 'the database does not sync: a power cut may lose acknowledged events'),
    stopped: (detail) => log.info(detail, detail.hard ? 'database stopped hard' : 'database stopped'),
    watchPool: (pool, counts) => pools.set(pool, counts),
  }
}

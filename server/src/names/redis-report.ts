import type { Logger } from 'pino'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { UnavailableReason } from './redis-link.ts'

/** Every fact about the bitmap in Redis, one function each. */
export interface BitmapReport {
  /** It has answered a question, or one has been refused. */
  asked(ms: number): void
  unavailable(reason: UnavailableReason): void
  /** An outage begins; not called again before it has ended. */
  away(why: string): void
  unverified(why: string): void
  verified(): void
}

/** Metrics: `pulse_names_bitmap_verified`, `pulse_names_bitmap_unavailable_total{reason}`, `pulse_names_bitmap_seconds`. */
export function createBitmapReport({ log, metrics }: { log: Logger; metrics: Registry }): BitmapReport {
  const registers = [metrics]
  const usable = new Gauge({
    name: 'pulse_names_bitmap_verified',
    help: '1 while names are answered from the bitmap in Redis.',
    registers,
  })
  const unavailable = new Counter({
    name: 'pulse_names_bitmap_unavailable_total',
    help: 'Questions and names that the bitmap in Redis could not take, by reason.',
    labelNames: ['reason'],
    registers,
  })
  const seconds = new Histogram({
    name: 'pulse_names_bitmap_seconds',
    help: 'From a question to the bitmap in Redis to its answer.',
    buckets: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25],
    registers,
  })
  return {
    asked: (ms) => seconds.observe(ms / 1_000),
    unavailable: (reason) => unavailable.inc({ reason }),
    away: (why) => {
      usable.set(0)
      log.warn({ why }, 'the bitmap of names in Redis is away; names are answered without it')
    },
    unverified: (why) => {
      usable.set(0)
      log.warn({ why }, 'the bitmap of names in Redis does not count until it is rebuilt')
    },
    verified: () => {
      usable.set(1)
      log.info('names are answered from the bitmap in Redis')
    },
  }
}

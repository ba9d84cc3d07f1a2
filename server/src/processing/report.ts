import type { LogError } from '@pulse/log'
import type { Logger } from 'pino'
import type { HandlerLog } from '../config/define-config.ts'
import type { Observations } from '../operations/observations.ts'
import type { Outcome } from './outcome.ts'

/** The facts of processing. */
export interface ProcessingReport {
  /** A round is committed. */
  settled(outcomes: readonly Outcome[]): void
  /** One more try of a parked event is committed. */
  retried(outcome: Outcome): void
  /** A handler ran. */
  handled(eventType: string, ms: number): void
  /** Work on a partition failed and will be taken up again; or it is stopped because the log cannot serve it. */
  troubled(error: LogError, place?: { topic: string; partition: number }): void
  /** Where a handler's own lines go. */
  logOf(eventId: string, eventType: string): HandlerLog
}

/** Counts outcomes by event type; logs each event at debug, parked ones at info, dead letters at warn. */
export function createProcessingReport(to: { observations: Observations; log: Logger }): ProcessingReport {
  const { observations, log } = to

  function one(outcome: Outcome): void {
    const { event } = outcome.work.record
    const about = { event_id: event.event_id, correlation_id: event.event_id, event_type: event.event_type }
    switch (outcome.kind) {
      case 'processed':
        log.debug(about, 'event processed')
        return
      case 'control':
        return
      case 'repeated':
        observations.duplicate(event.event_type, 1)
        log.debug(about, 'event came before')
        return
      case 'dropped':
        observations.dropped(event.event_type, 1)
        log.info({ ...about, reason: outcome.reason }, 'event dropped')
        return
      case 'parked':
        if (!outcome.failure) {
          log.debug(about, 'event waits behind another of its key')
          return
        }
        observations.retried(event.event_type, 1)
        log.info(
          { ...about, ...failureFields(outcome.failure), retry_in_ms: outcome.delayMs },
          'event parked for another try',
        )
        return
      case 'dead':
        observations.failed(event.event_type, outcome.failure.errorClass, 1)
        log.warn({ ...about, ...failureFields(outcome.failure) }, 'event became a dead letter')
    }
  }

  return {
    settled(outcomes) {
      countProcessed(observations, outcomes)
      const each = log.isLevelEnabled('debug')
      for (const outcome of outcomes) if (each || outcome.kind !== 'processed') one(outcome)
    },
    retried(outcome) {
      countProcessed(observations, [outcome])
      one(outcome)
    },
    handled: (eventType, ms) => observations.handled(eventType, 1, ms),
    troubled(error, place) {
      log.error(
        {
          err: error,
          code: error.code,
          topic: place?.topic,
          partition: place?.partition,
          offset: error.offset,
        },
        'processing is held up',
      )
    },
    logOf: (eventId, eventType) =>
      log.child({ event_id: eventId, correlation_id: eventId, event_type: eventType }),
  }
}

const failureFields = (failure: { errorClass: string; message: string; handler: string }) => ({
  error_class: failure.errorClass,
  error: failure.message,
  handler: failure.handler,
})

// Events of a round share few ages in milliseconds: one call per type and age, not per event.
function countProcessed(observations: Observations, outcomes: readonly Outcome[]): void {
  const nowMs = performance.timeOrigin + performance.now()
  const counts = new Map<string, Map<number, number>>()
  for (const outcome of outcomes) {
    if (outcome.kind !== 'processed') continue
    const { record } = outcome.work
    const ageMs = Math.max(0, Math.round(nowMs - record.receivedAt / 1000))
    const ages = counts.get(record.event.event_type) ?? new Map<number, number>()
    ages.set(ageMs, (ages.get(ageMs) ?? 0) + 1)
    counts.set(record.event.event_type, ages)
  }
  for (const [type, ages] of counts)
    for (const [ageMs, count] of ages) observations.processed(type, count, ageMs)
}

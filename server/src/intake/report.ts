import type { Logger } from 'pino'
import type { Observations } from '../operations/observations.ts'
import type { Verdict } from './answers.ts'
import type { Reading } from './event-reader.ts'

/** The facts of intake. */
export interface IntakeReport {
  /** One request was answered: what became of each of its events, which request that was, and how long it took. */
  answered(
    verdicts: readonly Verdict[],
    readings: readonly Reading[],
    request: { readonly requestId: string; readonly ms: number },
  ): void
  /** A request was refused before its events were looked at. */
  refused(reason: string, events: number): void
}

/** Counts by event type, and logs each event at level debug and each refusal at level info. */
export function createIntakeReport(to: { observations: Observations; log: Logger }): IntakeReport {
  const { observations, log } = to
  return {
    answered(verdicts, readings, { requestId, ms }) {
      const tally = new Map<Verdict['status'], Map<string, number>>()
      for (let i = 0; i < verdicts.length; i++) {
        const reading = readings[i]
        count(tally, (verdicts[i] as Verdict).status, reading?.ok ? reading.record.type : '')
      }
      let kept = 0
      for (const [status, byType] of tally)
        for (const [type, events] of byType) {
          if (status === 'accepted') observations.received(type, events)
          else if (status === 'duplicate') observations.duplicate(type, events)
          else observations.rejected(status, events)
          if (status === 'accepted' || status === 'duplicate') kept += events
        }
      if (kept > 0) observations.acknowledged(ms, kept)
      if (log.isLevelEnabled('debug')) logEach(log.child({ request_id: requestId }), verdicts, readings)
      else if (kept < verdicts.length && log.isLevelEnabled('info'))
        logRefused(log.child({ request_id: requestId }), verdicts)
    },
    refused(reason, events) {
      observations.rejected(reason, events)
    },
  }
}

function count(tally: Map<Verdict['status'], Map<string, number>>, status: Verdict['status'], type: string) {
  let byType = tally.get(status)
  if (!byType) {
    byType = new Map()
    tally.set(status, byType)
  }
  byType.set(type, (byType.get(type) ?? 0) + 1)
}

function logEach(log: Logger, verdicts: readonly Verdict[], readings: readonly Reading[]): void {
  verdicts.forEach((verdict, i) => {
    const reading = readings[i]
    log.debug(
      {
        event_id: verdict.eventId,
        correlation_id: verdict.eventId,
        event_type: reading?.ok ? reading.record.type : undefined,
        status: verdict.status,
      },
      'event received',
    )
  })
}

function logRefused(log: Logger, verdicts: readonly Verdict[]): void {
  for (const verdict of verdicts)
    if (verdict.status !== 'accepted' && verdict.status !== 'duplicate')
      log.info(
        { event_id: verdict.eventId, correlation_id: verdict.eventId, status: verdict.status },
        'event refused',
      )
}

import type { AppendOutcome, Capabilities } from '@pulse/log'
import { createInstantWriter } from '@pulse/protocol/instant'
import { createPositionWriter } from '@pulse/protocol/position'
import type { InvalidMember } from '@pulse/protocol/receipt'

/** The verdict on one event, before it is written out. */
export type Verdict =
  | {
      readonly status: 'accepted' | 'duplicate'
      readonly eventId: string
      readonly receipt: string
      readonly receivedAt: number
    }
  | { readonly status: 'conflict'; readonly eventId: string; readonly detail: string }
  | { readonly status: 'invalid'; readonly eventId: string | null; readonly errors: readonly InvalidMember[] }
  | { readonly status: 'throttled'; readonly eventId: string | null; readonly retryAfter: number }
  | { readonly status: 'retry'; readonly eventId: string | null; readonly detail: string }

interface Appended {
  readonly id: string
  readonly sha256: string
  readonly remembered: boolean
}

/**
 * Makes the writer of receipts and answers. They are put together as text, because a batch answers with a hundred
 * receipts and JSON.stringify of as many objects took a fifth of the time of intake. Nothing in them needs escaping:
 * ids are UUIDs, positions, hashes and instants are ASCII.
 */
export function createAnswers(needs: {
  can: Pick<Capabilities, 'durability' | 'dedupe'>
  idWindowMs: number
}) {
  const received = createInstantWriter()
  const until = createInstantWriter()
  const positionOf = createPositionWriter()
  const { durability } = needs.can
  const deferred = needs.can.dedupe ? '' : ',"dedupe":"deferred"'
  const windowMicros = needs.idWindowMs * 1000

  function receiptOf(event: Appended, outcome: Extract<AppendOutcome, { position: unknown }>): string {
    const { epoch, topic, partition, offset } = outcome.position
    const position = positionOf(epoch, topic, partition, offset)
    const receivedAt = received(outcome.receivedAt)
    // An id that the server made was never seen by a client before its answer: there is nothing to recognise.
    const dedupeUntil = event.remembered ? until(outcome.receivedAt + windowMicros) : receivedAt
    return `{"id":"r-${position}","event_id":"${event.id}","position":"${position}","durability":"${durability}","received_at":"${receivedAt}","sha256":"${event.sha256}","dedupe_until":"${dedupeUntil}"${deferred}}`
  }

  return {
    /** The verdict that an outcome of the log means. */
    verdictOf(event: Appended, outcome: AppendOutcome): Verdict {
      const eventId = event.id
      switch (outcome.kind) {
        case 'appended':
          return {
            status: 'accepted',
            eventId,
            receipt: receiptOf(event, outcome),
            receivedAt: outcome.receivedAt,
          }
        case 'repeat':
          return {
            status: 'duplicate',
            eventId,
            receipt: receiptOf(event, outcome),
            receivedAt: outcome.receivedAt,
          }
        case 'conflict':
          return { status: 'conflict', eventId, detail: 'This event_id stands for another event already.' }
        case 'failed':
          return { status: 'retry', eventId, detail: 'It was not kept; send it again.' }
        case 'unknown':
          return {
            status: 'retry',
            eventId,
            detail: 'It is not known whether it was kept; send it again with the same event_id.',
          }
      }
    },

    /** Body of the answer to one kept event. */
    single(verdict: Extract<Verdict, { receipt: string }>): string {
      return `{"event_id":"${verdict.eventId}","status":"accepted","message":"Event accepted for processing","received_at":"${received(verdict.receivedAt)}","receipt":${verdict.receipt}}`
    },

    /** The items of a batch's answer as a JSON array. */
    results(verdicts: readonly Verdict[]): string {
      return `[${verdicts.map(itemOf).join(',')}]`
    },
  }
}

function itemOf(verdict: Verdict): string {
  if ('receipt' in verdict)
    return `{"status":"${verdict.status}","event_id":"${verdict.eventId}","receipt":${verdict.receipt}}`
  if (verdict.status === 'throttled')
    return JSON.stringify({ status: 'throttled', event_id: verdict.eventId, retry_after: verdict.retryAfter })
  const { status, eventId, ...rest } = verdict
  return JSON.stringify({ status, event_id: eventId, ...rest })
}

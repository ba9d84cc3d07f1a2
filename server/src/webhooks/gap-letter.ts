import type { GapReason } from '@pulse/protocol/frames'
import { uuidV5 } from '../intake/uuid-v5.ts'
import type { Letter } from './letter.ts'

/** The type of the message that tells a receiver of events which will not come. No event of anybody's can have it. */
const gapType = 'pulse.gap'

/** A gap, as its reader is told of it. */
export interface ToldGap {
  readonly from: string
  readonly to: string
  readonly reason: GapReason
}

/**
 * Tells of a gap, in the form of an event. Told again after a crash, it has the same id. `before`: where the stream stands
 * as long as nobody was told.
 */
export function gapLetter(
  { webhookId, subscriber }: { readonly webhookId: string; readonly subscriber: string },
  gap: ToldGap,
  before: string = gap.from,
): Letter {
  const eventId = uuidV5(webhookId, `gap~${gap.from}~${gap.to}`)
  const body = JSON.stringify({
    ...{ event_id: eventId, event_type: gapType, user_id: subscriber, timestamp: new Date().toISOString() },
    ...{ properties: { webhook: webhookId, ...gap }, source: 'pulse', schema_version: 1, position: gap.to },
  })
  return { eventId, key: gapType, body: () => body, from: { kind: 'gap', from: before } }
}

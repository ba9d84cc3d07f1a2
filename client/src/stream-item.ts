import type { Event } from '@pulse/protocol/event'
import type { GapReason } from '@pulse/protocol/frames'

/** An event for the consumer, with where it stands in the log. */
export interface ReceivedEvent {
  readonly kind: 'event'
  readonly event: Event
  /** Names of the subscriber's filters that match. */
  readonly matched: readonly string[]
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

/**
 * Events between two positions that will not come. Besides the server's reasons: `position_gone`, the server knows the
 * last position no more; `dropped` is told by the server and by an inbox that drops its oldest events.
 */
export interface Gap {
  readonly kind: 'gap'
  readonly from: string
  readonly to: string
  readonly reason: GapReason | 'position_gone'
}

export type StreamItem = ReceivedEvent | Gap

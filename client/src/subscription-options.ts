import type { Condition } from '@pulse/protocol/filter'
import type { SlowPolicy } from '@pulse/protocol/frames'
import type { ConnectionState, Notice } from './connection.ts'
import type { Holds } from './page.ts'
import type { PositionStore } from './position-store.ts'
import type { Gap, ReceivedEvent, StreamItem } from './stream-item.ts'

interface CommonOptions {
  /** Whose stream: the one who owns the filters, for example `user_1`. */
  readonly subscriber: string
  /** A filter of this subscription alone, beside those that are stored. */
  readonly filter?: Condition | undefined
  /**
   * Where to begin when the store holds no position: `now` (default), `start` (the oldest event that the log still has),
   * or a position.
   */
  readonly from?: 'now' | 'start' | (string & {}) | undefined
  /** What happens when the consumer is too slow; default `replay`: nothing is lost, it comes later. */
  readonly slow?: SlowPolicy | undefined
  /** JSON Pointer into the event, for `conflate`: of waiting events with the same value only the latest is kept. */
  readonly conflateBy?: string | undefined
  /** Where the position is kept; default: in memory, for as long as this subscription lives. */
  readonly store?: PositionStore | undefined
  /** Closes the subscription. */
  readonly signal?: AbortSignal | undefined
  readonly limits?: Partial<SubscriptionLimits> | undefined
  /** How it is connected, whenever that changes. */
  readonly onConnection?: ((state: ConnectionState) => void) | undefined
  /** What happened without harm to the stream. */
  readonly onNotice?: ((notice: Notice) => void) | undefined
}

/**
 * Events to a function instead of a loop. Both are needed: a gap that nobody looks at would be a silent loss. The next
 * item comes when the promise of the last one is resolved; one that fails ends the subscription, and its event is not
 * counted as taken.
 */
interface Callbacks {
  readonly onEvent: (event: ReceivedEvent) => unknown
  readonly onGap: (gap: Gap) => unknown
}

interface NoCallbacks {
  readonly onEvent?: undefined
  readonly onGap?: undefined
}

export type SubscribeOptions = CommonOptions & (Callbacks | NoCallbacks)

export interface SubscriptionLimits {
  /** Events that wait for the consumer; default 10,000. */
  readonly eventsMax: number
  /** The same in characters of their frames; default 16,777,216. */
  readonly charsMax: number
  /** Event ids that are remembered to recognise repeats, where the server cannot; default 50,000. */
  readonly idsMax: number
  /** Least time between two saves of the position; default 100. */
  readonly saveMsMin: number
  /** How long a hidden tab stays connected; default 60,000. Infinity: always. */
  readonly hiddenMsMax: number
}

/**
 * A subscriber's stream. A loop over it gets each event once and in order per key, and each gap. It ends when the
 * subscription is closed, and throws when it cannot go on. An item counts as taken when the loop asks for the next one.
 */
export interface Subscription extends AsyncIterable<StreamItem>, Holds {
  /** Up to where everything was taken; undefined before the stream began. */
  readonly position: string | undefined
  readonly connection: ConnectionState
  /** Resolves when it has ended and all that came before was taken: with why, or undefined if it was closed. */
  readonly ended: Promise<Error | undefined>
  /** Tells of every change of `connection`. Returns what ends that. */
  watch(listener: () => void): () => void
  /** Counts the item in hand as taken, for a loop that will be left before it asks for the next one. */
  confirm(): void
  /**
   * Puts another filter in the place of the subscription's own; null takes it away. One that the server does not take is
   * told as a notice, the old one stays in force, and the next connection ends with the server's reason.
   */
  setFilter(filter: Condition | null): void
  /** Disconnects until `release` is called with the same reason. */
  hold(reason: string): void
  release(reason: string): void
  /** Disconnects for good and saves the position. Twice is harmless. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

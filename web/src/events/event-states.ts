import type { EventState } from '@pulse/protocol/event'

export type { EventState }

// Written here and not read from the protocol, whose module brings zod along; the compiler holds them equal.
const words: Readonly<Record<EventState, true>> = {
  accepted: true,
  retrying: true,
  processed: true,
  dead: true,
  dropped: true,
}

/** The states of an event, in the order of its life. */
export const eventStates = Object.keys(words) as readonly EventState[]

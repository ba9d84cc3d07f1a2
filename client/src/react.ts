/**
 * React hooks over a client's subscriptions. A page that shows a stream:
 *
 *     const live = useSubscription(pulse, { subscriber: 'user_1', keep: 50 })
 *     const connection = useConnection(live.source)
 */
import { useState, useSyncExternalStore } from 'react'
import type { ConnectionState } from './connection.ts'
import { LiveItems, type LiveOptions, type LiveSnapshot } from './live-items.ts'
import type { SubscribeOptions, Subscription } from './subscription-options.ts'

export type { ConnectionState } from './connection.ts'
export type { LiveOptions, LiveSnapshot } from './live-items.ts'

/** What opens subscriptions: a client. */
export interface Subscriber {
  subscribe(options: SubscribeOptions): Subscription
}

/** Something whose connection can be watched: a `Subscription`, or the `source` of `useSubscription`. */
export interface ConnectionSource {
  readonly connection: ConnectionState
  watch(listener: () => void): () => void
}

export interface LiveStream extends LiveSnapshot {
  /** The stream itself, for `useConnection`. The same as long as the options are. */
  readonly source: ConnectionSource
  /** Forgets the items that are shown; the stream goes on. */
  readonly clear: () => void
}

interface Held {
  readonly client: Subscriber
  readonly key: string
  readonly items: LiveItems
}

/**
 * Subscribes while the component is there, and draws it again when there is something new, at most every 50 ms. Options
 * with other values (functions and the store aside) begin another stream.
 */
export function useSubscription(client: Subscriber, options: LiveOptions): LiveStream {
  const { subscriber, filter, from, slow, conflateBy, limits, keep, refreshMsMin } = options
  const key = JSON.stringify([subscriber, filter, from, slow, conflateBy, limits, keep, refreshMsMin])
  const [held, setHeld] = useState<Held>(() => hold(client, key, options))
  let current = held
  if (held.client !== client || held.key !== key) {
    // React's way to follow a changed argument: what is set while rendering is rendered at once, and nothing is drawn twice.
    current = hold(client, key, options)
    setHeld(current)
  }
  const { items } = current
  const shown = useSyncExternalStore(items.listen, items.snapshot, items.snapshot)
  return { ...shown, source: items, clear: items.clear }
}

/** How a stream is connected; drawn again only when that changes. */
export function useConnection(source: ConnectionSource): ConnectionState {
  const state = () => source.connection
  const [watch, setWatch] = useState(() => ({ source, listen: listenTo(source) }))
  let current = watch
  if (watch.source !== source) {
    current = { source, listen: listenTo(source) }
    setWatch(current)
  }
  return useSyncExternalStore(current.listen, state, state)
}

const listenTo = (source: ConnectionSource) => (listener: () => void) => source.watch(listener)

const hold = (client: Subscriber, key: string, options: LiveOptions): Held => ({
  client,
  key,
  items: new LiveItems((how) => client.subscribe(how), options),
})

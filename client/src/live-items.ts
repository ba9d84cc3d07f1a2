import type { ConnectionState } from './connection.ts'
import { memoryStore, type PositionStore } from './position-store.ts'
import type { Gap, StreamItem } from './stream-item.ts'
import type { SubscribeOptions, Subscription } from './subscription-options.ts'

/** What a page shows of a stream at one moment. A new object whenever something has changed. */
export interface LiveSnapshot {
  /** The last items, newest first: events, and gaps where they were. */
  readonly items: readonly StreamItem[]
  /** Gaps, newest first, also those whose items were pushed out by newer ones. */
  readonly gaps: readonly Gap[]
  /** Events so far. */
  readonly received: number
  /** Why the stream ended; undefined while it goes on. */
  readonly error: Error | undefined
}

export type LiveOptions = Omit<SubscribeOptions, 'onEvent' | 'onGap' | 'signal' | 'onConnection'> & {
  /** Items that are kept; default 100. */
  readonly keep?: number | undefined
  /** Least time between two snapshots; default 50. A page that is drawn for every event of a busy stream stands still. */
  readonly refreshMsMin?: number | undefined
}

const gapsMax = 100

const connecting: ConnectionState = { kind: 'connecting', failures: 0, holds: [], retryAtMs: undefined }

/**
 * The last items of a stream for something that draws them: it subscribes while anybody listens. Whoever listens again
 * goes on from where the last one stopped.
 */
export class LiveItems {
  readonly #open: (options: SubscribeOptions) => Subscription
  readonly #options: LiveOptions
  readonly #store: PositionStore
  readonly #listeners = new Set<() => void>()
  readonly #connectionListeners = new Set<() => void>()
  #subscription: Subscription | undefined
  #closing: Promise<void> = Promise.resolve()
  #items: StreamItem[] = []
  #gaps: Gap[] = []
  #received = 0
  #snapshot: LiveSnapshot = { items: [], gaps: [], received: 0, error: undefined }
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(open: (options: SubscribeOptions) => Subscription, options: LiveOptions) {
    this.#open = open
    this.#options = options
    this.#store = options.store ?? memoryStore()
  }

  /** Tells when there is a new snapshot. Returns what ends that. */
  readonly listen = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    this.#update()
    return () => {
      this.#listeners.delete(listener)
      this.#updateSoon()
    }
  }

  /** Tells when the connection has changed. Returns what ends that. */
  readonly watch = (listener: () => void): (() => void) => {
    this.#connectionListeners.add(listener)
    return () => {
      this.#connectionListeners.delete(listener)
    }
  }

  readonly snapshot = (): LiveSnapshot => this.#snapshot

  get connection(): ConnectionState {
    return this.#subscription?.connection ?? connecting
  }

  /** Forgets the items that are shown; the stream goes on. */
  readonly clear = (): void => {
    this.#items = []
    this.#gaps = []
    this.#show()
  }

  // React takes a listener away and adds it again within one turn: no reason for another socket.
  #updateSoon(): void {
    setTimeout(() => this.#update(), 0)
  }

  #update(): void {
    if (this.#listeners.size > 0) this.#subscription ??= this.#subscribe()
    else if (this.#subscription) {
      this.#closing = this.#subscription.close()
      this.#subscription = undefined
    }
  }

  #subscribe(): Subscription {
    const { keep = 100, refreshMsMin: _refreshMsMin, ...options } = this.#options
    const closing = this.#closing
    const subscription = this.#open({
      ...options,
      // The last subscription may still be saving from where this one is to go on.
      store: { load: () => closing.then(() => this.#store.load()), save: (text) => this.#store.save(text) },
      onEvent: (event) => {
        this.#received++
        this.#add(event, keep)
      },
      onGap: (gap) => {
        this.#gaps = [gap, ...this.#gaps].slice(0, gapsMax)
        this.#add(gap, keep)
      },
      onConnection: () => {
        for (const listener of this.#connectionListeners) listener()
      },
    })
    subscription.ended.then((error) => {
      if (this.#subscription === subscription && error) this.#show(error)
    })
    return subscription
  }

  #add(item: StreamItem, keep: number): void {
    this.#items.push(item)
    // Cut now and then: what is shown is cut exactly.
    if (this.#items.length > 2 * keep) this.#items = this.#items.slice(-keep)
    this.#timer ??= setTimeout(() => this.#show(), this.#options.refreshMsMin ?? 50)
  }

  #show(error = this.#snapshot.error): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const items = this.#items.slice(-(this.#options.keep ?? 100)).reverse()
    this.#snapshot = { items, gaps: this.#gaps, received: this.#received, error }
    for (const listener of this.#listeners) listener()
  }
}

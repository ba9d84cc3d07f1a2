import type { Condition } from '@pulse/protocol/filter'
import type { ClientFrame } from '@pulse/protocol/frames'
import type { Clock } from './clock.ts'
import {
  type Access,
  Connection,
  type ConnectionState,
  type Hello,
  type Notice,
  type StreamFrame,
} from './connection.ts'
import { errorOfEnd } from './end-error.ts'
import { Inbox } from './inbox.ts'
import { type EndCause, linkRules } from './link.ts'
import type { Holds } from './page.ts'
import { Place } from './place.ts'
import { PositionKeeper } from './position-keeper.ts'
import { memoryStore, type PositionStore } from './position-store.ts'
import { PulseError } from './pulse-error.ts'
import { RecentIds } from './recent-ids.ts'
import type { OpenSocket } from './socket.ts'
import type { Gap, ReceivedEvent, StreamItem } from './stream-item.ts'
import type { SubscribeOptions, Subscription, SubscriptionLimits } from './subscription-options.ts'
import { type Mismatch, Told } from './told.ts'

export interface SubscriptionNeeds {
  readonly clock: Clock
  readonly random: () => number
  readonly openSocket: OpenSocket
  readonly access: () => Promise<Access>
  readonly askWhy: () => Promise<PulseError | undefined>
  /** A credential that was not taken can be replaced by another one. */
  readonly renewable: boolean
  /** Watches for reasons not to be connected. Returns what ends that. */
  readonly watch: (holds: Holds, hiddenMsMax: number) => () => void
}

const limitDefaults: SubscriptionLimits = {
  eventsMax: 10_000,
  charsMax: 16_777_216,
  idsMax: 50_000,
  saveMsMin: 100,
  hiddenMsMax: 60_000,
}

const ackMsMin = 1_000

/** Opens a subscription; it connects by itself. */
export function subscribe(options: SubscribeOptions, needs: SubscriptionNeeds): Subscription {
  const subscription = new OpenSubscription(options, needs)
  subscription.start()
  return subscription
}

class OpenSubscription implements Subscription {
  readonly #options: SubscribeOptions
  readonly #needs: SubscriptionNeeds
  readonly #limits: SubscriptionLimits
  readonly #connection: Connection
  readonly #store: PositionStore
  readonly #keeper: PositionKeeper
  readonly #watchers = new Set<() => void>()
  #told: Told
  #inbox: Inbox
  #filter: Condition | undefined
  #recentIds: RecentIds | undefined
  /** The position that the server knows no more; the consumer is told as soon as it is known where the stream goes on. */
  #goneFrom: string | undefined
  #lastError: string | undefined
  #ackedMs = 0
  #wake: (() => void)[] = []
  #cause: EndCause | undefined
  #unwatch: () => void = () => {}
  #closing: Promise<void> | undefined
  #resolveEnded: (error: Error | undefined) => void = () => {}
  readonly ended: Promise<Error | undefined>

  constructor(options: SubscribeOptions, needs: SubscriptionNeeds) {
    this.#options = options
    this.#needs = needs
    this.#limits = { ...limitDefaults, ...options.limits }
    this.#filter = options.filter
    this.#told = new Told(undefined, false)
    this.#inbox = this.#newInbox(undefined)
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve
    })
    const { clock, random, openSocket, access, askWhy, renewable } = needs
    this.#store = options.store ?? memoryStore()
    this.#keeper = this.#newKeeper()
    this.#connection = new Connection({
      clock,
      random,
      openSocket,
      access,
      askWhy,
      rules: { ...linkRules, renewable },
      place: (hello) => this.#placeFrame(hello),
      take: (frame, chars) => this.#take(frame, chars),
      forget: () => this.#forget(),
      notice: (notice) => this.#notice(notice),
      changed: () => this.#changed(),
      finished: (cause) => this.#finish(cause),
    })
  }

  get position(): string | undefined {
    return this.#inbox.place?.text
  }

  get connection(): ConnectionState {
    return this.#connection.state
  }

  start(): void {
    const { signal, onEvent } = this.#options
    if (signal?.aborted) {
      this.close()
      return
    }
    signal?.addEventListener('abort', this.#onAbort, { once: true })
    this.#begin().catch((error: unknown) => this.#connection.end({ kind: 'failed', error: asError(error) }))
    if (onEvent) this.#run()
  }

  watch(listener: () => void): () => void {
    this.#watchers.add(listener)
    return () => this.#watchers.delete(listener)
  }

  hold(reason: string): void {
    this.#connection.hold(reason)
  }

  release(reason: string): void {
    this.#connection.release(reason)
  }

  setFilter(filter: Condition | null): void {
    this.#filter = filter ?? undefined
    this.#connection.send({ type: 'filter', filter })
  }

  confirm(): void {
    if (this.#inbox.confirm()) this.#keeper.moved()
  }

  close(): Promise<void> {
    this.#connection.end({ kind: 'asked' })
    this.#closing ??= this.#keeper.close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  [Symbol.asyncIterator](): AsyncIterator<StreamItem, undefined> {
    if (this.#options.onEvent) throw new TypeError('The events of this subscription go to its onEvent.')
    return {
      next: async () => {
        const value = await this.#next()
        return value === undefined ? { done: true, value } : { done: false, value }
      },
      return: async () => {
        await this.close()
        return { done: true, value: undefined }
      },
    }
  }

  readonly #onAbort = () => {
    this.close()
  }

  async #begin(): Promise<void> {
    const { from = 'now' } = this.#options
    const stored = await this.#store.load()
    const text = stored ?? (from === 'now' || from === 'start' ? undefined : from)
    const place = text === undefined ? undefined : Place.parse(text)
    if (text !== undefined && place === undefined) {
      const detail = `The ${stored === undefined ? 'given' : 'stored'} position is damaged: ${text}`
      throw new PulseError({ code: 'invalid_position', detail })
    }
    if (this.#cause) return
    this.#told = new Told(place?.copy(), from === 'start')
    this.#inbox = this.#newInbox(place)
    this.#unwatch = this.#needs.watch(this, this.#limits.hiddenMsMax)
    this.#connection.start()
  }

  #newInbox(place: Place | undefined): Inbox {
    const { slow = 'replay', conflateBy } = this.#options
    return new Inbox({ limits: this.#limits, slow, conflateBy }, place)
  }

  #newKeeper(): PositionKeeper {
    return new PositionKeeper({
      store: this.#store,
      clock: this.#needs.clock,
      saveMsMin: this.#limits.saveMsMin,
      position: () => this.position,
      saved: (position) => this.#acknowledge(position),
      failed: (error) => this.#notice({ kind: 'not-stored', error }),
    })
  }

  #placeFrame({ position, dedupe }: Hello): ClientFrame {
    if (dedupe === 'deferred') this.#recentIds ??= new RecentIds(this.#limits.idsMax)
    const { slow, conflateBy } = this.#options
    return {
      ...this.#told.ask(position),
      ...(this.#filter && { filter: this.#filter }),
      ...(slow && { slow }),
      ...(conflateBy && { conflate_by: conflateBy }),
    }
  }

  #take(frame: StreamFrame, chars: number): Mismatch | undefined {
    const mismatch = this.#account(frame, chars)
    if (this.#inbox.isFull) this.#relieve()
    this.#wakeAll()
    return mismatch
  }

  #account(frame: StreamFrame, chars: number): Mismatch | undefined {
    switch (frame.type) {
      case 'deliveries': {
        for (const delivery of frame.deliveries) {
          const verdict = this.#told.deliver(delivery)
          if (typeof verdict === 'object') return verdict
          if (verdict === 'new') this.#put(delivery, chars / frame.deliveries.length)
        }
        return undefined
      }
      case 'checkpoint': {
        const missed = this.#told.checkpoint(frame.position, frame.previous)
        if (!missed) this.#passTo()
        return missed
      }
      case 'gap': {
        const from = this.#told.place?.text
        const missed = this.#told.gap(frame.from, frame.to)
        const place = this.#told.place
        // One that leads no further was told before.
        if (missed || !place || place.text === from) return missed
        const gap: Gap = { kind: 'gap', from: from ?? place.text, to: place.text, reason: frame.reason }
        this.#inbox.putGap(gap, place.positions)
        return undefined
      }
      case 'lagging':
        this.#notice({ kind: 'lagging', position: frame.position })
        return undefined
    }
  }

  #put({ event, matched, topic, partition, offset }: Omit<ReceivedEvent, 'kind'>, chars: number): void {
    if (this.#recentIds?.meet(event.event_id)) this.#inbox.pass({ topic, partition, next: offset + 1 })
    else this.#inbox.put({ kind: 'event', event, matched, topic, partition, offset }, chars)
  }

  #passTo(): void {
    const place = this.#told.place
    if (!place) return
    const from = this.#goneFrom
    this.#goneFrom = undefined
    if (from !== undefined)
      this.#inbox.putGap({ kind: 'gap', from, to: place.text, reason: 'position_gone' }, place.positions)
    else if (this.#inbox.pass({ positions: place.positions })) this.#keeper.moved()
  }

  #relieve(): void {
    const what = this.#inbox.relieve()
    if (what === 'hold') this.hold('full')
    if (what === 'end') {
      const detail = `More than ${this.#inbox.events} events wait for a consumer that is too slow.`
      this.#connection.end({ kind: 'failed', error: new PulseError({ code: 'too_slow', detail }) })
    }
  }

  #forget(): void {
    this.#goneFrom ??= this.#told.place?.text
    this.#told.forget()
  }

  async #next(): Promise<StreamItem | undefined> {
    this.confirm()
    for (;;) {
      // Closed from here, nobody wants what still waits; ended by the server, it is all there will be.
      if (this.#cause?.kind === 'asked') return undefined
      const item = this.#inbox.take()
      if (this.#inbox.hasRoom) this.release('full')
      if (item) return item
      if (this.#cause) {
        const error = this.#endError(this.#cause)
        this.#resolveEnded(error)
        if (error) throw error
        return undefined
      }
      await new Promise<void>((resolve) => this.#wake.push(resolve))
    }
  }

  async #run(): Promise<void> {
    const { onEvent, onGap } = this.#options
    try {
      for (let item = await this.#next(); item; item = await this.#next()) {
        if (item.kind === 'event') await onEvent?.(item)
        else await onGap?.(item)
      }
    } catch (error) {
      // Either the consumer's own, or the one that has ended the subscription anyway.
      this.#connection.end({ kind: 'failed', error: asError(error) })
      this.#resolveEnded(asError(error))
      await this.close()
    }
  }

  #acknowledge(position: string): void {
    const now = this.#needs.clock.now()
    if (now - this.#ackedMs < ackMsMin) return
    if (this.#connection.send({ type: 'ack', position })) this.#ackedMs = now
  }

  #notice(notice: Notice): void {
    if (notice.kind === 'error') this.#lastError = `${notice.code}: ${notice.detail}`
    this.#call(() => this.#options.onNotice?.(notice))
  }

  #changed(): void {
    if (this.connection.kind === 'live') this.#lastError = undefined
    this.#call(() => this.#options.onConnection?.(this.connection))
    for (const watcher of this.#watchers) this.#call(watcher)
  }

  // An observer that throws must not stop the stream; its error belongs to nobody here.
  #call(observer: () => void): void {
    try {
      observer()
    } catch (error) {
      queueMicrotask(() => {
        throw error
      })
    }
  }

  #finish(cause: EndCause): void {
    this.#cause = cause
    this.#unwatch()
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    if (cause.kind === 'asked') this.#resolveEnded(undefined)
    this.#wakeAll()
  }

  #endError(cause: EndCause): Error | undefined {
    return errorOfEnd(cause, this.#lastError)
  }

  #wakeAll(): void {
    const waiting = this.#wake
    this.#wake = []
    for (const resolve of waiting) resolve()
  }
}

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)))

import { randomUUID } from 'node:crypto'
import { type EventLog, LogError } from '@pulse/log'
import { answered } from '@pulse/log/answered'
import { closeCodes } from '@pulse/protocol/close-codes'
import { frameLimits } from '@pulse/protocol/frames'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { Caller } from '../http/access.ts'
import { ProblemError } from '../http/problem-error.ts'
import { createMatchingIndex } from '../subscriptions/matching-index.ts'
import type { Subscriptions } from '../subscriptions/subscriptions.ts'
import type { Tree } from '../subscriptions/tree.ts'
import type { Encoding } from './encoding.ts'
import { type Feed, FeedOnDemand } from './feed.ts'
import { Flusher } from './flusher.ts'
import { createDeliveryReport, type DeliveryReport, type TransportName } from './report.ts'
import type { Session, Transport } from './session.ts'
import { beginMsMax, Stream } from './stream.ts'
import { Wheel } from './wheel.ts'

export type { DeliveryRecord } from './delivery-record.ts'
export type { Encoding, Own } from './encoding.ts'
export type { Stream } from './stream.ts'

export interface DeliverySettings {
  /** Streams that this process serves. */
  readonly connectionsMax: number
  /** Streams of one subscriber on this process. */
  readonly connectionsPerSubscriberMax: number
  /** How long a stop takes to move the sessions away, spread over this time. */
  readonly drainMsMax: number
}

export interface DeliveryNeeds {
  readonly log: EventLog
  readonly topics: readonly string[]
  readonly subscriptions: Pick<Subscriptions, 'versions' | 'isControl' | 'changesOf'>
  /** Whether a credential is still valid: asked again and again while a stream is open. */
  readonly isLive: (caller: Caller) => boolean
  readonly settings: DeliverySettings
  readonly logger: Logger
  readonly metrics: Registry
}

/** The way to a reader, and its signs of life. */
export interface Connection extends Transport {
  readonly name: TransportName
  /** Tells the other side that the stream lives; called every `heartbeatMs`. Ends what has not answered the last one. */
  heartbeat(): void
  /** Tells this each time that the other side takes bytes again. */
  onDrain(drained: () => void): void
  /** Asks the client to come back after this time, in its own words; the close follows. */
  reconnect?(afterMs: number): void
}

export interface OpenStream {
  readonly subscriber: string | null
  /** Whose stream it is where `subscriber` is null, which asks no stored filter: who may see it. */
  readonly owner?: string | undefined
  /** Null: the server itself, which needs no credential and is not counted among a subscriber's streams. */
  readonly caller: Caller | null
  readonly connection: Connection
  readonly encoding: Encoding
  /** What the credential lets through at most. */
  readonly enforced?: Tree | undefined
}

/** Live streams of this process. */
export interface Delivery extends AsyncDisposable {
  /**
   * Makes a stream that delivers nothing yet. Undefined if there are too many. Rejects with LogError `unavailable`, or
   * ProblemError `shutting_down`.
   */
  open(request: OpenStream): Promise<Stream | undefined>
  /** What the log can promise about repeats. */
  readonly dedupe: 'exact' | 'deferred'
  /** Streams that are open now. */
  streams(): readonly Stream[]
}

/** Opens delivery; nothing is read from the log before there is a stream. */
export function openDelivery(needs: DeliveryNeeds): Delivery {
  return new LocalDelivery(needs)
}

class LocalDelivery implements Delivery {
  readonly dedupe: Delivery['dedupe']
  readonly #needs: DeliveryNeeds
  readonly #report: DeliveryReport
  readonly #feeds: FeedOnDemand
  readonly #flusher = new Flusher((session, error) => this.#failed(session, error))
  readonly #streams = new Set<Stream>()
  readonly #perSubscriber = new Map<string, number>()
  readonly #wheel: Wheel<Stream>
  #draining = false

  constructor(needs: DeliveryNeeds) {
    this.#needs = needs
    this.#report = createDeliveryReport({ log: needs.logger, metrics: needs.metrics })
    this.dedupe = needs.log.can.dedupe ? 'exact' : 'deferred'
    this.#feeds = new FeedOnDemand({
      log: needs.log,
      topics: needs.topics,
      createIndex: createMatchingIndex,
      controls: needs.subscriptions,
      report: this.#report,
      lost: (sessions) => {
        const lost = [...this.#streams].filter(({ session }) => !sessions || sessions.includes(session))
        this.#report.lost(lost.length)
        for (const stream of lost) stream.end(closeCodes.internal, 'the log cannot be followed; come back')
      },
    })
    this.#wheel = new Wheel<Stream>(
      [
        { everyMs: 1_000, turn: (stream) => this.#checkCaller(stream) },
        { everyMs: frameLimits.checkpointMs, turn: (stream) => stream.checkpoint() },
        { everyMs: frameLimits.heartbeatMs, turn: (stream) => stream.connection.heartbeat() },
      ],
      (stream, error) => this.#failed(stream.session, error),
    )
  }

  async open(request: OpenStream): Promise<Stream | undefined> {
    if (this.#draining) throw stopping()
    const { caller, subscriber } = request
    const counted = caller === null ? null : subscriber
    if (!this.#take(counted)) return undefined
    let feed: Feed
    try {
      feed = await this.#acquire()
    } catch (error) {
      this.#giveBack(counted)
      throw error instanceof LogError ? error : new LogError('unavailable', String(error), { cause: error })
    }
    // A stop that began meanwhile does not know of this stream and would not send it away.
    if (this.#draining) {
      this.#giveBack(counted)
      this.#feeds.release()
      throw stopping()
    }
    const stream = new Stream({
      ...request,
      id: randomUUID(),
      feed,
      versions: (subscriber) => this.#needs.subscriptions.versions(subscriber),
      dirty: this.#flusher.add,
      report: this.#report,
      ended: (code) => this.#ended(stream, code),
    })
    this.#streams.add(stream)
    this.#wheel.add(stream)
    this.#report.opened(stream)
    return stream
  }

  /** The feed; given back if it comes so late that nobody waits for it any more. */
  async #acquire(): Promise<Feed> {
    const opening = this.#feeds.acquire()
    let isLate = false
    opening.then(
      () => isLate && this.#feeds.release(),
      () => {},
    )
    try {
      return await answered(opening, beginMsMax)
    } catch (error) {
      isLate = true
      throw error
    }
  }

  streams(): readonly Stream[] {
    return [...this.#streams]
  }

  /** Moves every session away, spread over the time set, then stops. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#draining = true
    const { drainMsMax } = this.#needs.settings
    const streams = [...this.#streams]
    // Told at once, so that clients choose their own moment; who has not left by then is closed.
    for (const stream of streams) stream.connection.reconnect?.(Math.round(Math.random() * drainMsMax))
    const step = drainMsMax / Math.max(1, streams.length)
    const startedAt = performance.now()
    for (const [n, stream] of streams.entries()) {
      const wait = startedAt + n * step - performance.now()
      if (wait > 5) await new Promise((resolve) => setTimeout(resolve, wait))
      stream.end(closeCodes.draining, 'the server stops; come back')
    }
    this.#wheel.stop()
    await this.#feeds[Symbol.asyncDispose]()
  }

  #take(subscriber: string | null): boolean {
    const { connectionsMax, connectionsPerSubscriberMax } = this.#needs.settings
    if (this.#streams.size >= connectionsMax) return false
    if (subscriber === null) return true
    const count = this.#perSubscriber.get(subscriber) ?? 0
    if (count >= connectionsPerSubscriberMax) return false
    this.#perSubscriber.set(subscriber, count + 1)
    return true
  }

  #giveBack(subscriber: string | null): void {
    if (subscriber === null) return
    const count = (this.#perSubscriber.get(subscriber) ?? 1) - 1
    if (count === 0) this.#perSubscriber.delete(subscriber)
    else this.#perSubscriber.set(subscriber, count)
  }

  #ended(stream: Stream, code: number): void {
    if (!this.#streams.delete(stream)) return
    this.#wheel.delete(stream)
    if (stream.caller !== null) this.#giveBack(stream.subscriber)
    this.#feeds.release()
    this.#report.closed(stream, code)
  }

  #failed(session: Session, error: unknown): void {
    this.#report.failed(error)
    session.end(closeCodes.internal, 'a mistake of the server; come back')
  }

  #checkCaller(stream: Stream): void {
    if (stream.caller !== null && !this.#needs.isLive(stream.caller))
      stream.end(closeCodes.unauthenticated, 'the credential is not valid any more')
  }
}

const stopping = () =>
  new ProblemError('shutting_down', 'This server stops; come back to another one.', { retryAfter: 1 })

/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The client of a Pulse server, for Node and browsers: `fetch`, `WebSocket` and nothing else.
 *
 *     const pulse = createClient({ url: 'http://127.0.0.1:8000', credential: key })
 *     await pulse.events.publish({ event_type: 'purchase', properties: { amount: 42 } })
 *     for await (const item of pulse.subscribe({ subscriber: 'user_1' })) console.log(item)
 *
 * Calls that fail for a passing reason are repeated with growing waits, as `Retry-After` asks. A call that
 * creates something without an id of its own (a key, a token) is repeated only if it was never begun.
 */
import { type AccessWay, accessTo, socketUrl, wayOf } from './access.ts'
import { type Calls, type CallsOptions, createCalls, createCallsTransport } from './calls.ts'
import { systemClock } from './clock.ts'
import { createFilters, type Filters } from './filters.ts'
import { createNames, type Names } from './names.ts'
import { watchPage } from './page.ts'
import { openPublisher, type Publisher, type PublisherOptions } from './publisher.ts'
import { PulseError } from './pulse-error.ts'
import { socketOpener, type WebSocketConstructor } from './socket.ts'
import { createStreams, type Streams } from './streams.ts'
import { subscribe } from './subscription.ts'
import type { SubscribeOptions, Subscription } from './subscription-options.ts'
import type { Transport } from './transport.ts'
import { createWebhooks, type Webhooks } from './webhooks.ts'

export type { AccessWay } from './access.ts'
export type * from './answers.ts'
export type { Calls, CallsOptions, DeadLetterQuery, EventQuery } from './calls.ts'
export type { ConnectionState, Notice } from './connection.ts'
export { newEventId } from './event-id.ts'
export type * from './filters.ts'
export { type Following, type FollowOptions, type FollowState, follow } from './following.ts'
export type * from './names.ts'
export { memoryStore, type PositionStore, storageStore, type TextStorage } from './position-store.ts'
export type { Publisher, PublisherLimits, PublisherOptions } from './publisher.ts'
export type { Accepted } from './publishing.ts'
export type { ErrorCode } from './pulse-error.ts'
export type { WebSocketConstructor, WebSocketLike } from './socket.ts'
export type { Gap, ReceivedEvent, StreamItem } from './stream-item.ts'
export type * from './streams.ts'
export type { SubscribeOptions, Subscription, SubscriptionLimits } from './subscription-options.ts'
export type { Mismatch } from './told.ts'
export type { CallOptions, Credential, RetryOptions } from './transport.ts'
export type * from './webhooks.ts'
export { verifyWebhook } from './webhooks.ts'
export { PulseError }

export interface ClientOptions extends CallsOptions {
  /** Makes the sockets of subscriptions; default `globalThis.WebSocket`. */
  readonly webSocket?: WebSocketConstructor | undefined
  /** How subscriptions say who they are; default: the best way that works here. */
  readonly access?: AccessWay | undefined
}

/** Every method rejects with PulseError, or with the reason of the signal that ended it. */
export interface Client extends Calls {
  /** What subscribers get. */
  readonly filters: Filters
  /** Who listens, and why somebody got an event or did not. */
  readonly streams: Streams
  /** Addresses that events are sent to. */
  readonly webhooks: Webhooks
  /** Which names are free, and taking them. */
  readonly names: Names
  /** Opens a publisher for many events: batches, order per key, repeats with the same id, bounded memory. */
  publisher(options?: PublisherOptions): Publisher
  /**
   * Subscribes to what matches a subscriber's filters: live, each event once, and after any absence from where its
   * consumer was. Loop over it, or give it `onEvent` and `onGap`. Throws a TypeError where there is no `WebSocket`, or when
   * `url` is none.
   */
  subscribe(options: SubscribeOptions): Subscription
}

/** Makes a client. It holds no connection and needs no closing. */
export function createClient(options: ClientOptions): Client {
  const transport = createCallsTransport(options)
  const calls = createCalls(options, transport)
  const ticket = async () => (await calls.tickets.create()).ticket
  return {
    ...calls,
    filters: createFilters(transport),
    streams: createStreams(transport),
    webhooks: createWebhooks(transport),
    names: createNames(transport),
    publisher: (how) => openPublisher({ transport, clock: systemClock, random: Math.random }, how),
    subscribe: (how) => openSubscription(options, how, { transport, ticket }),
  }
}

interface SubscriptionSources {
  readonly transport: Transport
  readonly ticket: () => Promise<string>
}

function openSubscription(
  { url, credential, webSocket, access }: ClientOptions,
  options: SubscribeOptions,
  { transport, ticket }: SubscriptionSources,
): Subscription {
  const path = `/ws/${encodeURIComponent(options.subscriber)}`
  const address = socketUrl(url, path)
  const way = { credential, way: access, isNativeSocket: webSocket === undefined, ticket }
  return subscribe(options, {
    clock: systemClock,
    random: Math.random,
    openSocket: socketOpener(webSocket),
    access: () => accessTo(address, way),
    askWhy: () => whyRefused(transport, path, wayOf(way)),
    renewable: typeof credential === 'function' || wayOf(way) === 'ticket',
    watch: (holds, hiddenMsMax) => watchPage(holds, systemClock, hiddenMsMax),
  })
}

/**
 * Asks the address of a socket that was refused by an ordinary request, which goes through the same checks and says
 * why. Undefined: the server takes sockets there, or there is no server at the moment.
 */
async function whyRefused(
  transport: Transport,
  path: string,
  way: AccessWay,
): Promise<PulseError | undefined> {
  // Without its header the request would be refused for that alone.
  if (way === 'frame' || way === 'ticket') return undefined
  try {
    await transport.send({ method: 'GET', path, repeatable: false }, { retriesMax: 0 })
    return undefined
  } catch (error) {
    const isFinal = error instanceof PulseError && !error.retryable && finalStatuses.has(error.status ?? 0)
    return isFinal ? error : undefined
  }
}

/** The server has understood the address or the caller, and says no. */
const finalStatuses: ReadonlySet<number> = new Set([400, 401, 403, 404, 422])

/**
 * The calls of a client: one request, one answer. Apart from the client, so that a page which only asks does not carry
 * what keeps subscriptions alive.
 */
import type { EventState, SubmittedEvent } from '@pulse/protocol/event'
import type { Condition } from '@pulse/protocol/filter'
import type { BatchResult } from '@pulse/protocol/receipt'
import type {
  ApiKey,
  DeadLetter,
  EventLife,
  EventRow,
  EventTypeInfo,
  Health,
  History,
  NewApiKey,
  NewToken,
  Page,
  Redriven,
  Role,
  Scope,
  Session,
  SignInLink,
  Summary,
  Ticket,
} from './answers.ts'
import { type Accepted, publish, publishBatch } from './publishing.ts'
import { PulseError } from './pulse-error.ts'
import {
  type Call,
  type CallOptions,
  type Credential,
  createTransport,
  type RetryOptions,
  type Transport,
} from './transport.ts'

export { PulseError }

export interface CallsOptions {
  /** Where the server is, for example `http://127.0.0.1:8000`; `''` in a page that the server itself sent. */
  readonly url: string
  /** API key or token. Left out in the dashboard, where the browser sends its cookie. */
  readonly credential?: Credential | undefined
  readonly fetch?: typeof globalThis.fetch | undefined
  /** Time for each attempt of a call; default 30,000. */
  readonly timeoutMsMax?: number | undefined
  readonly retry?: Partial<RetryOptions> | undefined
}

/** Which events to list. `from` and `to` bound `received_at` (RFC 3339): from <= received_at < to. */
export interface EventQuery {
  readonly event_type?: string | undefined
  readonly user_id?: string | undefined
  readonly status?: EventState | undefined
  readonly from?: string | undefined
  readonly to?: string | undefined
  /** Equal to; needs an event_type and at most 24 hours, or a property that the type declares indexed. */
  readonly properties?: Readonly<Record<string, string | number | boolean>> | undefined
  readonly cursor?: string | undefined
  readonly limit?: number | undefined
}

/** Which dead letters to list. */
export interface DeadLetterQuery {
  readonly event_type?: string | undefined
  /** Name of the handler that failed; `webhook:ID` for what a receiver did not take. */
  readonly handler?: string | undefined
  readonly cursor?: string | undefined
  readonly limit?: number | undefined
}

/** Every method rejects with PulseError, or with the reason of the signal that ended it. */
export interface Calls {
  readonly url: string
  readonly events: {
    /** Publishes one event; resolves when it is kept as durably as its receipt says. */
    publish(event: SubmittedEvent, options?: CallOptions): Promise<Accepted>
    /** Publishes up to 5,000 events and 4 MiB; one verdict each, in the order given. */
    publishBatch(events: readonly SubmittedEvent[], options?: CallOptions): Promise<BatchResult>
    /** One page of events, newest first. */
    list(query?: EventQuery, options?: CallOptions): Promise<Page<EventRow>>
    /** The whole life of one event. Rejects with `not_found`. */
    get(eventId: string, options?: CallOptions): Promise<EventLife>
  }
  readonly deadLetters: {
    /** One page of dead letters, newest first. */
    list(query?: DeadLetterQuery, options?: CallOptions): Promise<Page<DeadLetter>>
    /** One dead letter. Rejects with `not_found`. */
    get(id: string, options?: CallOptions): Promise<DeadLetter>
    /** Sends a dead letter to its handler again. Rejects with `not_found`, or `conflict` if it is on its way. */
    redrive(id: string, options?: CallOptions): Promise<Redriven>
  }
  readonly metrics: {
    /** What the server measures now. */
    summary(options?: CallOptions): Promise<Summary>
    /** The last `seconds` (default 600), one point per interval. */
    history(query?: { readonly seconds?: number | undefined }, options?: CallOptions): Promise<History>
  }
  readonly keys: {
    /** API keys, newest first, revoked ones too; a hundred a page. */
    list(
      query?: { readonly cursor?: string | undefined; readonly limit?: number | undefined },
      options?: CallOptions,
    ): Promise<Page<ApiKey>>
    /**
     * Makes a key; its secret is in the answer and never again. `rate_limit` reads like `100/1m`; `subscribers`, for
     * example `user_*`, says whose streams it may read.
     */
    create(
      key: {
        readonly name: string
        readonly scopes: readonly Scope[]
        readonly rate_limit?: string | null
        readonly subscribers?: string | null
      },
      options?: CallOptions,
    ): Promise<NewApiKey>
    /** Revokes a key at once. Rejects with `not_found`. */
    revoke(id: string, options?: CallOptions): Promise<void>
  }
  readonly tokens: {
    /**
     * Makes a token for a person or program, good for a day at most. Needs the scope `admin`, as keys do. It may read the
     * stream of the one subscriber `sub`, and of that only what `filter` lets through.
     */
    create(
      token: {
        readonly sub: string
        readonly scopes: readonly Scope[]
        readonly expires_in_seconds?: number
        readonly filter?: Condition
      },
      options?: CallOptions,
    ): Promise<NewToken>
    /** Revokes a token at once. */
    revoke(id: string, options?: CallOptions): Promise<void>
  }
  readonly tickets: {
    /** Makes a credential for one connection, for browsers that cannot send a header with it. */
    create(options?: CallOptions): Promise<Ticket>
  }
  readonly signInLinks: {
    /** Makes a link that signs one browser in, once. */
    create(link: { readonly role: Role }, options?: CallOptions): Promise<SignInLink>
  }
  /** The event types that the server knows. */
  eventTypes(options?: CallOptions): Promise<readonly EventTypeInfo[]>
  /** Who the server takes the caller for. Rejects with `unauthenticated`. */
  session(options?: CallOptions): Promise<Session>
  /** Exchanges the token of a one-time link for this browser's session cookie. */
  signIn(token: string, options?: CallOptions): Promise<void>
  /** Ends this browser's session. */
  signOut(options?: CallOptions): Promise<void>
  /** What the server says of its parts, also when it is unhealthy. */
  health(options?: CallOptions): Promise<Health>
  /** True if the server can take and answer requests. */
  ready(options?: CallOptions): Promise<boolean>
}

const retryDefaults: RetryOptions = {
  retriesMax: 3,
  waitMsBase: 200,
  waitMsMax: 10_000,
  retryAfterMsMax: 60_000,
}

/** Makes the transport that these options ask for. */
export function createCallsTransport(options: CallsOptions): Transport {
  return createTransport({
    url: options.url,
    credential: options.credential,
    fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
    timeoutMsMax: options.timeoutMsMax ?? 30_000,
    retry: { ...retryDefaults, ...options.retry },
  })
}

/** Makes the calls. They hold no connection and need no closing. */
export function createCalls({ url }: Pick<CallsOptions, 'url'>, transport: Transport): Calls {
  const call = async <Body>(what: Call, how?: CallOptions) => (await transport.send<Body>(what, how)).body
  const get = <Body>(path: string, query?: URLSearchParams, how?: CallOptions, answers?: readonly number[]) =>
    call<Body>({ method: 'GET', path, query, repeatable: true, answers }, how)
  const post = <Body>(path: string, body: unknown, how?: CallOptions) =>
    call<Body>({ method: 'POST', path, body, repeatable: false }, how)
  const remove = (path: string, how?: CallOptions) =>
    call<void>({ method: 'DELETE', path, repeatable: true }, how)
  const part = encodeURIComponent

  return {
    url,
    events: {
      publish: (event, how) => publish(transport, event, how),
      publishBatch: (events, how) => publishBatch(transport, events, how),
      list: (query, how) => get('/events', eventParams(query), how),
      get: (eventId, how) => get(`/events/${part(eventId)}`, undefined, how),
    },
    deadLetters: {
      list: (query, how) => get('/dead-letters', params({ ...query }), how),
      get: (id, how) => get(`/dead-letters/${part(id)}`, undefined, how),
      redrive: (id, how) => post(`/dead-letters/${part(id)}/redrive`, undefined, how),
    },
    metrics: {
      summary: (how) => get('/metrics/summary', undefined, how),
      history: (query, how) => get('/metrics/history', params({ ...query }), how),
    },
    keys: {
      list: (query, how) => get('/admin/keys', params({ ...query }), how),
      create: (key, how) => post('/admin/keys', key, how),
      revoke: async (id, how) => void (await remove(`/admin/keys/${part(id)}`, how)),
    },
    tokens: {
      create: (token, how) => post('/auth/tokens', token, how),
      revoke: async (id, how) => void (await remove(`/auth/tokens/${part(id)}`, how)),
    },
    tickets: { create: (how) => post('/tickets', undefined, how) },
    signInLinks: { create: (link, how) => post('/admin/sign-in-links', link, how) },
    eventTypes: async (how) =>
      (await get<{ data: readonly EventTypeInfo[] }>('/event-types', undefined, how)).data,
    session: (how) => get('/auth/session', undefined, how),
    signIn: async (token, how) => void (await post('/auth/sign-in', { token }, how)),
    signOut: async (how) => void (await post('/auth/sign-out', undefined, how)),
    health: (how) => get('/health', undefined, how, [503]),
    ready: async (how) => {
      try {
        await get('/readyz', undefined, { ...how, retriesMax: 0 })
        return true
      } catch (error) {
        if (error instanceof PulseError && error.status === 503) return false
        throw error
      }
    },
  }
}

function params(members: Readonly<Record<string, string | number | boolean | undefined>>): URLSearchParams {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(members))
    if (value !== undefined) query.append(name, String(value))
  return query
}

function eventParams({ properties, ...rest }: EventQuery = {}): URLSearchParams {
  const query = params(rest)
  for (const [name, value] of Object.entries(properties ?? {}))
    query.append(`properties.${name}`, String(value))
  return query
}

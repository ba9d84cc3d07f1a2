import type { Event, EventState } from '@pulse/protocol/event'

/** What a credential may do. */
export type Scope =
  | 'events:write'
  | 'events:read'
  | 'filters:write'
  | 'stream:read'
  | 'read:stats'
  | 'feed'
  | 'names'
  | 'admin'

/** What a person at the dashboard may do. */
export type Role = 'viewer' | 'operator' | 'admin'

/** One page of a list. `cursor` fetches the next one; it is null on the last page. */
export interface Page<Row> {
  readonly data: readonly Row[]
  readonly cursor: string | null
  readonly has_more: boolean
}

/** Who the server takes the caller for. */
export interface Session {
  readonly kind: 'key' | 'session' | 'token' | 'open'
  readonly id: string
  readonly name: string
  readonly scopes: readonly Scope[]
  readonly role: Role | null
}

/** Why an event failed. */
export interface EventFailure {
  readonly class: string
  readonly message: string
  readonly attempts: number
}

/** An event with where it stands in its life. Times are RFC 3339. */
export interface EventRow extends Event {
  readonly status: EventState
  readonly received_at: string
  readonly processed_at: string | null
  /** What its handler added. */
  readonly enriched: Readonly<Record<string, unknown>> | null
  readonly position: string
  readonly error: EventFailure | null
}

/** One step in the life of an event. */
export interface LifeStep {
  readonly at: string
  readonly step: 'received' | 'kept' | 'parked' | 'attempt' | 'processed' | 'dead' | 'redriven' | 'dropped'
  readonly title: string
  readonly detail: string
}

/** An event that could not be processed, with why and from where. */
export interface DeadLetter {
  readonly id: string
  readonly event_id: string
  readonly event_type: string
  readonly user_id: string | null
  readonly event: Event
  readonly error: { readonly class: string; readonly message: string }
  readonly handler: string
  readonly attempts: number
  readonly origin: { readonly topic: string; readonly partition: number; readonly offset: number }
  readonly received_at: string
  readonly failed_at: string
  readonly state: 'dead' | 'redriven'
}

/** The whole life of one event. */
export interface EventLife {
  readonly event: Event
  readonly status: EventState
  readonly position: string
  readonly received_at: string
  readonly processed_at: string | null
  readonly enriched: Readonly<Record<string, unknown>> | null
  readonly life: readonly LifeStep[]
  readonly dead_letter: DeadLetter | null
}

/** A dead letter that is on its way again. */
export interface Redriven {
  readonly id: string
  readonly event_id: string
  readonly status: 'retrying'
}

/** An event type that the server knows. */
export interface EventTypeInfo {
  readonly name: string
  readonly topic: string
  /** JSON Pointer of the member that orders its events. */
  readonly key: string
  readonly handler: string | null
  /** Properties that may be queried over any time span. */
  readonly indexed: readonly string[]
  readonly count_24h: number
}

/** Median, 95th and 99th percentile, in milliseconds; null when nothing was measured. */
export interface Percentiles {
  readonly p50: number | null
  readonly p95: number | null
  readonly p99: number | null
}

/** What the server measures of itself now. Counters start at zero with the process; null: not measured yet. */
export interface Summary {
  /** Events of the whole installation that are kept but not yet processed. */
  readonly queue_length: number | null
  /** Events that are parked for another attempt. */
  readonly pending_messages: number | null
  readonly timestamp: string
  readonly received: number
  readonly processed: number
  /** Events that became dead letters. */
  readonly failed: number
  readonly duplicates: number
  readonly rejected: number
  readonly dropped: number
  /** Attempts that failed and are made again. */
  readonly retried: number
  readonly backlog: {
    readonly events: number | null
    /** How long the oldest waiting event has waited. */
    readonly seconds: number | null
    readonly measured_at: string | null
  }
  readonly rates: { readonly received_per_second: number; readonly processed_per_second: number }
  readonly ack_ms: Percentiles
  readonly processing_ms: Percentiles
  readonly uptime_seconds: number
  readonly started_at: string
  readonly event_loop_p99_ms: number
  readonly memory_bytes: number
  /** The disk of the data folder. */
  readonly disk: { readonly used_ratio: number; readonly free_bytes: number } | null
}

type Measured = readonly (number | null)[]

/** The same over time, in columns of equal length; null where nothing was measured. */
export interface History {
  readonly interval_seconds: number
  readonly series: {
    /** Seconds since 1970. */
    readonly at: readonly number[]
    readonly received_per_second: Measured
    readonly processed_per_second: Measured
    readonly failed_per_second: Measured
    readonly duplicates_per_second: Measured
    readonly rejected_per_second: Measured
    readonly backlog_events: Measured
    readonly backlog_seconds: Measured
    readonly ack_p50_ms: Measured
    readonly ack_p95_ms: Measured
    readonly ack_p99_ms: Measured
    readonly processing_p95_ms: Measured
    readonly event_loop_p99_ms: Measured
    readonly memory_bytes: Measured
  }
}

/** What the server says of its parts. */
export interface Health {
  readonly status: 'healthy' | 'degraded' | 'unhealthy'
  readonly timestamp: string
  readonly version: string
  /** True while the database answers. */
  readonly database: boolean
  readonly services: Readonly<Record<string, 'up' | 'down'>>
}

/**
 * An API key without its secret. `rate_limit` reads like `100/1m`; `subscribers` says whose streams it may read, `*`
 * standing for any characters (null: anyone's).
 */
export interface ApiKey {
  readonly id: string
  readonly name: string
  readonly scopes: readonly Scope[]
  readonly rate_limit: string | null
  readonly subscribers: string | null
  readonly created_at: string
  readonly last_used_at: string | null
  readonly revoked_at: string | null
}

/** A new API key: `key` is the secret, which the server shows this once. */
export interface NewApiKey extends ApiKey {
  readonly key: string
}

/** A new token, its id for revocation, and when it ends. */
export interface NewToken {
  readonly token: string
  readonly id: string
  readonly expires_at: string
}

/** A credential for one connection, usable once within 30 seconds. */
export interface Ticket {
  readonly ticket: string
  readonly expires_at: string
}

/** A link that signs one browser in, once. */
export interface SignInLink {
  readonly url: string
  readonly expires_at: string
}

import type { Event } from '@pulse/protocol/event'
import type { Instant } from '@pulse/protocol/instant'
import type { SettingValues } from './settings.ts'

/** Where an event type's events go and how they are found again. */
export interface EventTypeConfig {
  /** Topic of the log; default `events`. */
  readonly topic?: string
  /** JSON Pointer into the event whose value keeps events in order, default `/user_id` and else the event's id. */
  readonly key?: string
  /** Names of properties by which `GET /events` may filter over any span of time. */
  readonly indexed?: readonly string[]
  /** Partitions of the topic, if this is the type that declares it first; a topic never changes its count. */
  readonly partitions?: number
}

export interface TopicConfig {
  /** Whole number from 1 to 1024; fixed once the topic exists. */
  readonly partitions: number
}

/** Writes lines that carry the event's id, so that they are found from the event's page. */
export interface HandlerLog {
  debug(detail: object | string, message?: string): void
  info(detail: object | string, message?: string): void
  warn(detail: object | string, message?: string): void
  error(detail: object | string, message?: string): void
}

/** What a handler is told about the event beside the event itself. */
export interface HandlerContext {
  /** 1 on the first try. */
  readonly attempt: number
  /** Aborts when the handler's time is up or the server stops; what fails because it stops counts as no attempt. */
  readonly signal: AbortSignal
  readonly log: HandlerLog
  readonly receivedAt: Instant
  /** Opaque position of the event in the log. */
  readonly position: string
}

/** What a handler leaves behind. Rows are written in the transaction that marks the event processed. */
export interface HandlerResult {
  /** Shown with the event and stored in its row. */
  readonly enriched?: Record<string, unknown>
  /** Rows by table of the team's own migrations; they commit together with the event's verdict, so exactly once. */
  readonly rows?: Record<string, readonly Record<string, unknown>[]>
  /** Why this event is of no use. It is counted and kept as `dropped`, not retried. */
  readonly drop?: string
}

/**
 * Handles one event. What it throws is retried with backoff and ends as a dead letter; a `PermanentError` is not
 * retried. Effects outside the database happen at least once: use `event.event_id` as their idempotency key.
 */
export type Handler = (
  event: Event,
  ctx: HandlerContext,
  // biome-ignore lint/suspicious/noConfusingVoidType: a handler without a return statement is the common case.
) => HandlerResult | undefined | void | PromiseLike<HandlerResult | undefined | void>

/** Thrown by a handler for an event that no later try can mend: it becomes a dead letter at once. */
export class PermanentError extends Error {
  override name = 'PermanentError'
}

/** What only a config file can say, because it is code or has structure. */
export interface PulseConfigParts {
  readonly eventTypes?: Readonly<Record<string, EventTypeConfig>>
  readonly topics?: Readonly<Record<string, TopicConfig>>
  /** By event type (`order.placed`), prefix (`order.*`) or `*`; the most exact one wins. */
  readonly handlers?: Readonly<Record<string, Handler>>
  /** Folders of the team's own `NNNN_name.sql` files, relative to the config file. */
  readonly migrations?: readonly string[]
}

/** Everything that `pulse.config.ts` may say: every setting in camelCase, and the parts above. */
export type PulseConfig = PulseConfigParts & {
  readonly [Key in keyof SettingValues]?: SettingValues[Key] | undefined
}

/** Gives the config file its types: `export default defineConfig({ … })`. Returns what it was given. */
export function defineConfig(config: PulseConfig): PulseConfig {
  return config
}

import type { Page } from './answers.ts'
import type { CallOptions, Transport } from './transport.ts'

/** A stream that is open on the server that answers. */
export interface OpenStream {
  readonly session: string
  /** Null: it follows a filter of its own and no subscriber. */
  readonly subscriber: string | null
  readonly transport: 'websocket' | 'plain' | 'sse' | 'webhook'
  readonly state: 'quiet' | 'waiting' | 'replaying' | 'live' | 'lagging'
  readonly opened_at: string
  /** Names of the filters that it is delivered by. */
  readonly filters: readonly string[]
  readonly position: string | null
  /** Up to where the client says that it has dealt with everything. */
  readonly acked: string | null
  /** Events of any kind between its place and the end of the log. */
  readonly behind_events: number
  /** Age of the oldest of them; null if it is older than what the server remembers. */
  readonly behind_seconds: number | null
  readonly queued_bytes: number
  readonly delivered: number
  readonly gaps: number
  /** Times that it was too slow for what matches. */
  readonly lagged: number
}

/** The streams that are open on one server, up to 1,000. There are no pages: where it has more, ask for a subscriber's. */
export interface OpenStreams extends Page<OpenStream> {
  /** The server that answers, its machine and process: those that are open on others are not told of. */
  readonly server: string
}

/** What one version of a filter says of an event. */
export interface FilterVerdict {
  readonly name: string
  readonly version: number
  /** Whether this version held where the event stands. */
  readonly applies: 'yes' | 'stored_later' | 'changed_before'
  readonly matches: boolean
  /** The tests that failed, with what was found. */
  readonly failed: readonly string[]
}

/**
 * What became of an event on an open stream: `replaced` by a later one of its key if the reader keeps only those (or it was
 * the latest itself), `dropped` if it wants the newest and was too slow; `began_after`: the stream began beyond it; `unknown`:
 * the connection had another filter then.
 */
export type StreamOutcome =
  | 'no_permission'
  | 'unknown'
  | 'no_match'
  | 'gap'
  | 'dropped'
  | 'replaced'
  | 'began_after'
  | 'not_yet'
  | 'sent'

/** Why a subscriber got an event, or did not. */
export interface Explanation {
  readonly event_id: string
  readonly subscriber: string
  readonly position: string
  readonly verdict: 'matches' | 'no_filter' | 'filter_stored_later' | 'filter_changed' | 'does_not_match'
  /** The verdict in a sentence. */
  readonly answer: string
  /** False once retention has taken the event from the log: no replay can bring it any more. */
  readonly replayable: boolean
  readonly filters: readonly FilterVerdict[]
  /** The server that answers, its machine and process. */
  readonly server: string
  /** The streams of the subscriber that are open on that server. */
  readonly streams: readonly {
    readonly session: string
    readonly transport: OpenStream['transport']
    readonly state: string
    readonly outcome: StreamOutcome
    /** Why there was a gap, if it lies in one. */
    readonly reason: 'retention' | 'epoch' | 'corrupt' | 'dropped' | null
    /** The outcome in a sentence. */
    readonly answer: string
    /** The tests that failed: of the stream's own filter; of that which its credential enforces, to an operator. */
    readonly failed: readonly string[]
  }[]
}

/** Who listens, and why somebody got an event or did not. Every method rejects with PulseError. */
export interface Streams {
  /** Streams that are open on the server that answers: of one subscriber, or all. */
  list(query?: { readonly subscriber?: string | undefined }, options?: CallOptions): Promise<OpenStreams>
  /** Explains one event to one subscriber. Rejects with `not_found`. */
  explain(
    asked: { readonly event: string; readonly subscriber: string },
    options?: CallOptions,
  ): Promise<Explanation>
  /**
   * The position from which a subscription gets everything that was kept at or after an instant (RFC 3339): what its
   * `from` takes.
   */
  positionAt(instant: string, options?: CallOptions): Promise<string>
}

/** Makes the calls about streams. */
export function createStreams(transport: Transport): Streams {
  const get = async <Body>(path: string, query: URLSearchParams, how?: CallOptions) =>
    (await transport.send<Body>({ method: 'GET', path, query, repeatable: true }, how)).body
  return {
    list: ({ subscriber } = {}, how) =>
      get('/streams', new URLSearchParams(subscriber === undefined ? {} : { subscriber }), how),
    explain: ({ event, subscriber }, how) => get('/explain', new URLSearchParams({ event, subscriber }), how),
    positionAt: async (instant, how) =>
      (await get<{ position: string }>('/streams/position', new URLSearchParams({ at: instant }), how))
        .position,
  }
}

/** What the readers' process is asked to do, one thing after another. */
export type ReaderTask =
  /** Opens sockets, each for a subscriber of its own with a filter of its own; `{n}` in the filter is its number. */
  | {
      readonly kind: 'open'
      readonly url: string
      readonly key: string
      readonly count: number
      readonly filter: string
      /** Position to resume from; undefined: from now. */
      readonly position?: string
    }
  /** Begins to count anew. */
  | { readonly kind: 'reset' }
  /** Resolves when so many events have come since `reset`. */
  | { readonly kind: 'await'; readonly events: number; readonly msMax: number }
  | { readonly kind: 'report' }
  /** Cuts every connection at once, as a network does, and opens all again from the last position each. */
  | { readonly kind: 'cut-and-resume' }
  | { readonly kind: 'close' }

export interface ReaderReport {
  /** Events received since `reset`. */
  readonly events: number
  readonly bytes: number
  /** Milliseconds from the event's `sent` to its arrival; of the first event, which is the oldest, of each chunk that was read. */
  readonly latencies: readonly number[]
  /** Milliseconds that the task took. */
  readonly ms: number
}

import type { Event } from '@pulse/protocol/event'

/**
 * The durable event log. This comment is the contract; `log.suite.ts` tests every sentence of it.
 *
 * A topic has a fixed number of partitions. A record goes to the partition that Kafka's murmur2 gives its key,
 * so records of one key stay in one partition, in the order in which `append` was called by one process.
 * Offsets of a partition are whole numbers from 0 without gaps or repeats within one epoch, and become visible
 * to readers in order. What `append` has reported as appended survives what `can.durability` says.
 *
 * - `append` settles every record on its own and in the order given; it rejects only when the log is closed
 *   or a topic is unknown. A record with a fingerprint whose id was appended within the id window is reported
 *   as `repeat` (same fingerprint) or `conflict` (another one) with the first position, if `can.dedupe`.
 *   `failed` means: not there now, and it will not appear later. `unknown` means: the engine went away in the
 *   middle and did not come back in time; appending it again with the same id and fingerprint tells.
 * - `read` yields batches from the given offsets (inclusive), each partition in order, and waits for more at
 *   the end until the signal aborts; then it returns. A position below the start or beyond the end throws
 *   LogError `out-of-range`, and so does one of another epoch, if the epoch is said; a damaged batch throws
 *   `corrupt` with its partition and offset and nothing of it is served; batches before it are.
 * - `bounds` says where each partition starts and ends, and where `since` (microseconds) stands in it.
 * - `declare` creates topics that are missing; a topic that exists keeps its partition count. One that the engine is set to
 *   thin out, or to forget long before `trim`, throws `unfit`.
 * - `trim` forgets what lies below the given offsets; a driver may keep more, never less. Returns the new starts.
 *
 * While the engine is away, `append` settles records as `failed` or `unknown`, and the other members throw LogError
 * `unavailable`; trying again is safe.
 */
export interface EventLog extends AsyncDisposable {
  readonly can: Capabilities
  append(records: readonly NewRecord[]): Promise<readonly AppendOutcome[]>
  read(from: ReadFrom, signal: AbortSignal): AsyncIterable<LogBatch>
  bounds(topic: string, since?: number): Promise<TopicBounds>
  declare(topics: readonly TopicDeclaration[]): Promise<void>
  trim(topic: string, below: ReadonlyMap<number, number>): Promise<ReadonlyMap<number, number>>
}

/** What a driver can and cannot do, as data: wiring refuses at start what would fail in production. */
export interface Capabilities {
  readonly driver: string
  /** Repeats are found in the same atomic act that appends. */
  readonly dedupe: boolean
  /** `trim` frees what lies below, rather than leaving it to the engine's own retention. */
  readonly trim: boolean
  /** What an appended record survives. */
  readonly durability: 'disk' | 'unsynced' | `replicas:${number}`
}

export interface TopicDeclaration {
  readonly name: string
  readonly partitions: number
}

/** One event on its way into the log. */
export interface NewRecord {
  readonly topic: string
  /** Decides the partition. */
  readonly key: string
  readonly type: string
  /** The event as JSON text without a line break. */
  readonly value: string
  /** Microseconds since 1970. */
  readonly receivedAt: number
  /** UUID in lower case. */
  readonly id: string
  /** 32 hex digits in lower case that stand for the event as submitted; absent if the server made the id, which then needs no memory. */
  readonly fingerprint?: string
}

export interface RecordPosition {
  readonly epoch: number
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

export type AppendOutcome =
  | {
      readonly kind: 'appended' | 'repeat' | 'conflict'
      readonly position: RecordPosition
      readonly receivedAt: number
    }
  | { readonly kind: 'failed' | 'unknown'; readonly error: LogError }

export interface ReadFrom {
  readonly topic: string
  /** First offset wanted, per partition; a partition that is not named is not read. */
  readonly offsets: ReadonlyMap<number, number>
  /** The epoch that the offsets are of; not said: of that which the topic has now. */
  readonly epoch?: number
}

/** Consecutive records of one partition, as one append group stored them (cut at the front if asked from its middle). */
export interface LogBatch {
  readonly epoch: number
  readonly topic: string
  readonly partition: number
  readonly records: readonly LogRecord[]
  /** Offset after the last record. */
  readonly nextOffset: number
  /** Microseconds since 1970 by the log's clock. */
  readonly appendedAt: number
  /**
   * True where the reader had come to the end of the log with this batch when it looked: whoever is in no hurry may ask
   * for the next one later, and gets more at once. A driver that does not know leaves it out.
   */
  readonly caughtUp?: boolean
}

/** One event as the log holds it. */
export interface LogRecord {
  readonly offset: number
  readonly receivedAt: number
  /** The event as JSON text, as appended. */
  readonly value: string
  /** The event; parsed when first asked for. */
  readonly event: Event
}

export interface PartitionBounds {
  readonly partition: number
  readonly start: number
  readonly end: number
  /** First offset appended at or after `since`; `end` if there is none. Equal to `start` without `since`. */
  readonly since: number
}

export interface TopicBounds {
  readonly topic: string
  readonly epoch: number
  readonly partitions: readonly PartitionBounds[]
}

export type LogErrorCode =
  | 'unavailable'
  | 'closed'
  | 'unknown-topic'
  | 'unfit'
  | 'out-of-range'
  | 'corrupt'
  | 'fenced'

/** What went wrong in the log, where, and whether trying again can help. */
export class LogError extends Error {
  override name = 'LogError'
  readonly code: LogErrorCode
  readonly partition: number | undefined
  readonly offset: number | undefined
  constructor(
    code: LogErrorCode,
    message: string,
    options: ErrorOptions & { partition?: number; offset?: number } = {},
  ) {
    super(message, options)
    this.code = code
    this.partition = options.partition
    this.offset = options.offset
  }
  get retryable(): boolean {
    return this.code === 'unavailable'
  }
}

import type { AppendOutcome, LogError, NewRecord, RecordPosition } from '../log.ts'
import { uuidBytes } from './binary.ts'

/** One record on its way, and whom to tell. */
export class Pending {
  readonly record: NewRecord
  readonly topic: number
  readonly partition: number
  readonly idBytes: Uint8Array
  readonly #settle: (outcome: AppendOutcome) => void
  /** Appends of the same id that arrived while this one was on its way. */
  readonly followers: Pending[] = []
  constructor(
    record: NewRecord,
    place: { topic: number; partition: number },
    settle: (outcome: AppendOutcome) => void,
  ) {
    this.record = record
    this.topic = place.topic
    this.partition = place.partition
    this.idBytes = record.fingerprint ? uuidBytes(record.id) : noBytes
    this.#settle = settle
  }
  settle(outcome: AppendOutcome): void {
    this.#settle(outcome)
  }
}

const noBytes = new Uint8Array(0)

/** What is known of an id: enough to answer a repeat with the first receipt. */
export interface Remembered {
  readonly fingerprint: Uint8Array
  readonly position: RecordPosition
  readonly receivedAt: number
}

export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => {
  for (let i = 0; i < 16; i++) if (a[i] !== b[i]) return false
  return true
}

/** Repeat or conflict, told from the first. */
export function outcomeOfRepeat(first: Remembered, fingerprint: Uint8Array): AppendOutcome {
  const kind = sameBytes(first.fingerprint, fingerprint) ? 'repeat' : 'conflict'
  return { kind, position: first.position, receivedAt: first.receivedAt }
}

/**
 * Ids on their way and ids appended lately, so that most repeats are answered without asking the database.
 * It keeps the last `keep` to `2 * keep` of them; what it forgets is still in the tables.
 *
 * Two maps take turns instead of one that drops its oldest entry: a Map that loses its first key again and again
 * walks over all the holes it has left there, which took a third of the time of a batch append.
 */
export class RecentIds {
  readonly #inFlight = new Map<string, Pending>()
  #young = new Map<string, Remembered>()
  #old = new Map<string, Remembered>()
  readonly #keep: number
  constructor(keep: number) {
    this.#keep = keep
  }

  /** Takes the record up unless its id is known; true if it was answered or will be with another one's answer. */
  answered(pending: Pending): boolean {
    const { id, fingerprint } = pending.record
    if (!fingerprint) return false
    const known = this.#young.get(id) ?? this.#old.get(id)
    if (known) {
      pending.settle(outcomeOfRepeat(known, fingerprint))
      return true
    }
    const leader = this.#inFlight.get(id)
    if (leader) {
      leader.followers.push(pending)
      return true
    }
    this.#inFlight.set(id, pending)
    return false
  }

  /** The record was appended or found: tells it and those that wait for it, and remembers it. */
  resolve(pending: Pending, outcome: AppendOutcome, first: Remembered | undefined): void {
    const { id, fingerprint } = pending.record
    pending.settle(outcome)
    if (!fingerprint) return
    this.#inFlight.delete(id)
    if (first) this.#remember(id, first)
    for (const follower of pending.followers) {
      if (first && follower.record.fingerprint)
        follower.settle(outcomeOfRepeat(first, follower.record.fingerprint))
      else follower.settle(outcome)
    }
  }

  /** The record is not there, or nobody knows. */
  fail(pending: Pending, kind: 'failed' | 'unknown', error: LogError): void {
    this.resolve(pending, { kind, error }, undefined)
  }

  #remember(id: string, first: Remembered): void {
    this.#young.set(id, first)
    if (this.#young.size < this.#keep) return
    this.#old = this.#young
    this.#young = new Map()
  }
}

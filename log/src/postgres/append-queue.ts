import type { AppendOutcome, LogError, NewRecord, RecordPosition } from '../log.ts'

/** One call of `append`: it is answered when every one of its records is settled. */
export class AppendCall {
  readonly #outcomes: AppendOutcome[]
  readonly #resolve: (outcomes: readonly AppendOutcome[]) => void
  #open: number
  constructor(records: number, resolve: (outcomes: readonly AppendOutcome[]) => void) {
    this.#outcomes = new Array<AppendOutcome>(records)
    this.#open = records
    this.#resolve = resolve
  }
  settle(index: number, outcome: AppendOutcome): void {
    this.#outcomes[index] = outcome
    if (--this.#open === 0) this.#resolve(this.#outcomes)
  }
}

/**
 * One record on its way, and where its outcome goes. There is one for every event of a burst, and collecting garbage
 * took a quarter of the main thread before they were this small: no closure, no list, no bytes of their own.
 */
export class Pending {
  readonly record: NewRecord
  readonly topic: number
  readonly partition: number
  readonly #call: AppendCall
  readonly #index: number
  /** Appends of the same id that arrived while this one was on its way. */
  followers: Pending[] | undefined
  constructor(
    record: NewRecord,
    place: { topic: number; partition: number },
    to: { call: AppendCall; index: number },
  ) {
    this.record = record
    this.topic = place.topic
    this.partition = place.partition
    this.#call = to.call
    this.#index = to.index
    this.followers = undefined
  }
  settle(outcome: AppendOutcome): void {
    this.#call.settle(this.#index, outcome)
  }
}

/** What is known of an id: enough to answer a repeat with the first receipt. */
export interface Remembered {
  readonly fingerprint: string
  readonly position: RecordPosition
  readonly receivedAt: number
}

/** Repeat or conflict, told from the first. */
export function outcomeOfRepeat(first: Remembered, fingerprint: string): AppendOutcome {
  const kind = first.fingerprint === fingerprint ? 'repeat' : 'conflict'
  return { kind, position: first.position, receivedAt: first.receivedAt }
}

/**
 * Ids on their way and ids appended lately, so that most repeats are answered without asking the database.
 * It keeps at least the last `keep` that were appended; what it forgets is still in the tables.
 *
 * Two maps take turns instead of one that drops its oldest entry: a Map that loses its first key again and again
 * walks over all the holes it has left there, which took a third of the time of a batch append. An id has one entry from
 * its arrival on, which changes from the record on its way to what is remembered of it.
 */
export class RecentIds {
  #young = new Map<string, Pending | Remembered>()
  #old = new Map<string, Pending | Remembered>()
  #onTheirWay = 0
  readonly #keep: number
  readonly #holds: (position: RecordPosition) => boolean

  /** `holds`: whether what was appended there is known to be there still. */
  constructor(keep: number, holds: (position: RecordPosition) => boolean) {
    this.#keep = keep
    this.#holds = holds
  }

  /** Takes the record up unless its id is known; true if it was answered or will be with another one's answer. */
  answered(pending: Pending): boolean {
    const { id, fingerprint } = pending.record
    if (!fingerprint) return false
    const known = this.#young.get(id) ?? this.#old.get(id)
    if (known === undefined || !(known instanceof Pending || this.#holds(known.position))) {
      this.#onTheirWay++
      this.#young.set(id, pending)
      return false
    }
    if (known instanceof Pending) {
      known.followers ??= []
      known.followers.push(pending)
    } else pending.settle(outcomeOfRepeat(known, fingerprint))
    return true
  }

  /** The record was appended or found: tells it and those that wait for it, and remembers it. */
  resolve(pending: Pending, outcome: AppendOutcome, first: Remembered | undefined): void {
    const { id, fingerprint } = pending.record
    pending.settle(outcome)
    if (!fingerprint) return
    this.#onTheirWay--
    if (first) this.#remember(id, first)
    else {
      this.#young.delete(id)
      this.#old.delete(id)
    }
    if (!pending.followers) return
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
    // Twice as many as are on their way: then at most one of them is carried over for each that is remembered.
    if (this.#young.size < this.#keep + 2 * this.#onTheirWay) return
    const old = this.#old
    this.#old = this.#young
    this.#young = new Map()
    for (const [oldId, entry] of old)
      if (entry instanceof Pending && !this.#old.has(oldId)) this.#young.set(oldId, entry)
  }
}

import type { Position } from '@pulse/protocol/position'
import { Place, startOf } from './place.ts'
import type { Delivery } from './server-frame.ts'

/** Something between what was told and what now came is missing. */
export interface Mismatch {
  readonly topic: string
  readonly partition: number
  /** The next offset that was not told of; undefined if the partition is not of this stream. */
  readonly expected: number | undefined
  /** The highest offset that the server says it told before. */
  readonly previous: number
}

/** What a subscription asks for after the hello: the stream from now on, or from a position. */
export type Asked = { readonly type: 'subscribe' } | { readonly type: 'resume'; readonly position: string }

/**
 * Keeps account of what a stream was told, per partition, and so proves that nothing is missing: each delivery says
 * which offset the server told of before it, and that must not lie beyond what was told here. Lower is no loss: the
 * server then repeats, and what is repeated is recognised by its offset.
 */
export class Told {
  #place: Place | undefined
  #awaitsAnswer = true
  #fromStart: boolean

  /** `place`: where it was left. Without one it begins at the log's start or, if `fromStart` is false, where it is now. */
  constructor(place: Place | undefined, fromStart: boolean) {
    this.#place = place
    this.#fromStart = fromStart
  }

  /** From where the stream goes on after a loss; undefined before it ever began. */
  get place(): Place | undefined {
    return this.#place
  }

  /** What to ask a server for that stands at `now`. */
  ask(now: readonly Position[]): Asked {
    this.#awaitsAnswer = true
    if (this.#place === undefined && this.#fromStart) this.#place = startOf(now)
    return this.#place ? { type: 'resume', position: this.#place.text } : { type: 'subscribe' }
  }

  /** The last place is of no use any more. From the log's start, what was told already would come again. */
  forget(): void {
    if (this.#place) this.#fromStart = false
    this.#place = undefined
  }

  /**
   * A checkpoint: everything below `positions` that matches was delivered, the last time up to `previous`, if the
   * server says so. The answer to what was asked is one too: it must be where we asked to go on.
   */
  checkpoint(
    positions: readonly Position[],
    previous: readonly Position[] | undefined,
  ): Mismatch | undefined {
    const before = this.#awaitsAnswer ? positions : (previous ?? [])
    // Offsets of another log are no progress: without a gap in between, what the old one still had would be skipped.
    const missed = this.#missedBefore(before) ?? this.#otherLog(positions)
    if (missed) return missed
    this.#awaitsAnswer = false
    this.#place = new Place(this.#place?.orLater(positions) ?? positions)
    return undefined
  }

  /** What lies between `from` and `to` will not come, and the consumer is told; what lies before `from` has come. */
  gap(from: readonly Position[], to: readonly Position[]): Mismatch | undefined {
    const missed = this.#missedBefore(from)
    if (missed) return missed
    this.#awaitsAnswer = false
    this.#place = new Place(this.#place?.orLater(to) ?? to)
    return undefined
  }

  /** Takes a delivery into account: it is new, or a repeat of what was told, or something before it is missing. */
  deliver({ topic, partition, offset, previous }: Delivery): 'new' | 'repeat' | Mismatch {
    const expected = this.#place?.next(topic, partition)
    if (expected === undefined || previous >= expected) return { topic, partition, expected, previous }
    if (offset < expected) return 'repeat'
    this.#place?.advance({ topic, partition, next: offset + 1 })
    return 'new'
  }

  #missedBefore(before: readonly Position[]): Mismatch | undefined {
    for (const { topic, epoch, offsets } of before) {
      if (this.#place?.epoch(topic) !== epoch) continue
      for (const [partition, offset] of offsets) {
        const expected = this.#place.next(topic, partition)
        if (expected !== undefined && offset > expected)
          return { topic, partition, expected, previous: offset - 1 }
      }
    }
    return undefined
  }

  #otherLog(positions: readonly Position[]): Mismatch | undefined {
    for (const { topic, epoch, offsets } of positions) {
      const known = this.#place?.epoch(topic)
      const [first] = offsets
      if (known === undefined || known === epoch || first === undefined) continue
      const [partition, offset] = first
      return { topic, partition, expected: this.#place?.next(topic, partition), previous: offset - 1 }
    }
    return undefined
  }
}

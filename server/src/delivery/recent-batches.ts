import type { LogBatch } from '@pulse/log'
import type { FilterChange } from '../subscriptions/subscriptions.ts'
import type { Vector } from './vector.ts'

const charsMax = 16 * 1024 * 1024

/** Places of dropped entries that may stand empty before the others are moved up. */
const headMax = 1_000

/** A part of a batch as the live feed met it. */
export interface RecentBatch {
  readonly slot: number
  readonly batch: LogBatch
  /** It ends before this offset; what follows in the batch is another entry. */
  readonly end: number
  /** What its last record changes, if that is a control record. */
  readonly changes: readonly FilterChange[] | undefined
}

/**
 * The last batches that the live feed has met, in its order: sessions that were away for a moment are served from
 * here, and a replay takes from here what came while it read, in one turn of the event loop.
 */
export class RecentBatches {
  #entries: (RecentBatch | undefined)[] = []
  /** Where the oldest of them stands: shifting an array of tens of thousands moves them all. */
  #head = 0
  #dropped = 0
  #chars = 0
  /** Per slot: from this offset on everything is here. */
  readonly #from: Vector

  constructor(from: Vector) {
    this.#from = from.slice()
  }

  /** Number of the entry that comes next. */
  get end(): number {
    return this.#dropped + this.#entries.length - this.#head
  }

  add(entry: RecentBatch): void {
    const chars = charsOf(entry)
    this.#entries.push(entry)
    this.#chars += chars
    while (this.#chars > charsMax && this.#entries.length - this.#head > 1) this.#drop()
  }

  #drop(): void {
    const oldest = this.#entries[this.#head] as RecentBatch
    this.#entries[this.#head++] = undefined
    this.#dropped++
    if (this.#head > headMax && this.#head > this.#entries.length / 2) {
      this.#entries = this.#entries.slice(this.#head)
      this.#head = 0
    }
    this.#chars -= charsOf(oldest)
    this.#from[oldest.slot] = oldest.end
  }

  /** Number of the first entry that matters to a reader at this place; undefined if something it needs is gone. */
  seek(place: Vector): number | undefined {
    for (let slot = 0; slot < place.length; slot++)
      if ((place[slot] as number) < (this.#from[slot] as number)) return undefined
    for (let number = this.#dropped; number < this.end; number++) {
      const entry = this.at(number)
      if (entry && entry.end > (place[entry.slot] as number)) return number
    }
    return this.end
  }

  /** Entry by number; undefined if it is gone or not there yet. */
  at(number: number): RecentBatch | undefined {
    return number < this.#dropped ? undefined : this.#entries[number - this.#dropped + this.#head]
  }
}

function charsOf({ batch }: RecentBatch): number {
  let chars = 0
  for (const record of batch.records) chars += record.value.length + 64
  return chars
}

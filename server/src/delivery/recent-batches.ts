import type { LogBatch } from '@pulse/log'
import type { FilterChange } from './scan.ts'
import type { Vector } from './vector.ts'

const charsMax = 16 * 1024 * 1024

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
  #entries: RecentBatch[] = []
  #dropped = 0
  #chars = 0
  /** Per slot: from this offset on everything is here. */
  readonly #from: Vector

  constructor(from: Vector) {
    this.#from = from.slice()
  }

  /** Number of the entry that comes next. */
  get end(): number {
    return this.#dropped + this.#entries.length
  }

  add(entry: RecentBatch): void {
    const chars = charsOf(entry)
    this.#entries.push(entry)
    this.#chars += chars
    while (this.#chars > charsMax && this.#entries.length > 1) this.#drop()
  }

  #drop(): void {
    const oldest = this.#entries.shift() as RecentBatch
    this.#dropped++
    this.#chars -= charsOf(oldest)
    this.#from[oldest.slot] = oldest.end
  }

  /** Number of the first entry that matters to a reader at this place; undefined if something it needs is gone. */
  seek(place: Vector): number | undefined {
    for (let slot = 0; slot < place.length; slot++)
      if ((place[slot] as number) < (this.#from[slot] as number)) return undefined
    const first = this.#entries.findIndex(({ slot, end }) => end > (place[slot] as number))
    return first < 0 ? this.end : this.#dropped + first
  }

  /** Entry by number; undefined if it is gone or not there yet. */
  at(number: number): RecentBatch | undefined {
    return this.#entries[number - this.#dropped]
  }
}

function charsOf({ batch }: RecentBatch): number {
  let chars = 0
  for (const record of batch.records) chars += record.value.length + 64
  return chars
}

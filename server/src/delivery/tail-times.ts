import type { Vector } from './vector.ts'

const limits = {
  /** Microseconds between two marks of a partition. */
  markEveryUs: 1_000_000,
  /** Marks of one partition, of which half are forgotten at once: half an hour at least, and longer with every quiet second. */
  marksMax: 3_600,
} as const

/** Records of one partition that came within a second. */
interface Mark {
  readonly first: number
  /** Offset after the last of them. */
  end: number
  /** When the first was appended, in microseconds since 1970. */
  readonly at: number
}

/** When what came by at the tail was appended, to the second: so old is what a stream further back has before it. */
export class TailTimes {
  readonly #slots = new Map<number, Mark[]>()
  readonly #opened: Vector

  /** `opened`: where the tail was when somebody began to look. */
  constructor(opened: Vector) {
    this.#opened = opened.slice()
  }

  /** Records of a slot came by, from `first` up to `end`. `appendedAt`: microseconds since 1970. */
  add(slot: number, { first, end, appendedAt }: { first: number; end: number; appendedAt: number }): void {
    const marks = this.#slots.get(slot) ?? []
    if (marks.length === 0) this.#slots.set(slot, marks)
    const last = marks.at(-1)
    if (last && appendedAt < last.at + limits.markEveryUs) {
      last.end = end
      return
    }
    marks.push({ first, end, at: appendedAt })
    // Half of them at once: shifting each time would move them all.
    if (marks.length > limits.marksMax) marks.splice(0, limits.marksMax / 2)
  }

  /** When the oldest record at or beyond a place was appended; undefined if there is none, null if it came by too long ago. */
  since(place: Vector): number | null | undefined {
    let oldest: number | undefined
    for (const [slot, offset] of place.entries()) {
      const marks = this.#slots.get(slot) ?? []
      if (offset < (marks[0]?.first ?? (this.#opened[slot] as number))) return null
      if (offset >= (marks.at(-1)?.end ?? 0)) continue
      const at = firstBeyond(marks, offset)
      if (oldest === undefined || at < oldest) oldest = at
    }
    return oldest
  }
}

/** When the mark was appended that an offset lies in. */
function firstBeyond(marks: readonly Mark[], offset: number): number {
  let low = 0
  let high = marks.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if ((marks[middle] as Mark).end <= offset) low = middle + 1
    else high = middle
  }
  return (marks[low] as Mark).at
}

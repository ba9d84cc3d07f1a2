import { type Letter, receivedMs } from './letter.ts'
import { Span } from './span.ts'

/** A letter that is not dealt with. */
export interface Open {
  letter: Letter
  attempts: number
  /** How many of the last attempts the receiver's answers have refused. */
  refusals: number
  /** It failed twice, or is tried again only after longer than we would wait ourselves. */
  isLate: boolean
  /** How many letters the receiver had taken when this one failed last or, before that, was sent. */
  takenBefore: number | undefined
}

/** By key the letters in memory that are not dealt with, in order: the first is sent, the others wait behind it. */
export class Lines {
  readonly #byKey = new Map<string, Open[]>()
  readonly #span = new Span<Open>()

  /** From the first letter of a partition that is not dealt with to its last, over all partitions. */
  get span(): number {
    return this.#span.length
  }

  has(key: string): boolean {
    return this.#byKey.has(key)
  }

  first(key: string): Open | undefined {
    return this.#byKey.get(key)?.[0]
  }

  firsts(): Open[] {
    return [...this.#byKey.values()].flatMap(([first]) => first ?? [])
  }

  length(key: string): number {
    return this.#byKey.get(key)?.length ?? 0
  }

  /** Takes a letter in; true if it is the first of its key. */
  push(letter: Letter): boolean {
    const open: Open = { letter, attempts: 0, refusals: 0, isLate: false, takenBefore: undefined }
    const { key, from } = letter
    if (from.kind === 'stream') this.#span.add(open, from.record)
    const line = this.#byKey.get(key)
    if (line) line.push(open)
    else this.#byKey.set(key, [open])
    return line === undefined
  }

  /** The first of its key is dealt with; true if another one of it is here. */
  shift({ letter: { key } }: Open): boolean {
    const line = this.#byKey.get(key) ?? []
    const first = line.shift()
    if (first) this.#span.delete(first)
    if (line.length === 0) this.#byKey.delete(key)
    return line.length > 0
  }

  /** Takes those of this kind out that wait behind the first of a key. They hold back no position any more. */
  takeBehind({ letter: { key } }: Open, kind: Letter['from']['kind']): Letter[] {
    const [first, ...others] = this.#byKey.get(key) ?? []
    if (!first) return []
    const isTaken = ({ letter }: Open) => letter.from.kind === kind
    this.#byKey.set(key, [first, ...others.filter((open) => !isTaken(open))])
    const taken = others.filter(isTaken)
    for (const open of taken) this.#span.delete(open)
    return taken.map(({ letter }) => letter)
  }

  /** This one holds back no position any more: the database has it. */
  release(open: Open): void {
    this.#span.delete(open)
  }

  /** Whether it is the one that holds back its partition. */
  holdsBack(open: Open): boolean {
    return this.#span.isFirst(open)
  }

  /** Lowers a place, per slot the next offset, to the first letter that is not dealt with. */
  lower(place: Float64Array): Float64Array {
    return this.#span.lower(place)
  }

  /** When the oldest was received, in milliseconds since 1970; infinite if there is none. */
  oldestMs(): number {
    let oldest = Number.POSITIVE_INFINITY
    // The first of a key is not always its oldest: it may have been redriven.
    for (const line of this.#byKey.values())
      for (const { letter } of line) oldest = Math.min(oldest, receivedMs(letter))
    return oldest
  }
}

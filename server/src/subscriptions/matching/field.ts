import type { Path } from '../tree.ts'
import { LengthCounts } from './length-counts.ts'

/** Texts that filters name in one field, as they are or folded. */
export class TextForms {
  readonly whole = new LengthCounts()
  readonly prefix = new LengthCounts()
  readonly suffix = new LengthCounts()

  get isEmpty(): boolean {
    return this.whole.longest < 0 && this.prefix.longest < 0 && this.suffix.longest < 0
  }
}

// The last values of numbers seen, one event of a few: enough to tell a narrow range from a wide one.
const recentCount = 64

/** One path that some filter asks about, and what the present event has there. */
export class Field {
  /** From 1, dense; the order of fields in the trie. */
  readonly id: number
  readonly path: Path
  /** One of 32, shared by fields whose ids are as far apart. */
  readonly bit: number
  /** Tokens of this field, and ranges of clauses that ask about its numbers. */
  references = 0
  /** Tokens alone: how many different values filters tell apart. */
  tokensKnown = 0
  numbersKnown = 0
  ranges = 0
  readonly plain = new TextForms()
  readonly folded = new TextForms()
  /** Lengths of blocks in bits; those of IPv6 with 1,000 added. */
  readonly blocks = new LengthCounts()
  /** Tokens of `constants`, or -1. */
  readonly constants = new Int32Array(4).fill(-1)

  /** The event of which the following speak. */
  stamp = 0
  tokens = new Int32Array(4)
  tokenCount = 0
  numbers = new Float64Array(2)
  numberCount = 0
  readonly #recent = new Float64Array(recentCount)
  #recentSeen = 0

  constructor(id: number, path: Path) {
    this.id = id
    this.path = path
    this.bit = 1 << (id & 31)
  }

  begin(stamp: number): void {
    this.stamp = stamp
    this.tokenCount = 0
    this.numberCount = 0
  }

  addToken(token: number): void {
    if (this.tokenCount === this.tokens.length) {
      const longer = new Int32Array(2 * this.tokenCount)
      longer.set(this.tokens)
      this.tokens = longer
    }
    this.tokens[this.tokenCount++] = token
  }

  addNumber(number: number): void {
    if (this.numberCount === this.numbers.length) {
      const longer = new Float64Array(2 * this.numberCount)
      longer.set(this.numbers)
      this.numbers = longer
    }
    this.numbers[this.numberCount++] = number
    if ((this.stamp & 15) === 0) this.#recent[this.#recentSeen++ % recentCount] = number
  }

  /** Whether the event has a number from low to high, both included. */
  hasNumberIn(low: number, high: number): boolean {
    for (let i = 0; i < this.numberCount; i++) {
      const number = this.numbers[i] as number
      if (number >= low && number <= high) return true
    }
    return false
  }

  /** Which part of recent numbers lay from low to high; a guess by the form of the range while none were seen. */
  shareOf(low: number, high: number): number {
    const seen = Math.min(this.#recentSeen, recentCount)
    if (seen < 16) return Number.isFinite(low) && Number.isFinite(high) ? 0.1 : 0.5
    let inside = 0
    for (let i = 0; i < seen; i++) {
      const number = this.#recent[i] as number
      if (number >= low && number <= high) inside++
    }
    return (inside + 0.5) / seen
  }
}

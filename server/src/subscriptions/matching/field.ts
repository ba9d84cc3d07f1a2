import type { Path } from '../tree.ts'
import type { LengthCounts } from './length-counts.ts'

/** Lengths of the texts that filters name in one field, as they are or folded. */
export interface TextForms {
  whole: LengthCounts | undefined
  prefix: LengthCounts | undefined
  suffix: LengthCounts | undefined
}

// The last values of numbers seen, one event of a few: enough to tell a narrow range from a wide one.
const recentCount = 64
const noTokens = new Int32Array(0)
const noNumbers = new Float64Array(0)

/**
 * One path that some filter asks about, and what the present event has there. Filters may name very many paths, so what
 * most fields do not need is made when it is needed.
 */
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
  plain: TextForms | undefined
  folded: TextForms | undefined
  /** Lengths of blocks in bits; those of IPv6 with 1,000 added. */
  blocks: LengthCounts | undefined
  /** Tokens of `constants`, or -1; undefined if it never had one. */
  constants: Int32Array | undefined

  /** The event of which the following speak. */
  stamp = 0
  tokens = noTokens
  tokenCount = 0
  numbers = noNumbers
  numberCount = 0
  #recent: Float64Array | undefined
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
      const longer = new Int32Array(Math.max(2, 2 * this.tokenCount))
      longer.set(this.tokens)
      this.tokens = longer
    }
    this.tokens[this.tokenCount++] = token
  }

  addNumber(number: number): void {
    if (this.numberCount === this.numbers.length) {
      const longer = new Float64Array(Math.max(2, 2 * this.numberCount))
      longer.set(this.numbers)
      this.numbers = longer
    }
    this.numbers[this.numberCount++] = number
    if ((this.stamp & 15) !== 0) return
    this.#recent ??= new Float64Array(recentCount)
    this.#recent[this.#recentSeen++ % recentCount] = number
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
    if (!this.#recent || seen < 16) return Number.isFinite(low) && Number.isFinite(high) ? 0.1 : 0.5
    let inside = 0
    for (let i = 0; i < seen; i++) {
      const number = this.#recent[i] as number
      if (number >= low && number <= high) inside++
    }
    return (inside + 0.5) / seen
  }
}

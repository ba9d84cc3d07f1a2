import type { Tree } from '../tree.ts'
import type { Compiled } from './compiled.ts'
import { KeyedHash } from './keyed-hash.ts'

/**
 * 128 bits by which equal filters are known. They are taken of tokens and fields, whose numbers stay the same as long as
 * a filter uses them. A filter that may have to be asked itself counts as it is written, besides.
 */
export class Identity {
  readonly #hash = new KeyedHash()
  #words = new Int32Array(256)
  #length = 0

  /** The four words, which stay until the next call. */
  of(compiled: Compiled, tree: Tree): Int32Array {
    this.#length = 0
    for (const { sets, ranges, conditions } of compiled.clauses) {
      this.#push(sets.length)
      this.#push(ranges.length)
      this.#push(conditions.length)
      for (const { field, tokens } of sets) {
        this.#push(field.id)
        this.#pushAll(tokens)
      }
      for (const { field, low, high } of ranges) {
        this.#push(field.id)
        this.#pushNumber(low)
        this.#pushNumber(high)
      }
      for (const condition of conditions) this.#pushAll(condition)
    }
    if (compiled.asks) {
      const text = JSON.stringify(tree)
      for (let i = 0; i < text.length; i++) this.#push(text.charCodeAt(i))
    }
    this.#hash.hash(this.#words, this.#length)
    return this.#hash.words
  }

  // With their count, so that where a list ends does not depend on what is in it.
  #pushAll(words: readonly number[]): void {
    this.#push(words.length)
    for (let i = 0; i < words.length; i++) this.#push(words[i] as number)
  }

  #pushNumber(number: number): void {
    double[0] = number + 0
    this.#push(halves[0] as number)
    this.#push(halves[1] as number)
  }

  #push(word: number): void {
    if (this.#length === this.#words.length) {
      const longer = new Int32Array(2 * this.#words.length)
      longer.set(this.#words)
      this.#words = longer
    }
    this.#words[this.#length++] = word
  }
}

const double = new Float64Array(1)
const halves = new Int32Array(double.buffer)

import type { Event } from '@pulse/protocol/event'
import type { Fields } from './fields.ts'
import { IntLists } from './int-lists.ts'
import type { Tokens } from './tokens.ts'

/**
 * What a clause asks besides the tokens and the range by which the trie finds it: a list of int32, in which each
 * condition is its kind, its length, and its operands.
 *
 * - `any`, `none`: at least one, or none, of the tokens; a field id (or 0), then the tokens, rising.
 * - `range`, `outside`: some, or no, number of the field from low to high; the field id, low and high as two int32 each.
 * - `ask`: where the token holds, the clause cannot tell and the tree must be asked; stands first.
 */
export const conditionKinds = { ask: 0, any: 1, none: 2, range: 3, outside: 4 } as const

/** One condition. Lists of conditions are sorted, so those that ask stand first. */
export type Condition = readonly number[]

/** What the conditions say of an event. */
export type Verdict = 'no' | 'yes' | 'ask'

// From here on the event's few tokens are looked for among the condition's many.
const tokensTriedMax = 12

const bits = new Int32Array(4)
const ends = new Float64Array(bits.buffer)

/** The two int32 each of low and high. */
export function rangeOperands(low: number, high: number): readonly number[] {
  ends[0] = low + 0
  ends[1] = high + 0
  return [...bits]
}

/** The conditions of all clauses that have some. */
export class Residuals {
  readonly #lists = new IntLists()
  readonly #tokens: Tokens
  readonly #fields: Fields

  constructor(of: { tokens: Tokens; fields: Fields }) {
    this.#tokens = of.tokens
    this.#fields = of.fields
  }

  /** Memory held, in bytes. */
  get bytes(): number {
    return this.#lists.bytes
  }

  get size(): number {
    return this.#lists.size
  }

  /** Stores the conditions; returns what they are called. */
  add(conditions: readonly Condition[]): number {
    const list = conditions.flat()
    return this.#lists.add([list.length + 1, ...list])
  }

  free(residual: number): void {
    this.#lists.free(residual)
  }

  /** Tries the conditions on the event of this stamp, which the fields have read. */
  try(residual: number, event: Event, stamp: number): Verdict {
    const list = this.#lists.chunkOf(residual)
    const start = this.#lists.startOf(residual)
    const end = start + (list[start] as number)
    for (let at = start + 1; at < end; ) {
      const kind = list[at] as number
      const next = at + 2 + (list[at + 1] as number)
      if (kind === conditionKinds.ask) {
        if (this.#tokens.has(list[at + 2] as number, stamp, event)) return 'ask'
      } else if (kind <= conditionKinds.none) {
        const wanted = kind === conditionKinds.any
        if (this.#hasAny(list, at + 2, next, event, stamp) !== wanted) return 'no'
      } else if (this.#isInRange(list, at + 2, stamp) !== (kind === conditionKinds.range)) return 'no'
      at = next
    }
    return 'yes'
  }

  // Plain numbers instead of an object for the place: this runs for every candidate.
  #hasAny(list: Int32Array, from: number, to: number, event: Event, stamp: number): boolean {
    const id = list[from] as number
    if (to - from > tokensTriedMax && id > 0) {
      const field = this.#fields.byId(id)
      const tokenCount = field.stamp === stamp ? field.tokenCount : 0
      if (tokenCount * 8 < to - from) {
        for (let i = 0; i < tokenCount; i++)
          if (contains(list, from + 1, to, field.tokens[i] as number)) return true
        return false
      }
    }
    for (let at = from + 1; at < to; at++) if (this.#tokens.has(list[at] as number, stamp, event)) return true
    return false
  }

  #isInRange(list: Int32Array, at: number, stamp: number): boolean {
    const field = this.#fields.byId(list[at] as number)
    if (field.stamp !== stamp) return false
    for (let i = 0; i < 4; i++) bits[i] = list[at + 1 + i] as number
    return field.hasNumberIn(ends[0] as number, ends[1] as number)
  }
}

/** Whether the number stands in the rising list from `from` to `to`. */
function contains(list: Int32Array, from: number, to: number, wanted: number): boolean {
  let [low, high] = [from, to]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((list[middle] as number) < wanted) low = middle + 1
    else high = middle
  }
  return low < to && list[low] === wanted
}

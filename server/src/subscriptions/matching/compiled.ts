import type { Field } from './field.ts'
import type { Condition } from './residuals.ts'

/** One of these tokens must be there. */
export interface TokenSet {
  readonly field: Field
  /** Rising, each once. */
  readonly tokens: readonly number[]
  /** It asks only that there is some value. */
  readonly weak: boolean
}

/** Some number of the field must lie from low to high, both included. */
export interface NumberRange {
  readonly field: Field
  readonly low: number
  readonly high: number
}

/** A clause in numbers. Equal clauses are equal in all. */
export interface CompiledClause {
  /** By field, then tokens. */
  readonly sets: readonly TokenSet[]
  /** By field, then ends. */
  readonly ranges: readonly NumberRange[]
  /** What neither of the two can say. */
  readonly conditions: readonly Condition[]
}

export interface Compiled {
  readonly clauses: readonly CompiledClause[]
  /** All tokens and, for ranges, fields that it uses, as often as it does. */
  readonly tokens: readonly number[]
  readonly ranged: readonly Field[]
  /** Some clause may be unable to tell, so the tree is needed. */
  readonly asks: boolean
}

/** Without the sets that ask only for some value of a field of which another set asks for more. */
export function withoutImplied(sets: readonly TokenSet[]): readonly TokenSet[] {
  if (!sets.some(({ weak }) => weak)) return sets
  return sets.filter((set) => !set.weak || !sets.some((other) => !other.weak && other.field === set.field))
}

/** An order of clauses in which only equal ones are equal; so are the following of their parts. */
export function compareClauses(one: CompiledClause, other: CompiledClause): number {
  return (
    compareAll(one.sets, other.sets, compareSets) ||
    compareAll(one.ranges, other.ranges, compareRanges) ||
    compareAll(one.conditions, other.conditions, compareLists)
  )
}

export const compareSets = (one: TokenSet, other: TokenSet): number =>
  one.field.id - other.field.id || compareLists(one.tokens, other.tokens)

export const compareRanges = (one: NumberRange, other: NumberRange): number =>
  one.field.id - other.field.id || compareNumbers(one.low, other.low) || compareNumbers(one.high, other.high)

// Not by difference: that of two infinities is no number.
export const compareNumbers = (one: number, other: number): number => (one < other ? -1 : one > other ? 1 : 0)

export const compareLists = (one: readonly number[], other: readonly number[]): number =>
  compareAll(one, other, compareNumbers)

function compareAll<T>(one: readonly T[], other: readonly T[], compare: (a: T, b: T) => number): number {
  const length = Math.min(one.length, other.length)
  for (let i = 0; i < length; i++) {
    const difference = compare(one[i] as T, other[i] as T)
    if (difference !== 0) return difference
  }
  return one.length - other.length
}

/** Sorted, and without repeats. */
export function eachOnce<T>(list: readonly T[], compare: (one: T, other: T) => number): readonly T[] {
  let isSorted = true
  for (let i = 1; i < list.length && isSorted; i++) isSorted = compare(list[i - 1] as T, list[i] as T) < 0
  // Nearly always: filters name their members in one order.
  if (isSorted) return list
  const sorted = [...list].sort(compare)
  return sorted.filter((each, i) => i === 0 || compare(sorted[i - 1] as T, each) !== 0)
}

import { type CompiledClause, compareLists, type NumberRange, type TokenSet } from './compiled.ts'
import type { Field } from './field.ts'
import { type Condition, conditionKinds, rangeOperands } from './residuals.ts'

/** How a clause stands in the trie. */
export interface Plan {
  /** One token of each set leads to the next; in the order of fields. */
  readonly path: readonly TokenSet[]
  /** The range that decides at the end of the path: what all ranges of its field have in common. */
  readonly range: NumberRange | undefined
  /** Several ranges were made one, which says less where an event has several numbers: they are conditions as well. */
  readonly merged: boolean
  readonly conditions: readonly Condition[]
  /** What was chosen, to find the way again. */
  readonly choice: number
}

// A path for every combination: so many at most, unless the best set alone has more values.
const pathsMax = 64
const pathLengthMax = 8
// A choice is one bit for each of the first sets, then the place of the field among the ranged ones.
const setBits = 16
const rangeBits = 6

/**
 * Chooses the sets by which a clause is found, the most selective first, and the narrowest of its ranges; the rest
 * become conditions. What is selective depends on the values and numbers known at this moment, hence `choice`.
 */
export function choose(clause: CompiledClause): Plan {
  if (fits(clause)) return planOf(clause, plainChoice(clause))
  const ranked = clause.sets
    .slice(0, setBits)
    .map((set, index) => ({ set, index, share: shareOf(set) }))
    .sort((one, other) => one.share - other.share)
  let [bits, paths, length] = [0, 1, 0]
  for (const { set, index } of ranked) {
    // That there is some value is worth a level of the trie only where nothing else is known.
    if (set.weak && (length > 0 || clause.ranges.length > 0)) continue
    if (length > 0 && paths * set.tokens.length > pathsMax) continue
    if (length === pathLengthMax) break
    paths *= set.tokens.length
    length++
    bits |= 1 << index
  }
  const ranges = rangesByField(clause).slice(0, 1 << rangeBits)
  let [best, share] = [0, Number.POSITIVE_INFINITY]
  for (const [place, range] of ranges.entries()) {
    const its = ranges.length === 1 ? 0 : range.field.shareOf(range.low, range.high)
    if (its < share) [best, share] = [place, its]
  }
  return planOf(clause, bits | (best << setBits))
}

/** Whether there is nothing to choose: all sets fit, and there is no second range. */
function fits({ sets, ranges }: CompiledClause): boolean {
  if (sets.length > pathLengthMax || ranges.length > 1) return false
  let paths = 1
  for (const set of sets) {
    if (set.weak && (sets.length > 1 || ranges.length > 0)) return false
    paths *= set.tokens.length
  }
  return paths <= pathsMax
}

/** The plan of an earlier choice. */
export function planOf(clause: CompiledClause, choice: number): Plan {
  if (clause.ranges.length < 2 && choice === plainChoice(clause))
    return {
      path: clause.sets,
      range: clause.ranges[0],
      merged: false,
      conditions: clause.conditions,
      choice,
    }
  const path: TokenSet[] = []
  const conditions: Condition[] = []
  for (const [index, set] of clause.sets.entries()) {
    if (index < setBits && (choice & (1 << index)) !== 0) path.push(set)
    else conditions.push(conditionOfSet(set))
  }
  const ranges = rangesByField(clause)
  const chosen = ranges[choice >>> setBits]
  for (const range of clause.ranges)
    if (range.field !== chosen?.field || chosen.parts > 1) conditions.push(conditionOfRange(range))
  if (conditions.length > 0) {
    // What asks must stand first, as it does among the clause's own.
    conditions.push(...clause.conditions)
    conditions.sort(compareLists)
  }
  return {
    path,
    range: chosen,
    merged: chosen !== undefined && chosen.parts > 1,
    conditions: conditions.length > 0 ? conditions : clause.conditions,
    choice,
  }
}

/** The choice of a clause that has no conditions: all of its sets, and its only range. */
export const plainChoice = ({ sets }: CompiledClause): number => (1 << sets.length) - 1

const conditionOfSet = ({ field, tokens }: TokenSet): Condition => [
  conditionKinds.any,
  tokens.length + 1,
  field.id,
  ...tokens,
]

const conditionOfRange = ({ field, low, high }: NumberRange): Condition => [
  conditionKinds.range,
  5,
  field.id,
  ...rangeOperands(low, high),
]

// Of ten known values of a field, a set of two is a fifth. The few more are for those that nobody has named yet.
const shareOf = ({ field, tokens, weak }: TokenSet): number =>
  weak ? 1 : tokens.length / (field.tokensKnown + 8)

function rangesByField(clause: CompiledClause): readonly (NumberRange & { parts: number })[] {
  const [only] = clause.ranges
  if (clause.ranges.length < 2) return only ? [{ ...only, parts: 1 }] : []
  const byField = new Map<Field, { field: Field; low: number; high: number; parts: number }>()
  for (const { field, low, high } of clause.ranges) {
    const range = byField.get(field) ?? { field, low, high, parts: 0 }
    range.low = Math.max(range.low, low)
    range.high = Math.min(range.high, high)
    range.parts++
    byField.set(field, range)
  }
  return [...byField.values()]
}

import type { SimpleFilter } from '@pulse/protocol/filter'
import type { Path, Test, Tree } from './tree.ts'
import { allOf } from './tree-building.ts'

const type: Path = ['event_type']
const tier: Path = ['properties', 'user_tier']
const amount: Path = ['properties', 'amount']

/**
 * The original's filter as a tree: the type is in the list, and the tier is if there is a list, and the amount is at least
 * the minimum if there is one. An empty list of types matches nothing, one of tiers anything; a minimum of 0 asks nothing,
 * as in the original; and an amount that is absent or null counts as 0, so it passes a minimum below 0.
 */
export function treeOfSimple({ event_types, user_tiers, min_amount }: SimpleFilter): Tree {
  if (event_types.length === 0) return { kind: 'any', of: [] }
  return allOf([
    isOneOf(type, event_types),
    ...(user_tiers && user_tiers.length > 0 ? [isOneOf(tier, user_tiers)] : []),
    ...(min_amount ? [isAtLeast(min_amount)] : []),
  ])
}

const isOneOf = (path: Path, values: readonly string[]): Tree => ({
  kind: 'some',
  path,
  test: { kind: 'equals', values: [...new Set(values)] },
})

function isAtLeast(least: number): Tree {
  const range: Test = {
    kind: 'range',
    low: { value: least, included: true },
    high: { value: Infinity, included: false },
  }
  const reaches: Tree = { kind: 'some', path: amount, test: range }
  if (least > 0) return reaches
  return {
    kind: 'any',
    of: [
      reaches,
      { kind: 'some', path: amount, test: { kind: 'equals', values: [null] } },
      { kind: 'none', path: amount, test: { kind: 'exists' } },
    ],
  }
}

/**
 * The simple form of a tree that asks only what it can say, in whatever form it was written; undefined for any other tree.
 * What means nothing is gone: no tiers are null, and so is no minimum.
 */
export function simpleOf(tree: Tree): SimpleFilter | undefined {
  if (tree.kind === 'any' && tree.of.length === 0)
    return { event_types: [], user_tiers: null, min_amount: null }
  const found: { types?: string[]; tiers?: string[]; least?: number } = {}
  for (const part of tree.kind === 'all' ? tree.of : [tree]) {
    const types = textsOf(part, type)
    const tiers = textsOf(part, tier)
    const least = leastOf(part)
    if (types && !found.types) found.types = types
    else if (tiers && !found.tiers) found.tiers = tiers
    else if (least !== undefined && found.least === undefined) found.least = least
    else return undefined
  }
  if (!found.types) return undefined
  return { event_types: found.types, user_tiers: found.tiers ?? null, min_amount: found.least ?? null }
}

/** The texts that the path must equal one of, if that is what the tree asks. */
function textsOf(tree: Tree, path: Path): string[] | undefined {
  if (tree.kind !== 'some' || tree.test.kind !== 'equals' || !isAt(tree, path)) return undefined
  const texts = tree.test.values.filter((value) => typeof value === 'string' && value !== '')
  return texts.length === tree.test.values.length ? (texts as string[]) : undefined
}

const isAt = (tree: Extract<Tree, { test: Test }>, path: Path): boolean =>
  tree.path.join('\n') === path.join('\n')

/** The least amount, if that is what the tree asks; for one below 0 the amount may also be null or missing. */
function leastOf(tree: Tree): number | undefined {
  const parts = tree.kind === 'any' ? tree.of : [tree]
  const lows = parts.flatMap((part) => lowOf(part) ?? [])
  const [least] = lows
  if (least === undefined || lows.length > 1) return undefined
  if (least > 0) return parts.length === 1 ? least : undefined
  const isNullable = parts.some((part) => {
    const isNull = part.kind === 'some' && part.test.kind === 'equals' && isAt(part, amount)
    return isNull && part.test.values.length === 1 && part.test.values[0] === null
  })
  const isOptional = parts.some(
    (part) => part.kind === 'none' && part.test.kind === 'exists' && isAt(part, amount),
  )
  return least < 0 && parts.length === 3 && isNullable && isOptional ? least : undefined
}

function lowOf(tree: Tree): number | undefined {
  if (tree.kind !== 'some' || tree.test.kind !== 'range' || !isAt(tree, amount)) return undefined
  const { low, high } = tree.test
  return low.included && high.value === Infinity ? low.value : undefined
}

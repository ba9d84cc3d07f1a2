import type { Condition } from '@pulse/protocol/filter'
import { parseExpression } from './expression.ts'
import { FilterError } from './filter-error.ts'
import { parsePattern } from './pattern.ts'
import { treeOfSimple } from './simple-form.ts'
import { filterLimits, type Tree } from './tree.ts'

/** The tree of a condition in any of its three forms. Throws a `FilterError`, whose pointer begins at the form's own value. */
export function treeOf(condition: Condition): Tree {
  if ('pattern' in condition) return parsePattern(condition.pattern)
  if ('expression' in condition) return parseExpression(condition.expression)
  const chars = JSON.stringify(condition).length
  if (chars > filterLimits.charsMax)
    throw new FilterError(
      'filter_too_wide',
      `a filter has at most ${filterLimits.charsMax} characters, not ${chars}`,
    )
  return treeOfSimple(condition)
}

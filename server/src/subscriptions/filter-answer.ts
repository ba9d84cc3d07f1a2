import type { Condition, Filter, SimpleFilter } from '@pulse/protocol/filter'
import { formatStreamPosition } from '@pulse/protocol/stream-position'
import { treeOf } from './condition.ts'
import { printExpression } from './expression.ts'
import type { FilterRow } from './filter-store.ts'
import { printPattern } from './pattern.ts'
import { simpleOf } from './simple-form.ts'
import type { Tree } from './tree.ts'

/** A stored filter as the API shows it: what was submitted as it was, and the other forms where they can say it. */
export function filterOf(row: FilterRow): Filter {
  if (row.condition === null) throw new Error('a deleted filter is not shown')
  return {
    subscriber_id: row.subscriber,
    name: row.name,
    ...formsOf(row.condition, treeOf(row.condition)),
    version: row.version,
    effective: row.effective && formatStreamPosition(row.effective),
    created_at: row.createdAt,
    updated_at: row.changedAt,
  }
}

/** The three forms of a condition, as far as they can say it. */
export function formsOf(condition: Condition, tree: Tree) {
  const simple = simpleFormOf(condition, tree)
  return {
    ...(simple && {
      event_types: simple.event_types,
      user_tiers: simple.user_tiers ?? null,
      min_amount: simple.min_amount ?? null,
    }),
    pattern: 'pattern' in condition ? condition.pattern : (printPattern(tree) ?? null),
    expression: 'expression' in condition ? condition.expression : printExpression(tree),
  }
}

// What was submitted says more than the tree: an amount of 0 asks for nothing, and is shown all the same.
function simpleFormOf(condition: Condition, tree: Tree): SimpleFilter | undefined {
  return 'event_types' in condition ? condition : simpleOf(tree)
}

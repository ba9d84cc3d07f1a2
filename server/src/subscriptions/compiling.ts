import type { Condition } from '@pulse/protocol/filter'
import { ProblemError } from '../http/problem-error.ts'
import { treeOf } from './condition.ts'
import { costOf } from './cost.ts'
import { FilterError } from './filter-error.ts'
import type { Tree } from './tree.ts'

/** A condition in the form that is matched, with what it costs. */
export interface Compiled {
  readonly tree: Tree
  readonly cost: ReturnType<typeof costOf>
}

/**
 * Reads a condition. `at`: JSON Pointer of the condition in what the client sent.
 * Throws ProblemError `invalid_filter`, or `filter_too_wide` for one with too many alternatives.
 */
export function compile(condition: Condition, at = ''): Compiled {
  return explained(condition, at, () => {
    const tree = treeOf(condition)
    return { tree, cost: costOf(tree) }
  })
}

/** The same without its cost, so that a filter can be tried that would be refused for it. Throws `invalid_filter`. */
export function read(condition: Condition, at = ''): Tree {
  return explained(condition, at, () => treeOf(condition))
}

function explained<T>(condition: Condition, at: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof FilterError) throw problemOf(error, `${at}${memberOf(condition)}`)
    throw error
  }
}

/** Where a condition's own form stands in it. */
function memberOf(condition: Condition): string {
  if ('pattern' in condition) return '/pattern'
  return 'expression' in condition ? '/expression' : ''
}

/** A refusal as an answer; `at` is where the pattern or expression stands in what the client sent. */
function problemOf(error: FilterError, at: string): ProblemError {
  const place = error.at === undefined ? '' : ` (at character ${error.at + 1})`
  const detail = `${error.message}${place}`
  return new ProblemError(error.code, `The filter cannot be taken: ${detail}.`, {
    errors: [{ pointer: `${at}${error.pointer}`, detail }],
    cause: error,
  })
}

import type { Event } from '@pulse/protocol/event'
import { isInBlock, readAddress, readBlock } from './addresses.ts'
import { printExpression } from './expression.ts'
import { foldCase } from './fold-case.ts'
import type { Path, Scalar, Test, Tree } from './tree.ts'
import { negated, partsOf } from './tree-building.ts'
import { readWildcard, wildcardMatches } from './wildcard.ts'

/** An object of the event, or the event itself. */
type Members = Readonly<Record<string, unknown>>

/**
 * Whether an event passes a filter. The judge: plain code that reads like the words of `tree.ts`, takes time in
 * proportion to the filter, and is what the matching index is compared with. Never throws for a tree within `filterLimits`.
 */
export function matches(tree: Tree, event: Event): boolean {
  return holds(tree, event as object as Members)
}

/** Whether a tree holds for one object, from which its paths begin. */
export function holds(tree: Tree, object: Members): boolean {
  switch (tree.kind) {
    case 'all':
      return tree.of.every((each) => holds(each, object))
    case 'any':
      return tree.of.some((each) => holds(each, object))
    case 'not':
      return !holds(tree.of, object)
    case 'some':
      return anyAt(object, tree.path, (value) => isScalar(value) && passes(tree.test, value))
    case 'none':
      return !anyAt(object, tree.path, (value) => isScalar(value) && passes(tree.test, value))
    case 'within':
      return anyAt(object, tree.path, (value) => isMembers(value) && holds(tree.of, value))
  }
}

/**
 * Why an event does not pass a filter: every test that stands in the way, in the words of the expression, with what was found
 * instead unless `values` is false. Of alternatives all are named, for each would have done. Empty if the event passes.
 */
export function whyNot(tree: Tree, event: Event, { values = true } = {}): readonly string[] {
  const members = event as object as Members
  const say = (test: Tree) => `${printExpression(test)}${values ? `: ${found(test, members)}` : ''}`
  return reasons(tree, members, say)
}

type Say = (test: Tree) => string

function reasons(tree: Tree, event: Members, say: Say): readonly string[] {
  if (holds(tree, event)) return []
  const { kind } = tree
  if (kind === 'all' || kind === 'any') return reasonsOf(partsOf(tree), event, say)
  return kind === 'not' ? reasonsAgainst(tree.of, event, say) : [say(tree)]
}

/** Why a tree holds that should not. */
function reasonsAgainst(tree: Tree, event: Members, say: Say): readonly string[] {
  const { kind } = tree
  if (kind === 'all' || kind === 'any') return reasonsOf(partsOf(tree).map(negated), event, say)
  return kind === 'not' ? reasons(tree.of, event, say) : [say({ kind: 'not', of: tree })]
}

function reasonsOf(parts: readonly Tree[], event: Members, say: Say): readonly string[] {
  if (parts.length === 0) return ['nothing: no event passes this']
  return [...new Set(parts.flatMap((each) => reasons(each, event, say)))]
}

const shownMax = { values: 5, chars: 100 } as const

function found(tree: Tree, event: Members): string {
  if (tree.kind === 'not') return found(tree.of, event)
  if (tree.kind === 'within') {
    let objects = 0
    anyAt(event, tree.path, (value) => {
      if (isMembers(value)) objects++
      return false
    })
    return objects === 0 ? 'there is no such object' : `found ${objects} object${objects === 1 ? '' : 's'}`
  }
  const values = 'path' in tree ? valuesAt(event, tree.path) : []
  if (values.length === 0) return 'there is no value'
  const shown = values.slice(0, shownMax.values).map((value) => {
    const text = JSON.stringify(value)
    return text.length > shownMax.chars ? `${text.slice(0, shownMax.chars)}…` : text
  })
  const more = values.length - shown.length
  return `found ${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

/** The values of a path in the order of the event: what is no object and no array, each element for itself. */
function valuesAt(object: Members, path: Path): readonly Scalar[] {
  const values: Scalar[] = []
  anyAt(object, path, (value) => {
    if (isScalar(value)) values.push(value)
    return false
  })
  return values
}

/** Whether one value passes a test. */
export function passes(test: Test, value: Scalar): boolean {
  switch (test.kind) {
    case 'exists':
      return true
    case 'equals':
      return test.values.includes(value)
    case 'other':
      return !passes(test.than, value)
    case 'range':
      return typeof value === 'number' && isAbove(value, test.low) && isAbove(-value, negative(test.high))
    default:
      return typeof value === 'string' && passesText(test, value)
  }
}

type TextTest = Exclude<Test, { kind: 'exists' | 'equals' | 'other' | 'range' }>

function passesText(test: TextTest, text: string): boolean {
  switch (test.kind) {
    case 'equals-ignore-case':
      return test.values.some((each) => foldCase(each) === foldCase(text))
    case 'prefix': {
      const fold = test.ignoreCase ? foldCase : same
      return test.values.some((each) => fold(text).startsWith(fold(each)))
    }
    case 'suffix': {
      const fold = test.ignoreCase ? foldCase : same
      return test.values.some((each) => fold(text).endsWith(fold(each)))
    }
    case 'wildcard':
      return test.values.some((each) => wildcardMatches(readWildcard(each) ?? [each], text))
    case 'cidr': {
      const address = readAddress(text)
      return address !== undefined && test.blocks.some((each) => contains(each, address))
    }
  }
}

const same = (text: string): string => text

function contains(written: string, address: Uint8Array): boolean {
  const block = readBlock(written)
  return block !== undefined && isInBlock(address, block)
}

type Bound = Extract<Test, { kind: 'range' }>['low']

const isAbove = (value: number, low: Bound): boolean =>
  low.included ? value >= low.value : value > low.value

const negative = (high: Bound): Bound => ({ value: -high.value, included: high.included })

/**
 * Whether anything that the path leads to is accepted. Only an object's own members count: nothing is called
 * `constructor` unless the event says so. The recursion ends with the event, whose depth is limited at the door.
 */
function anyAt(value: unknown, path: Path, accept: (found: unknown) => boolean, depth = 0): boolean {
  if (Array.isArray(value)) return value.some((each) => anyAt(each, path, accept, depth))
  const name = path[depth]
  if (name === undefined) return accept(value)
  return isMembers(value) && Object.hasOwn(value, name) && anyAt(value[name], path, accept, depth + 1)
}

function isScalar(value: unknown): value is Scalar {
  return (
    value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
  )
}

function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

import { eventSchema } from '@pulse/protocol/event'
import { readBlock } from './addresses.ts'
import { FilterError, type FilterErrorCode } from './filter-error.ts'
import { type Bound, filterLimits, type Path, type Test, type Tree } from './tree.ts'
import { partsOf } from './tree-building.ts'
import { readWildcard } from './wildcard.ts'

/** What is wrong with a part of a filter, without the place, which only its reader knows. */
export interface Flaw {
  readonly code: FilterErrorCode
  readonly message: string
}

const invalid = (message: string): Flaw => ({ code: 'invalid_filter', message })
const tooWide = (message: string): Flaw => ({ code: 'filter_too_wide', message })

const eventMembers: readonly string[] = Object.keys(eventSchema.shape)

/** What is wrong with one text of a test. */
export function flawOfText(text: string): Flaw | undefined {
  return text.length > filterLimits.valueCharsMax
    ? tooWide(`a text in a filter has at most ${filterLimits.valueCharsMax} characters, not ${text.length}`)
    : undefined
}

export function flawOfWildcard(text: string): Flaw | undefined {
  if (readWildcard(text)) return flawOfText(text)
  return invalid(
    text.includes('**')
      ? 'two * in a row say no more than one'
      : 'in a wildcard a backslash stands only before * or another backslash',
  )
}

export function flawOfBlock(text: string): Flaw | undefined {
  if (readBlock(text)) return undefined
  const example = text.includes('/') ? '10.0.0.0/8 or 2001:db8::/32' : '10.0.0.0/8, or 10.1.2.3/32 for one'
  return flawOfText(text) ?? invalid(`${JSON.stringify(text)} is no block of addresses, such as ${example}`)
}

export function flawOfNumber(number: number): Flaw | undefined {
  return Number.isFinite(number) ? undefined : invalid('the number is too large')
}

export function flawOfRange(low: Bound, high: Bound): Flaw | undefined {
  if (low.value < high.value || (low.value === high.value && low.included && high.included)) return undefined
  return invalid(`no number lies between ${low.value} and ${high.value} as written`)
}

/** `count` values stand in one list. */
export function flawOfList(count: number): Flaw | undefined {
  return count > filterLimits.valuesMax
    ? tooWide(`a list in a filter has at most ${filterLimits.valuesMax} values, not ${count}`)
    : undefined
}

/** `place`: whether the path begins at the event or at an object in it, and whether it should lead to an object. */
export function flawOfPath(path: Path, place: { inEvent: boolean; toObject: boolean }): Flaw | undefined {
  if (path.length > filterLimits.pathDepthMax)
    return tooWide(`a path in a filter has at most ${filterLimits.pathDepthMax} members`)
  const long = path.find((name) => name.length > filterLimits.valueCharsMax)
  if (long !== undefined) return flawOfText(long)
  const [first = ''] = path
  if (!place.inEvent) return undefined
  if (!eventMembers.includes(first))
    return invalid(
      `events have no member ${shown(first)}, only ${eventMembers.join(', ')}; did you mean properties.${shown(first)}?`,
    )
  if (first === 'properties')
    return path.length > 1 || place.toObject
      ? undefined
      : invalid('properties is an object: name one of its members, such as properties.amount')
  return path.length > 1 || place.toObject ? invalid(`${first} is no object`) : undefined
}

const shown = (name: string): string =>
  /^[\w$@-]+$/.test(name) ? name.slice(0, 40) : JSON.stringify(name.slice(0, 40))

/** The sizes that only the whole tree has. Throws a `filter_too_wide` if one is above its limit. */
export function checkSize(tree: Tree): void {
  const size = sizeOf(tree)
  const { testsMax, treeDepthMax, wildcardsMax } = filterLimits
  if (size.depth > treeDepthMax)
    throw new FilterError('filter_too_wide', `a filter is at most ${treeDepthMax} deep, not ${size.depth}`)
  if (size.tests > testsMax)
    throw new FilterError('filter_too_wide', `a filter has at most ${testsMax} tests, not ${size.tests}`)
  if (size.wildcards > wildcardsMax)
    throw new FilterError(
      'filter_too_wide',
      `a filter has at most ${wildcardsMax} wildcards with a * elsewhere than at one end, not ${size.wildcards}`,
    )
}

interface Size {
  readonly tests: number
  readonly depth: number
  readonly wildcards: number
}

function sizeOf(tree: Tree): Size {
  if ('test' in tree) return { tests: 1, depth: 1, wildcards: wildcardsIn(tree.test) }
  const parts = partsOf(tree).map(sizeOf)
  const sum = (count: (part: Size) => number) => parts.reduce((total, part) => total + count(part), 0)
  return {
    tests: sum(({ tests }) => tests),
    depth: 1 + Math.max(0, ...parts.map(({ depth }) => depth)),
    wildcards: sum(({ wildcards }) => wildcards),
  }
}

function wildcardsIn(test: Test): number {
  if (test.kind === 'other') return wildcardsIn(test.than)
  return test.kind === 'wildcard' ? test.values.length : 0
}

import { FilterError } from './filter-error.ts'
import { holds } from './matches.ts'
import { testsOfPattern } from './pattern-tests.ts'
import { filterLimits, type Path, type Tree } from './tree.ts'
import { allOf, anyOf, below, someOf } from './tree-building.ts'
import { checkSize, type Flaw, flawOfPath } from './tree-limits.ts'

export { printPattern } from './pattern-printer.ts'

type Members = Readonly<Record<string, unknown>>

/** Where the reader is in the pattern. */
interface Place {
  readonly pointer: string
  /** The members of the event that lead here. */
  readonly path: Path
  /** How many objects and `$or` stand around. */
  readonly depth: number
}

/**
 * Reads an EventBridge pattern over the event: `{"event_type": ["order.paid"], "properties": {"amount": [{"numeric":
 * [">", 100]}]}}`. Members must all match, values in a list are alternatives, `$or` takes a list of objects.
 *
 * It means what event-ruler and Quamina make of it. Only values are asked, so `exists` is false for an object and for an
 * empty list; an element of an array stands for the array; and what one object of the pattern asks below an array is asked
 * of one and the same element. Absence is then absence in that element; where the object asks for nothing but
 * absence, it is absence in all of them. On purpose otherwise than event-ruler:
 * - Numbers are doubles without limits, and equal where their values are. A text that is an address equals only itself.
 * - Names with dots are names, not paths, and a first member that no event has is refused rather than never matching.
 * - `anything-but` takes lists of mixed values, also null and booleans; still the value must be there.
 * - `$or` is always the alternative, whatever the names in it, and its objects stand for themselves: below an array they may
 *   be met by another element than the members beside it.
 * - `cidr` takes `/32` and `/128`, and does not look at bits behind the mask.
 * - Letters are compared without case by Unicode's simple folding.
 *
 * Throws a `FilterError` with a JSON Pointer into the pattern.
 */
export function parsePattern(json: unknown): Tree {
  const tree = readObject(json, { pointer: '', path: [], depth: 0 })
  checkSize(tree)
  const chars = JSON.stringify(json).length
  if (chars > filterLimits.charsMax)
    throw new FilterError(
      'filter_too_wide',
      `a pattern has at most ${filterLimits.charsMax} characters, not ${chars}`,
    )
  return tree
}

function readObject(json: unknown, place: Place): Tree {
  // Before anything goes deeper: a hostile pattern may be nested further than the stack is.
  if (place.depth > filterLimits.pathDepthMax + filterLimits.treeDepthMax)
    refuse(place.pointer, { code: 'filter_too_wide', message: 'the pattern is nested too deep' })
  if (!isObject(json)) return invalid(place.pointer, 'must be an object whose members are those of the event')
  const members = Object.entries(json)
  if (members.length === 0) return invalid(place.pointer, 'must name at least one member')
  return allOf(members.map(([name, value]) => readMember(name, value, place)))
}

function readMember(name: string, value: unknown, outer: Place): Tree {
  const pointer = `${outer.pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
  const depth = outer.depth + 1
  if (name === '$or') return readAlternatives(value, { pointer, path: outer.path, depth })
  const path = [...outer.path, name]
  const isList = Array.isArray(value)
  if (!isList && !isObject(value))
    return invalid(pointer, `must be a list of values or an object: ${example(value)}`)
  refuseIf(pointer, flawOfPath(path, { inEvent: true, toObject: !isList }))
  if (isList) return readList([name], value, pointer)
  const inner = readObject(value, { pointer, path, depth })
  return path.length === 1 ? below([name], inner) : inOneElement(name, inner, pointer)
}

function readAlternatives(value: unknown, place: Place): Tree {
  if (!Array.isArray(value) || value.length < 2)
    return invalid(place.pointer, 'must be a list of two objects or more')
  return anyOf(value.map((each, i) => readObject(each, { ...place, pointer: `${place.pointer}/${i}` })))
}

function readList(path: Path, values: readonly unknown[], pointer: string): Tree {
  const { tests, absent } = testsOfPattern(values, pointer)
  const absence: Tree = { kind: 'none', path, test: { kind: 'exists' } }
  if (!absent) return someOf(path, tests)
  return tests.length === 0 ? absence : anyOf([someOf(path, tests), absence])
}

/**
 * What an object of the pattern asks, asked at the member that holds the object. In an array it is one element that must
 * do; but a way to match that names nothing which must be there has no element to speak of, and speaks of them all.
 */
function inOneElement(name: string, tree: Tree, pointer: string): Tree {
  if (tree.kind === 'any') return anyOf(tree.of.map((each) => inOneElement(name, each, pointer)))
  if (tree.kind !== 'all') return below([name], tree)
  if (!holds(tree, {})) return { kind: 'within', path: [name], of: tree }
  return anyOf(
    waysOf(tree, pointer).map((way) =>
      way.every(({ kind }) => kind === 'none')
        ? allOf(way.map((each) => below([name], each)))
        : ({ kind: 'within', path: [name], of: allOf(way) } as const),
    ),
  )
}

/** The ways in which a tree of a pattern can hold: each is a list of what must hold together. */
function waysOf(tree: Tree, pointer: string): readonly (readonly Tree[])[] {
  if (tree.kind === 'any') return tree.of.flatMap((each) => waysOf(each, pointer))
  if (tree.kind !== 'all') return [[tree]]
  let ways: readonly (readonly Tree[])[] = [[]]
  for (const each of tree.of) {
    const more = waysOf(each, pointer)
    if (ways.length * more.length > filterLimits.clausesMax)
      refuse(pointer, {
        code: 'filter_too_wide',
        message: `has more than ${filterLimits.clausesMax} ways to match`,
      })
    ways = ways.flatMap((way) => more.map((one) => [...way, ...one]))
  }
  return ways
}

const isObject = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** How a bare value should have been written. */
function example(value: unknown): string {
  return `[${(JSON.stringify(value) ?? 'null').slice(0, 80)}]`
}

function refuse(pointer: string, { code, message }: Flaw): never {
  throw new FilterError(code, message, { pointer })
}

function refuseIf(pointer: string, flaw: Flaw | undefined): void {
  if (flaw) refuse(pointer, flaw)
}

const invalid = (pointer: string, message: string): never =>
  refuse(pointer, { code: 'invalid_filter', message })

import { holds } from './matches.ts'
import { type Bound, filterLimits, type Path, type Test, type Tree } from './tree.ts'
import { negated, partsOf } from './tree-building.ts'

/** An object of a pattern: for each member a list of alternatives or another object. */
interface PatternObject {
  readonly [name: string]: PatternMember
}
type PatternMember = readonly unknown[] | PatternObject

/** Whether the objects that a path leads through may be arrays: never at the event, nor at its properties. */
type Ground = 'event' | 'element'

/**
 * Writes a tree as an EventBridge pattern that means the same; undefined where patterns have no words for it: `not` over
 * several tests, two tests of one member that must both hold, `within` that an absent object would pass.
 */
export function printPattern(tree: Tree): Record<string, unknown> | undefined {
  return objectOf(tree, 'event')
}

function objectOf(tree: Tree, ground: Ground): PatternObject | undefined {
  switch (tree.kind) {
    case 'all':
      return merged(
        tree.of.map((each) => objectOf(each, ground)),
        ground,
      )
    case 'any':
      return alternatives(tree.of, ground)
    case 'not':
      return notOf(tree.of, ground)
    case 'within':
      return withinOf(tree, ground)
    default: {
      const list = listOf(tree)
      return list && wrapped(tree.path, list)
    }
  }
}

/** De Morgan's laws: `not` moves inwards until a test takes it up. */
function notOf(tree: Tree, ground: Ground): PatternObject | undefined {
  if (tree.kind === 'within') return undefined
  if (tree.kind !== 'all' && tree.kind !== 'any') return objectOf(negated(tree), ground)
  const kind = tree.kind === 'all' ? 'any' : 'all'
  return objectOf({ kind, of: partsOf(tree).map((each) => ({ kind: 'not', of: each })) }, ground)
}

function withinOf(tree: Extract<Tree, { kind: 'within' }>, ground: Ground): PatternObject | undefined {
  const isProperties = ground === 'event' && tree.path.length === 1
  // An object that an absent element would pass says in a pattern that it may be absent altogether.
  if (!isProperties && holds(tree.of, {})) return undefined
  const inner = objectOf(tree.of, 'element')
  return inner && wrapped(tree.path, inner)
}

function alternatives(trees: readonly Tree[], ground: Ground): PatternObject | undefined {
  const inOneList = oneListOf(trees)
  if (inOneList) return inOneList
  const objects = trees.map((each) => objectOf(each, ground))
  if (!objects.every((each) => each !== undefined)) return undefined
  return objects.length < 2 ? objects[0] : { $or: objects }
}

/** Alternatives for one member stand in its list. */
function oneListOf(trees: readonly Tree[]): PatternObject | undefined {
  const [first] = trees
  if (!first || !('path' in first)) return undefined
  const lists = trees.map((each) =>
    'test' in each && samePath(each.path, first.path) ? listOf(each) : undefined,
  )
  if (!lists.every((each) => each !== undefined)) return undefined
  const list = lists.flat()
  return list.length > filterLimits.valuesMax ? undefined : wrapped(first.path, list)
}

const samePath = (one: Path, other: Path): boolean =>
  one.length === other.length && one.every((name, i) => name === other[i])

function wrapped(path: Path, value: PatternMember): PatternObject | undefined {
  if (path.includes('$or')) return undefined
  // Unlike an assignment, this gives even `__proto__` to the object itself.
  const whole = path.reduceRight<PatternMember>((inner, name) => Object.fromEntries([[name, inner]]), value)
  return Array.isArray(whole) ? undefined : (whole as PatternObject)
}

function merged(objects: readonly (PatternObject | undefined)[], ground: Ground): PatternObject | undefined {
  const all = new Map<string, PatternMember>()
  for (const object of objects) {
    if (!object) return undefined
    for (const [name, value] of Object.entries(object)) {
      const before = all.get(name)
      const both = before === undefined ? value : mergedMember(name, before, value, ground)
      if (both === undefined) return undefined
      all.set(name, both)
    }
  }
  return all.size === 0 ? undefined : Object.fromEntries(all)
}

/**
 * Two objects become one only where that asks nothing else. Below an array one object is about one element, while two tests
 * may be met by two; absence is asked of all elements either way.
 */
function mergedMember(
  name: string,
  one: PatternMember,
  other: PatternMember,
  ground: Ground,
): PatternMember | undefined {
  if (isList(one) || isList(other)) return undefined
  const free =
    (ground === 'event' && name === 'properties') || (asksOnlyAbsence(one) && asksOnlyAbsence(other))
  return free ? merged([one, other], 'element') : undefined
}

const isList = (member: PatternMember): member is readonly unknown[] => Array.isArray(member)

function asksOnlyAbsence(object: PatternObject): boolean {
  return Object.entries(object).every(([name, member]) => {
    if (name === '$or') return false
    return isList(member) ? JSON.stringify(member) === '[{"exists":false}]' : asksOnlyAbsence(member)
  })
}

function listOf(tree: Extract<Tree, { test: Test }>): readonly unknown[] | undefined {
  if (tree.kind === 'some') return entriesOf(tree.test)
  return tree.test.kind === 'exists' ? [{ exists: false }] : undefined
}

function entriesOf(test: Test): readonly unknown[] | undefined {
  switch (test.kind) {
    case 'exists':
      return [{ exists: true }]
    case 'equals':
      return test.values
    case 'equals-ignore-case':
      return test.values.map((value) => ({ 'equals-ignore-case': value }))
    case 'prefix':
    case 'suffix':
      return test.values.map((value) => ({
        [test.kind]: test.ignoreCase ? { 'equals-ignore-case': value } : value,
      }))
    case 'wildcard':
      return test.values.map((value) => ({ wildcard: value }))
    case 'cidr':
      return test.blocks.map((block) => ({ cidr: block }))
    case 'range':
      return numericOf(test.low, test.high)
    case 'other':
      return unwantedOf(test.than)
  }
}

function numericOf(low: Bound, high: Bound): readonly unknown[] | undefined {
  const lower = Number.isFinite(low.value) ? [low.included ? '>=' : '>', low.value] : []
  const upper = Number.isFinite(high.value) ? [high.included ? '<=' : '<', high.value] : []
  const numeric = [...lower, ...upper]
  return numeric.length === 0 ? undefined : [{ numeric }]
}

function unwantedOf(test: Test): readonly unknown[] | undefined {
  switch (test.kind) {
    case 'other':
      return entriesOf(test.than)
    case 'equals':
      return [{ 'anything-but': oneOrList(test.values) }]
    case 'prefix':
    case 'suffix': {
      const [only, ...more] = test.values
      if (!test.ignoreCase) return [{ 'anything-but': { [test.kind]: oneOrList(test.values) } }]
      return more.length > 0
        ? undefined
        : [{ 'anything-but': { [test.kind]: { 'equals-ignore-case': only } } }]
    }
    case 'wildcard':
    case 'equals-ignore-case':
      return [{ 'anything-but': { [test.kind]: oneOrList(test.values) } }]
    default:
      return undefined
  }
}

const oneOrList = <T>(values: readonly T[]): T | readonly T[] | undefined =>
  values.length === 1 ? values[0] : values

import type { Bound, Path, Test, Tree } from './tree.ts'
import { readWildcard } from './wildcard.ts'

/** The trees that a tree is made of, without those deeper down. */
export function partsOf(tree: Tree): readonly Tree[] {
  switch (tree.kind) {
    case 'all':
    case 'any':
      return tree.of
    case 'not':
    case 'within':
      return [tree.of]
    default:
      return []
  }
}

/** All of the trees; one alone is itself, and what is already all of some is not nested. */
export function allOf(trees: readonly Tree[]): Tree {
  return flat('all', trees)
}

/** Any of the trees, in the same way. */
export function anyOf(trees: readonly Tree[]): Tree {
  return flat('any', trees)
}

function flat(kind: 'all' | 'any', trees: readonly Tree[]): Tree {
  const of = trees.flatMap((each) => (each.kind === kind ? partsOf(each) : [each]))
  const [only] = of
  return of.length === 1 && only ? only : { kind, of }
}

/** What holds exactly where the tree does not, with no `not` where another word says it. */
export function negated(tree: Tree): Tree {
  if (tree.kind === 'some') return { ...tree, kind: 'none' }
  if (tree.kind === 'none') return { ...tree, kind: 'some' }
  return tree.kind === 'not' ? tree.of : { kind: 'not', of: tree }
}

/** Some value of the path passes at least one of the tests. Tests of one kind become one. */
export function someOf(path: Path, tests: readonly Test[]): Tree {
  return anyOf(joined(tests).map((test) => ({ kind: 'some', path, test })))
}

/** The same tree asked of the object at the path, which is known to be there and to be no array. */
export function below(path: Path, tree: Tree): Tree {
  switch (tree.kind) {
    case 'all':
    case 'any':
      return { kind: tree.kind, of: tree.of.map((each) => below(path, each)) }
    case 'not':
      return { kind: 'not', of: below(path, tree.of) }
    default:
      return { ...tree, path: [...path, ...tree.path] }
  }
}

type RangeTest = Extract<Test, { kind: 'range' }>

interface Comparison {
  readonly end: 'low' | 'high'
  readonly included: boolean
}

/** What a comparison with a number says: which end of the range it sets, and whether the number itself passes. */
export const comparisons: ReadonlyMap<string, Comparison> = new Map([
  ['>', { end: 'low', included: false }],
  ['>=', { end: 'low', included: true }],
  ['<', { end: 'high', included: false }],
  ['<=', { end: 'high', included: true }],
])

/** A range with the ends given, and open where none is. */
export function rangeOf(ends: { readonly low?: Bound; readonly high?: Bound }): RangeTest {
  const { low = { value: -Infinity, included: false }, high = { value: Infinity, included: false } } = ends
  return { kind: 'range', low, high }
}

/**
 * The tests that mean the same as one of the wildcards. Most people's wildcards have one star at an end: these are a
 * prefix or a suffix, which an index can look up, while a wildcard must be tried.
 */
export function wildcardTests(values: readonly string[]): readonly Test[] {
  return joined(
    values.map((value): Test => {
      const [first = '', last, ...more] = readWildcard(value) ?? [value]
      if (last === undefined) return { kind: 'equals', values: [first] }
      if (more.length === 0 && last === '') return { kind: 'prefix', values: [first], ignoreCase: false }
      if (more.length === 0 && first === '') return { kind: 'suffix', values: [last], ignoreCase: false }
      return { kind: 'wildcard', values: [value] }
    }),
  )
}

/** Tests of one kind become one with all their values, each once; in the order of the first of each kind. */
export function joined(tests: readonly Test[]): readonly Test[] {
  const groups = new Map<unknown, Test>()
  for (const test of tests) {
    const group = groupOf(test)
    const before = groups.get(group)
    groups.set(group, before ? join(before, test) : test)
  }
  return [...groups.values()]
}

/** What tests must share to be joined: nothing is equal to a test that can only stand for itself. */
function groupOf(test: Test): unknown {
  if ('ignoreCase' in test) return `${test.kind} ${test.ignoreCase}`
  return 'values' in test || 'blocks' in test || test.kind === 'exists' ? test.kind : test
}

function join(one: Test, other: Test): Test {
  if (one.kind === 'equals' && other.kind === 'equals')
    return { ...one, values: union(one.values, other.values) }
  if (one.kind === 'cidr' && other.kind === 'cidr') return { ...one, blocks: union(one.blocks, other.blocks) }
  if (!isOfTexts(one) || !isOfTexts(other)) return one
  return { ...one, values: union(one.values, other.values) }
}

type OfTexts = Extract<Test, { kind: 'equals-ignore-case' | 'prefix' | 'suffix' | 'wildcard' }>

function isOfTexts(test: Test): test is OfTexts {
  return 'values' in test && test.kind !== 'equals'
}

const union = <T>(one: readonly T[], other: readonly T[]): readonly T[] => [...new Set([...one, ...other])]

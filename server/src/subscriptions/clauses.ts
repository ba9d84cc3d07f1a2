import { FilterError } from './filter-error.ts'
import { filterLimits, type Path, type Test, type Tree } from './tree.ts'

/**
 * One condition of a clause. Paths begin at the event.
 *
 * - `some`, `none`: as in the tree, of a value that passes at least one of the tests.
 * - `at`: a `within` was here. What stands in the clause about members below this path is exact as long as no array
 *   lies on the path: `object` wants an object there, `nothing` wants none, `either` does not mind. Where the event
 *   has an array, the clause is only what an event must at least fulfil, and the tree itself has to be asked.
 */
export type Literal =
  | { readonly kind: 'some' | 'none'; readonly path: Path; readonly tests: readonly Test[] }
  | Place

export interface Place {
  readonly kind: 'at'
  readonly path: Path
  readonly wants: 'object' | 'nothing' | 'either'
}

/** Literals that must all hold. */
export type Clause = readonly Literal[]

/**
 * The tree as clauses of which at least one must hold; none at all for a tree that nothing matches. Values of one path
 * that `or` joins stay one literal. Throws FilterError `filter_too_wide` beyond
 * `filterLimits.clausesMax`, or if lists of values make too many combinations with them.
 */
export function clausesOf(tree: Tree): readonly Clause[] {
  const clauses = clausesUnder(tree, { prefix: [], negated: false })
  checkPlaces(clauses)
  return clauses
}

// Of the index: a clause stands there once for every value of one of its lists, and the longest may be the one.
const placesMax = 4_096

function checkPlaces(clauses: readonly Clause[]): void {
  let places = 0
  for (const clause of clauses) {
    let longest = 1
    for (const literal of clause)
      if (literal.kind === 'some') longest = Math.max(longest, valuesIn(literal.tests))
    places += longest
  }
  if (places > placesMax)
    throw new FilterError(
      'filter_too_wide',
      `the filter combines long lists with too many alternatives: ${places} combinations instead of ${placesMax}`,
    )
}

function valuesIn(tests: readonly Test[]): number {
  let values = 0
  for (const test of tests)
    values += 'values' in test ? test.values.length : test.kind === 'cidr' ? test.blocks.length : 1
  return values
}

/** Whether an index can look the test up by the value, rather than trying it. */
export function isLookup(test: Test): boolean {
  return test.kind !== 'range' && test.kind !== 'wildcard' && test.kind !== 'other'
}

interface Context {
  readonly prefix: Path
  readonly negated: boolean
}

const never: readonly Clause[] = []
const always: readonly Clause[] = [[]]

function clausesUnder(tree: Tree, context: Context): readonly Clause[] {
  switch (tree.kind) {
    case 'not':
      return clausesUnder(tree.of, { ...context, negated: !context.negated })
    case 'all':
    case 'any': {
      const parts = tree.of.map((each) => clausesUnder(each, context))
      return (tree.kind === 'all') === context.negated ? union(parts) : conjunction(parts)
    }
    case 'within':
      return clausesWithin(tree, context)
    default:
      return clausesOfLeaf(tree, context)
  }
}

function clausesOfLeaf(leaf: Extract<Tree, { test: Test }>, context: Context): readonly Clause[] {
  const positive = (leaf.kind === 'some') !== context.negated
  // The path of nothing but the object itself leads to no value.
  if (leaf.path.length === 0 || neverPasses(leaf.test)) return positive ? never : always
  const path = joined(context.prefix, leaf.path)
  return [[{ kind: positive ? 'some' : 'none', path, tests: [leaf.test] }]]
}

function clausesWithin(tree: Extract<Tree, { kind: 'within' }>, context: Context): readonly Clause[] {
  const path = joined(context.prefix, tree.path)
  const inside = clausesUnder(tree.of, { prefix: path, negated: context.negated })
  // These two are objects in every event, and never in an array.
  if (path.length === 0 || (path.length === 1 && path[0] === 'properties')) return inside
  if (!context.negated) return conjunction([[[{ kind: 'at', path, wants: 'object' }]], inside])
  return union([
    [[{ kind: 'at', path, wants: 'nothing' }]],
    conjunction([[[{ kind: 'at', path, wants: 'either' }]], inside]),
  ])
}

const joined = (prefix: Path, path: Path): Path => (prefix.length === 0 ? path : [...prefix, ...path])

function neverPasses(test: Test): boolean {
  if ('values' in test) return test.values.length === 0
  if (test.kind === 'cidr') return test.blocks.length === 0
  if (test.kind !== 'range') return false
  const { low, high } = test
  return low.value > high.value || (low.value === high.value && !(low.included && high.included))
}

function conjunction(parts: readonly (readonly Clause[])[]): readonly Clause[] {
  // Most filters are nothing but literals that must all hold, so these are put together at once.
  const common: Literal[] = []
  const several: (readonly Clause[])[] = []
  for (const part of parts) {
    const [only] = part
    if (part.length !== 1 || !only) several.push(part)
    else for (const literal of only) common.push(literal)
  }
  return several.reduce(product, common.length > 0 ? [common] : always)
}

function product(one: readonly Clause[], other: readonly Clause[]): readonly Clause[] {
  if (one === always) return other
  checkCount(one.length * other.length)
  return one.flatMap((clause) => other.map((more) => [...clause, ...more]))
}

/** Clauses of a single look-up in the same path become one: `a = 1 or a = 2` is one set of two values. */
function union(parts: readonly (readonly Clause[])[]): readonly Clause[] {
  const clauses: Clause[] = []
  const lookups = new Map<string, number>()
  for (const clause of parts.flat()) {
    const literal = clause.length === 1 ? clause[0] : undefined
    if (literal?.kind !== 'some' || !literal.tests.every(isLookup)) {
      clauses.push(clause)
      continue
    }
    const key = literal.path.join('\0')
    const at = lookups.get(key)
    const before = at === undefined ? undefined : clauses[at]?.[0]
    if (at !== undefined && before?.kind === 'some')
      clauses[at] = [{ ...before, tests: [...before.tests, ...literal.tests] }]
    else lookups.set(key, clauses.push(clause) - 1)
  }
  checkCount(clauses.length)
  return clauses
}

function checkCount(count: number): void {
  const { clausesMax } = filterLimits
  if (count > clausesMax)
    throw new FilterError(
      'filter_too_wide',
      `written as alternatives, the filter has more than the ${clausesMax} that are allowed; combine fewer lists of alternatives, or make several filters`,
    )
}

/**
 * Texts of which at least one stands in the JSON of every event that matches, as `canonicalJson` writes it, so that most
 * other events need not be parsed. ASCII only, so they can be looked for in bytes as well. Undefined if there are
 * none: the filter has an alternative that asks for no text. Throws as `clausesOf` does.
 */
export function needlesOf(tree: Tree): readonly string[] | undefined {
  const needles = new Set<string>()
  for (const clause of clausesOf(tree)) {
    const best = clause.map(needlesOfLiteral).reduce(better, undefined)
    if (best === undefined) return undefined
    for (const needle of best) needles.add(needle)
  }
  return [...needles]
}

type Needles = readonly string[] | undefined

// A list of more texts than this is no faster to look for than the event is to parse.
const valuesOfLiteralMax = 32

function better(one: Needles, other: Needles): Needles {
  if (one === undefined || other === undefined) return one ?? other
  const shortest = (needles: readonly string[]) => Math.min(...needles.map((needle) => needle.length))
  const worth = (needles: readonly string[]) => shortest(needles) - 4 * Math.log2(Math.max(1, needles.length))
  return worth(other) > worth(one) ? other : one
}

function needlesOfLiteral(literal: Literal): Needles {
  if (literal.kind !== 'some') return undefined
  const { path, tests } = literal
  const needles = tests.map((test) => needlesOfTest(test, path))
  if (needles.every((each) => each !== undefined)) {
    const all = needles.flat()
    if (all.length <= valuesOfLiteralMax && all.every(isPlain)) return all
  }
  // Whatever the value, the member has to be there.
  const name = `${JSON.stringify(path.at(-1))}:`
  return path.length > 1 && isPlain(name) ? [name] : undefined
}

function needlesOfTest(test: Test, path: Path): Needles {
  // Members of the event itself hold no arrays, so their values stand right behind their names.
  const begin = path.length === 1 ? `${JSON.stringify(path[0])}:"` : '"'
  const open = (text: string) => begin + JSON.stringify(text).slice(1, -1)
  if (test.kind === 'equals') {
    const texts = test.values.filter((value) => typeof value === 'string')
    return texts.length === test.values.length ? texts.map((text) => `${open(text)}"`) : undefined
  }
  if (test.kind === 'prefix' && !test.ignoreCase) return test.values.map(open)
  if (test.kind === 'suffix' && !test.ignoreCase)
    return test.values.map((text) => JSON.stringify(text).slice(1))
  return undefined
}

/** Printable ASCII of some length. A lone surrogate, or a letter beyond ASCII, may be written in more than one way. */
const isPlain = (needle: string): boolean => needle.length > 2 && /^[ -~]+$/.test(needle)

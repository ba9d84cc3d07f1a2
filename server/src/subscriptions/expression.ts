import { ExpressionParser } from './expression-parser.ts'
import { keywords } from './expression-words.ts'
import { FilterError } from './filter-error.ts'
import { type Bound, filterLimits, type Path, type Scalar, type Test, type Tree } from './tree.ts'
import { checkSize } from './tree-limits.ts'
import { escapeWildcard } from './wildcard.ts'

/**
 * Reads a condition that a person wrote: `event_type = "order.*" and properties.amount > 100`.
 * ```text
 * any        = all { "or" all }
 * all        = one { "and" one }
 * one        = "not" one | "(" any ")" | "everything" | "nothing" | path question | path "has" "(" any ")"
 * question   = "!=" value | "missing" | [ "not" ] test
 * test       = "=" value | "in" list | range | "between" number "and" number | "exists"
 *            | "starts with" texts [ "ignoring case" ] | "ends with" texts [ "ignoring case" ]
 *            | "like" texts | "in cidr" texts | "anything but" ( value | list | test )
 * range      = ( "<" | "<=" | ">" | ">=" ) number [ "and" the other end ]
 * value      = [ "exactly" ] ( text | number | "true" | "false" | "null" ) [ "ignoring case" ]
 * list       = [ "exactly" ] "(" value { "," value } ")" [ "ignoring case" ]
 * texts      = text | "(" text { "," text } ")"
 * path       = name { "." name }
 * ```
 * Texts stand in single or double quotes with JSON's escapes, names of members in quotes where they are not plain
 * words (`properties."a b"`). Words of the language may be written in capitals. `and` binds closer than `or`.
 *
 * - A path that meets a list stands for each of its elements; a condition holds if one value passes.
 *   `properties.items has (sku = "a" and price > 3)` asks both of one element.
 * - Whatever is negated holds exactly where it did not before: `!=` and `not` are true where there is no value.
 *   `anything but` wants a value that is different.
 * - **`*` after `=`** names a family of types, `event_type = "order.*"`, also in `!=`, `in` and `anything but`. Types
 *   cannot hold a star, so nothing is lost. Everywhere else `=` compares exactly, for a name that a user chose must not
 *   widen a filter that was built around it; and since a person who writes a star there rather means a wildcard, that
 *   is refused unless it says `= exactly "a*"`. The wildcard is `like "a*"`, where `\\*` is a star itself.
 * - Numbers are compared as numbers only, texts exactly, and `ignoring case` by Unicode's simple folding.
 *
 * Throws a `FilterError` with the character (`at`) and what was expected there.
 */
export function parseExpression(text: string): Tree {
  if (text.length > filterLimits.charsMax)
    throw new FilterError(
      'filter_too_wide',
      `an expression has at most ${filterLimits.charsMax} characters, not ${text.length}`,
    )
  const tree = new ExpressionParser(text).whole()
  checkSize(tree)
  return tree
}

/** How closely a form binds: what is looser than its surroundings asks for stands in parentheses. */
const binding = { any: 1, all: 2, one: 3 } as const
type Binding = (typeof binding)[keyof typeof binding]

/** Writes a tree as an expression; reading it again gives a tree that means the same. */
export function printExpression(tree: Tree): string {
  return print(tree, binding.any, true)
}

function print(tree: Tree, needed: Binding, inEvent: boolean): string {
  switch (tree.kind) {
    case 'all':
    case 'any': {
      const [first] = tree.of
      if (!first) return tree.kind === 'all' ? 'everything' : 'nothing'
      if (tree.of.length === 1) return print(first, needed, inEvent)
      const own = binding[tree.kind]
      const joint = tree.kind === 'all' ? ' and ' : ' or '
      const text = tree.of.map((each) => print(each, own, inEvent)).join(joint)
      return own < needed ? `(${text})` : text
    }
    case 'not':
      return `not ${print(tree.of, binding.one, inEvent)}`
    case 'within':
      return `${printPath(tree.path)} has (${print(tree.of, binding.any, false)})`
    default:
      return printTest(tree, inEvent)
  }
}

function printTest({ kind, path, test }: Extract<Tree, { test: Test }>, inEvent: boolean): string {
  const where = printPath(path)
  const isFamily = inEvent && path.length === 1 && path[0] === 'event_type'
  if (kind === 'some') return `${where} ${phrase(test, isFamily)}`
  if (test.kind === 'exists') return `${where} missing`
  const positive = phrase(test, isFamily)
  if (positive.startsWith('= ')) return `${where} !${positive}`
  return positive.startsWith('in ') ? `${where} not ${positive}` : `not ${where} ${positive}`
}

/** `isFamily`: the test is of the event's type, whose families are written with a star. */
function phrase(test: Test, isFamily: boolean): string {
  switch (test.kind) {
    case 'exists':
      return 'exists'
    case 'equals':
      return `${test.values.length === 1 ? '=' : 'in'} ${printValues(test.values)}`
    case 'equals-ignore-case':
      return `${test.values.length === 1 ? '=' : 'in'} ${printValues(test.values)} ignoring case`
    case 'prefix':
      if (isFamily && !test.ignoreCase) return families(test.values)
      return `starts with ${printList(test.values)}${test.ignoreCase ? ' ignoring case' : ''}`
    case 'suffix':
      return `ends with ${printList(test.values)}${test.ignoreCase ? ' ignoring case' : ''}`
    case 'wildcard':
      return `like ${printList(test.values)}`
    case 'range':
      return printRange(test.low, test.high)
    case 'cidr':
      return `in cidr ${printList(test.blocks)}`
    case 'other':
      return `anything but ${printUnwanted(test.than, isFamily)}`
  }
}

/** After `anything but` a value or a list says by itself that it is about equality. */
function printUnwanted(test: Test, isFamily: boolean): string {
  return phrase(test, isFamily).replace(/^(?:= |in (?!cidr ))/, '')
}

function families(prefixes: readonly string[]): string {
  const stars = prefixes.map((prefix) => `${escapeWildcard(prefix)}*`)
  return `${stars.length === 1 ? '=' : 'in'} ${printList(stars)}`
}

/** A star that stands for itself is only understood after `exactly`. */
function printValues(values: readonly Scalar[]): string {
  const starred = values.some((value) => typeof value === 'string' && value.includes('*'))
  return `${starred ? 'exactly ' : ''}${printList(values)}`
}

function printList(values: readonly Scalar[]): string {
  const texts = values.map((value) => JSON.stringify(value))
  return texts.length === 1 ? texts.join() : `(${texts.join(', ')})`
}

function printRange(low: Bound, high: Bound): string {
  if (low.included && high.included) return `between ${low.value} and ${high.value}`
  const lower = `>${low.included ? '=' : ''} ${low.value}`
  const upper = `<${high.included ? '=' : ''} ${high.value}`
  if (!Number.isFinite(high.value)) return Number.isFinite(low.value) ? lower : `>= ${-Number.MAX_VALUE}`
  return Number.isFinite(low.value) ? `${lower} and ${upper}` : upper
}

function printPath(path: Path): string {
  return path
    .map((name, i) => {
      const plain = /^[A-Za-z_$@][\w$@-]*$/.test(name) && (i > 0 || !keywords.has(name.toLowerCase()))
      return plain ? name : JSON.stringify(name)
    })
    .join('.')
}

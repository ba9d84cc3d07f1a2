import type { Event } from '@pulse/protocol/event'
import fc from 'fast-check'
import { FilterError } from './filter-error.ts'
import { aScalar } from './filter-world.ts'
import { parsePattern } from './pattern.ts'

// What event-ruler's documentation says, taken literally: an event is a list of fields, each with the array elements that it
// lies in; a rule is a choice of one field for each member, of which no two lie in different elements of one array.

/** Whether a pattern that `aPattern` made matches, found out by trying every choice. */
export function matchesByRules(pattern: object, event: Event): boolean {
  const fields = fieldsOf(event, '', '', new Map())
  return rulesOf(pattern, '').some((rule) => ruleMatches(rule, fields))
}

interface Field {
  readonly path: string
  readonly value: unknown
  /** The arrays around it, each by its place in the event, and the element. */
  readonly elements: ReadonlyMap<string, number>
}

function fieldsOf(
  value: unknown,
  path: string,
  place: string,
  elements: ReadonlyMap<string, number>,
): Field[] {
  if (Array.isArray(value))
    return value.flatMap((each, i) =>
      fieldsOf(each, path, `${place}[${i}]`, new Map([...elements, [place, i]])),
    )
  if (typeof value !== 'object' || value === null) return [{ path, value, elements }]
  return Object.entries(value).flatMap(([name, each]) =>
    fieldsOf(each, `${path}\n${name}`, `${place}\n${name}`, elements),
  )
}

const consistent = (one: Field, other: Field): boolean =>
  [...one.elements].every(([array, element]) => (other.elements.get(array) ?? element) === element)

type Rule = ReadonlyMap<string, readonly unknown[]>

function rulesOf(pattern: object, path: string): Rule[] {
  let rules: Rule[] = [new Map()]
  for (const [name, value] of Object.entries(pattern)) {
    const more =
      name === '$or'
        ? (value as object[]).flatMap((each) => rulesOf(each, path))
        : Array.isArray(value)
          ? [new Map([[`${path}\n${name}`, value]])]
          : rulesOf(value as object, `${path}\n${name}`)
    rules = rules.flatMap((rule) => more.map((one) => new Map([...rule, ...one])))
  }
  return rules
}

const isAbsence = (value: unknown): boolean => JSON.stringify(value) === '{"exists":false}'

/** One alternative of each list is either a field that is chosen or, last of all, an absence among what fits the chosen. */
function ruleMatches(rule: Rule, fields: readonly Field[]): boolean {
  const members = [...rule]
  const choose = (i: number, chosen: readonly Field[], absent: readonly string[]): boolean => {
    const [path, list] = members[i] ?? []
    if (path === undefined || list === undefined)
      return !absent.some((gone) =>
        fields.some((field) => field.path === gone && chosen.every((one) => consistent(one, field))),
      )
    const isChosen = fields.some(
      (field) =>
        field.path === path &&
        list.some((value) => valuePasses(value, field.value)) &&
        chosen.every((one) => consistent(one, field)) &&
        choose(i + 1, [...chosen, field], absent),
    )
    return isChosen || (list.some(isAbsence) && choose(i + 1, chosen, [...absent, path]))
  }
  return choose(0, [], [])
}

/** Only the operators that `aPattern` makes. */
function valuePasses(wanted: unknown, value: unknown): boolean {
  if (typeof wanted !== 'object' || wanted === null) return wanted === value
  if ('exists' in wanted) return wanted.exists === true
  if ('anything-but' in wanted) return wanted['anything-but'] !== value
  return 'prefix' in wanted && typeof value === 'string' && value.startsWith(String(wanted.prefix))
}

const names = fc.constantFrom('amount', 'tags', 'items', 'sku', 'user_tier', '__proto__')
const aList = fc.uniqueArray(
  fc.oneof(
    { arbitrary: aScalar, weight: 2 },
    { arbitrary: fc.constant({ exists: true }), weight: 1 },
    { arbitrary: fc.constant({ exists: false }), weight: 2 },
    { arbitrary: aScalar.map((value) => ({ 'anything-but': value })), weight: 1 },
    { arbitrary: fc.constant({ prefix: 'a' }), weight: 1 },
  ),
  { minLength: 1, maxLength: 2, selector: (each) => JSON.stringify(each) },
)

type Pattern = Record<string, unknown>

/** A pattern whose `$or` has only members that its neighbours do not have, and no objects: see `parsePattern`. */
const somePattern: fc.Arbitrary<Pattern> = fc.letrec<{ object: Pattern; member: unknown }>((tie) => ({
  object: fc
    .tuple(
      fc.array(fc.tuple(names, tie('member')), { minLength: 1, maxLength: 3 }),
      fc.array(fc.array(fc.tuple(names, aList), { minLength: 1, maxLength: 2 }), {
        minLength: 2,
        maxLength: 2,
      }),
      fc.nat(2),
    )
    .map(([members, alternatives, dice]) => {
      const taken = new Set(members.map(([name]) => name))
      const $or = alternatives.map((each) => Object.fromEntries(each.filter(([name]) => !taken.has(name))))
      const object = Object.fromEntries(members)
      const isUsable = dice === 0 && $or.every((each) => Object.keys(each).length > 0)
      return isUsable ? { ...object, $or } : object
    })
    // Spreading would have lost a member called `__proto__`.
    .filter((object) => Object.keys(object).length > 0),
  member: fc.oneof({ maxDepth: 3, depthSize: 'small' }, aList, tie('object')),
})).object

/** Patterns over properties, of which many match what `anEvent` makes: those that are not refused for having more ways to match than a filter may have. */
export const aPattern: fc.Arbitrary<Pattern> = somePattern
  .map((properties): Pattern => ({ properties }))
  .filter(isWithinLimits)

function isWithinLimits(pattern: Pattern): boolean {
  try {
    parsePattern(pattern)
    return true
  } catch (error) {
    if (error instanceof FilterError && error.code === 'filter_too_wide') return false
    throw error
  }
}

import { FilterError } from './filter-error.ts'
import type { Bound, Scalar, Test } from './tree.ts'
import { comparisons, rangeOf, wildcardTests } from './tree-building.ts'
import {
  type Flaw,
  flawOfBlock,
  flawOfList,
  flawOfNumber,
  flawOfRange,
  flawOfText,
  flawOfWildcard,
} from './tree-limits.ts'

/** What a list of a pattern asks of one member: one of the tests, or that the member is absent. */
export interface PatternTests {
  readonly tests: readonly Test[]
  readonly absent: boolean
}

/** Reads the list of a member. Throws a `FilterError` that points at what is wrong. */
export function testsOfPattern(values: readonly unknown[], pointer: string): PatternTests {
  if (values.length === 0) invalid(pointer, 'must not be empty')
  refuseIf(pointer, flawOfList(values.length))
  const tests: Test[] = []
  let absent = false
  values.forEach((value, i) => {
    const place = `${pointer}/${i}`
    if (isOperator(value)) {
      const read = readOperator(value, place)
      if (read === 'absent') absent = true
      else tests.push(...read)
    } else tests.push({ kind: 'equals', values: [readScalar(value, place)] })
  })
  return { tests, absent }
}

type Operators = Readonly<Record<string, (operand: unknown, pointer: string) => readonly Test[] | 'absent'>>

const operators: Operators = {
  prefix: (operand, pointer) => [readEnd('prefix', operand, pointer)],
  suffix: (operand, pointer) => [readEnd('suffix', operand, pointer)],
  'equals-ignore-case': (operand, pointer) => [
    { kind: 'equals-ignore-case', values: [readText(operand, pointer)] },
  ],
  wildcard: (operand, pointer) => wildcardTests([readText(operand, pointer, flawOfWildcard)]),
  cidr: (operand, pointer) => [{ kind: 'cidr', blocks: [readText(operand, pointer, flawOfBlock)] }],
  numeric: (operand, pointer) => [readNumeric(operand, pointer)],
  exists: (operand, pointer) => {
    if (operand === true) return [{ kind: 'exists' }]
    return operand === false ? 'absent' : invalid(pointer, 'must be true or false')
  },
  'anything-but': (operand, pointer) => [{ kind: 'other', than: readUnwanted(operand, pointer) }],
}

function readOperator(
  operator: Readonly<Record<string, unknown>>,
  pointer: string,
): readonly Test[] | 'absent' {
  const { name, operand } = onlyMember(operator, pointer, Object.keys(operators))
  return operators[name]?.(operand, `${pointer}/${name}`) ?? []
}

/** The one member of an object that names an operator, which must be one of those allowed here. */
function onlyMember(object: Readonly<Record<string, unknown>>, pointer: string, allowed: readonly string[]) {
  const [[name, operand] = ['', undefined], ...more] = Object.entries(object)
  if (more.length > 0)
    return invalid(pointer, 'must name one operator; alternatives are further objects of the list')
  if (!allowed.includes(name)) return invalid(pointer, `must name one of the operators ${allowed.join(', ')}`)
  return { name, operand }
}

const ignoringCase = 'equals-ignore-case'

/** `"text"` or `{"equals-ignore-case": "text"}`. */
function readEnd(kind: 'prefix' | 'suffix', operand: unknown, pointer: string): Test {
  if (!isOperator(operand)) return { kind, values: [readText(operand, pointer)], ignoreCase: false }
  const inner = onlyMember(operand, pointer, [ignoringCase]).operand
  return { kind, values: [readText(inner, `${pointer}/${ignoringCase}`)], ignoreCase: true }
}

/** What follows `anything-but`: a value, a list of them, or an operator over texts with one text or a list. */
function readUnwanted(operand: unknown, pointer: string): Test {
  if (!isOperator(operand)) return { kind: 'equals', values: readListOf(operand, pointer, readScalar) }
  const { name, operand: inner } = onlyMember(operand, pointer, [
    'prefix',
    'suffix',
    'wildcard',
    ignoringCase,
  ])
  const place = `${pointer}/${name}`
  if (name === 'wildcard') return readUnwantedWildcards(inner, place)
  if (name === ignoringCase) return { kind: ignoringCase, values: readListOf(inner, place, readText) }
  const kind = name === 'prefix' ? 'prefix' : 'suffix'
  if (isOperator(inner)) return readEnd(kind, inner, place)
  return { kind, values: readListOf(inner, place, readText), ignoreCase: false }
}

function readUnwantedWildcards(operand: unknown, pointer: string): Test {
  const values = readListOf(operand, pointer, (each, place) => readText(each, place, flawOfWildcard))
  const [only, ...more] = wildcardTests(values)
  return only && more.length === 0 ? only : { kind: 'wildcard', values }
}

/** One value, or a list of at least one. */
function readListOf<T>(
  operand: unknown,
  pointer: string,
  read: (each: unknown, place: string) => T,
): readonly T[] {
  if (!Array.isArray(operand)) return [read(operand, pointer)]
  if (operand.length === 0) invalid(pointer, 'must not be empty')
  refuseIf(pointer, flawOfList(operand.length))
  return [...new Set(operand.map((each, i) => read(each, `${pointer}/${i}`)))]
}

/** `["=", 5]`, one comparison such as `[">", 5]`, or one for each end: `[">", 5, "<=", 10]`. */
function readNumeric(operand: unknown, pointer: string): Test {
  if (!Array.isArray(operand) || (operand.length !== 2 && operand.length !== 4))
    return invalid(pointer, 'must be a list of one or two comparisons, such as [">", 0, "<=", 5]')
  if (operand.length === 2 && operand[0] === '=')
    return { kind: 'equals', values: [readNumber(operand[1], `${pointer}/1`)] }
  const bounds: { low?: Bound; high?: Bound } = {}
  for (let i = 0; i < operand.length; i += 2) {
    const comparison = comparisons.get(operand[i])
    if (!comparison) return invalid(`${pointer}/${i}`, 'must be one of <, <=, >, >= or, alone, =')
    if (bounds[comparison.end]) return invalid(`${pointer}/${i}`, 'must bound the other end of the range')
    bounds[comparison.end] = {
      value: readNumber(operand[i + 1], `${pointer}/${i + 1}`),
      included: comparison.included,
    }
  }
  const range = rangeOf(bounds)
  refuseIf(pointer, flawOfRange(range.low, range.high))
  return range
}

function readNumber(value: unknown, pointer: string): number {
  if (typeof value !== 'number') return invalid(pointer, 'must be a number')
  refuseIf(pointer, flawOfNumber(value))
  return value
}

function readText(
  value: unknown,
  pointer: string,
  flawOf: (text: string) => Flaw | undefined = flawOfText,
): string {
  if (typeof value !== 'string') return invalid(pointer, 'must be text')
  refuseIf(pointer, flawOf(value))
  return value
}

function readScalar(value: unknown, pointer: string): Scalar {
  if (typeof value === 'string') return readText(value, pointer)
  if (typeof value === 'number') return readNumber(value, pointer)
  if (typeof value === 'boolean' || value === null) return value
  return invalid(pointer, 'must be text, a number, true, false, null or an operator')
}

const isOperator = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function refuseIf(pointer: string, flaw: Flaw | undefined): void {
  if (flaw) throw new FilterError(flaw.code, flaw.message, { pointer })
}

function invalid(pointer: string, message: string): never {
  throw new FilterError('invalid_filter', message, { pointer })
}

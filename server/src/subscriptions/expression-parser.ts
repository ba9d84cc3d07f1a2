import { keywords, refuseAt, shortened, type Token, Tokens } from './expression-words.ts'
import { FilterError } from './filter-error.ts'
import { type Bound, filterLimits, type Path, type Scalar, type Test, type Tree } from './tree.ts'
import {
  allOf,
  anyOf,
  comparisons,
  joined,
  negated,
  rangeOf,
  someOf,
  wildcardTests,
} from './tree-building.ts'
import {
  type Flaw,
  flawOfBlock,
  flawOfList,
  flawOfNumber,
  flawOfPath,
  flawOfRange,
  flawOfText,
  flawOfWildcard,
} from './tree-limits.ts'
import { escapeWildcard } from './wildcard.ts'

/** One value as it stands in the expression. */
interface Value<T> {
  readonly value: T
  readonly at: number
}

const literals: Readonly<Record<string, Scalar>> = { true: true, false: false, null: null }

const isLiteral = (token: Token): boolean =>
  token.kind === 'word' && Object.hasOwn(literals, token.text.toLowerCase())

const operatorWords =
  '=, !=, <, <=, >, >=, in, between, starts with, ends with, like, exists, missing, anything but or has'

/**
 * A recursive descent over the grammar in `expression.ts`; one method is one rule. Nesting is counted before it goes
 * deeper, so that no expression is deeper than the stack.
 */
export class ExpressionParser {
  readonly #tokens: Tokens
  #depth = 0
  /** Whether paths begin at the event, or at an object in it. */
  #inEvent = true

  constructor(text: string) {
    this.#tokens = new Tokens(text)
  }

  whole(): Tree {
    const tree = this.#alternatives()
    const rest = this.#tokens.peek()
    if (rest.kind === 'end') return tree
    return this.#isSign(')')
      ? refuseAt(rest.at, 'there is a ) without its (')
      : this.#unexpected('and, or, or the end', rest)
  }

  #alternatives(): Tree {
    const trees = [this.#conjunction()]
    while (this.#accept('or')) trees.push(this.#conjunction())
    return anyOf(trees)
  }

  #conjunction(): Tree {
    const trees = [this.#unary()]
    while (this.#accept('and')) trees.push(this.#unary())
    return allOf(trees)
  }

  #unary(): Tree {
    const { at } = this.#tokens.peek()
    if (this.#accept('not')) return negated(this.#deeper(at, () => this.#unary()))
    if (this.#isSign('(')) return this.#parenthesised(this.#inEvent)
    if (this.#accept('everything')) return { kind: 'all', of: [] }
    if (this.#accept('nothing')) return { kind: 'any', of: [] }
    return this.#condition()
  }

  #parenthesised(inEvent: boolean): Tree {
    const { at } = this.#sign('(')
    const outer = this.#inEvent
    this.#inEvent = inEvent
    const tree = this.#deeper(at, () => this.#alternatives())
    this.#inEvent = outer
    if (!this.#isSign(')')) this.#unexpected(`and, or, or the ) of the ( at character ${at + 1}`)
    this.#tokens.next()
    return tree
  }

  #condition(): Tree {
    const { at } = this.#tokens.peek()
    const path = this.#path()
    if (this.#accept('has')) {
      this.#refuseIf(at, flawOfPath(path, { inEvent: this.#inEvent, toObject: true }))
      if (!this.#isSign('('))
        this.#unexpected('a condition in parentheses (a plain value of a list is asked for with =)')
      return { kind: 'within', path, of: this.#parenthesised(false) }
    }
    this.#refuseIf(at, flawOfPath(path, { inEvent: this.#inEvent, toObject: false }))
    if (this.#accept('missing')) return { kind: 'none', path, test: { kind: 'exists' } }
    if (this.#isSign('!=')) {
      this.#tokens.next()
      return negated(someOf(path, this.#equality(path, 'one')))
    }
    const isNegated = this.#accept('not')
    const tree = someOf(path, this.#tests(path))
    return isNegated ? negated(tree) : tree
  }

  #path(): Path {
    const path = [this.#member('a condition, such as event_type = "order.*"')]
    while (this.#isSign('.')) {
      this.#tokens.next()
      path.push(this.#member('the name of a member', true))
    }
    return path
  }

  #member(expected: string, afterDot = false): string {
    const token = this.#tokens.peek()
    const isName = token.kind === 'word' && (afterDot || !keywords.has(token.text.toLowerCase()))
    if (!isName && token.kind !== 'text') return this.#unexpected(expected, token)
    return this.#tokens.next().text
  }

  /** What follows a path, or `anything but`: one question, which takes several tests where its values are of several kinds. */
  #tests(path: Path): readonly Test[] {
    const token = this.#tokens.peek()
    if (this.#isComparison()) return [this.#range()]
    if (this.#isSign('=')) {
      this.#tokens.next()
      return this.#equality(path, 'one')
    }
    if (this.#accept('in')) return this.#accept('cidr') ? [this.#blocks()] : this.#equality(path, 'list')
    if (this.#accept('between')) return [this.#between()]
    if (this.#accept('starts')) return [this.#end('prefix')]
    if (this.#accept('ends')) return [this.#end('suffix')]
    if (this.#accept('like')) return wildcardTests(this.#wildcards())
    if (this.#accept('exists')) return [{ kind: 'exists' }]
    if (this.#accept('anything')) {
      this.#keyword('but')
      return [{ kind: 'other', than: this.#deeper(token.at, () => this.#unwanted(path)) }]
    }
    return this.#unexpected(operatorWords, token)
  }

  /** `anything but "a"`, `anything but ("a", "b")`, or any other question after it. */
  #unwanted(path: Path): Test {
    const token = this.#tokens.peek()
    const exactly = this.#is('exactly')
    const isList = this.#isSign('(', exactly ? 1 : 0)
    const isValue = exactly || isList || isLiteral(token) || token.kind === 'text' || token.kind === 'number'
    const tests = isValue ? this.#equality(path, isList ? 'list' : 'one') : this.#tests(path)
    const [only, ...more] = tests
    return only && more.length === 0 ? only : { kind: 'wildcard', values: this.#asWildcards(tests, token.at) }
  }

  /** Tests that came from one list of wildcards, as that list again: `other` has room for one test. */
  #asWildcards(tests: readonly Test[], at: number): readonly string[] {
    return tests.flatMap((test) => {
      if (test.kind === 'wildcard') return test.values
      if (test.kind === 'prefix') return test.values.map((value) => `${escapeWildcard(value)}*`)
      if (test.kind === 'suffix') return test.values.map((value) => `*${escapeWildcard(value)}`)
      if (test.kind !== 'equals') return refuseAt(at, 'expected values of one kind after anything but')
      return test.values.map((value) =>
        typeof value === 'string'
          ? escapeWildcard(value)
          : refuseAt(at, 'a list with a * may hold only texts'),
      )
    })
  }

  #equality(path: Path, shape: 'one' | 'list'): readonly Test[] {
    const exactly = this.#accept('exactly')
    if (shape === 'one' && this.#isSign('('))
      refuseAt(this.#tokens.peek().at, 'expected one value: a list of values stands after in')
    const values = shape === 'one' ? [this.#scalar()] : this.#list(() => this.#scalar())
    const starred = exactly
      ? undefined
      : values.find(({ value }) => typeof value === 'string' && value.includes('*'))
    const isFamily = this.#inEvent && path.length === 1 && path[0] === 'event_type'
    if (starred && !isFamily)
      refuseAt(
        starred.at,
        '= compares exactly here: write like for a wildcard, or = exactly if the * is meant',
      )
    if (this.#accept('ignoring')) {
      this.#keyword('case')
      if (starred) refuseAt(starred.at, 'case cannot be ignored in a wildcard: use starts with or ends with')
      return [{ kind: 'equals-ignore-case', values: values.map((each) => this.#onlyText(each)) }]
    }
    return joined(values.flatMap((each) => this.#equalTo(each, isFamily && !exactly)))
  }

  /** A star stands for any characters only where the value may be a `family` of types. */
  #equalTo({ value, at }: Value<Scalar>, family: boolean): readonly Test[] {
    if (!family || typeof value !== 'string' || !value.includes('*'))
      return [{ kind: 'equals', values: [value] }]
    this.#refuseIf(at, flawOfWildcard(value))
    return wildcardTests([value])
  }

  #onlyText({ value, at }: Value<Scalar>): string {
    return typeof value === 'string' ? value : refuseAt(at, 'only texts can be compared ignoring case')
  }

  /** `> 5`, or with the other end of the range: `> 5 and <= 10`, which asks both of one value. */
  #range(): Test {
    const { at } = this.#tokens.peek()
    const first = this.#comparison()
    const isRange = this.#is('and') && this.#isComparison(1)
    if (!isRange) return this.#rangeOf(at, { [first.end]: first.bound })
    this.#tokens.next()
    const second = this.#tokens.peek()
    const other = this.#comparison()
    if (other.end === first.end)
      refuseAt(
        second.at,
        `expected ${first.end === 'low' ? '< or <=' : '> or >='}, the other end of the range`,
      )
    return this.#rangeOf(at, { [first.end]: first.bound, [other.end]: other.bound })
  }

  #comparison(): { end: 'low' | 'high'; bound: Bound } {
    const token = this.#tokens.next()
    const comparison = comparisons.get(token.text) ?? this.#unexpected('<, <=, > or >=', token)
    return { end: comparison.end, bound: { value: this.#number(), included: comparison.included } }
  }

  #between(): Test {
    const { at } = this.#tokens.peek()
    const low = { value: this.#number(), included: true }
    this.#keyword('and')
    return this.#rangeOf(at, { low, high: { value: this.#number(), included: true } })
  }

  #rangeOf(at: number, ends: { readonly low?: Bound; readonly high?: Bound }): Test {
    const range = rangeOf(ends)
    this.#refuseIf(at, flawOfRange(range.low, range.high))
    return range
  }

  #end(kind: 'prefix' | 'suffix'): Test {
    this.#keyword('with')
    const values = this.#texts(flawOfText)
    const ignoreCase = this.#accept('ignoring')
    if (ignoreCase) this.#keyword('case')
    return { kind, values, ignoreCase }
  }

  #wildcards(): readonly string[] {
    const values = this.#texts(flawOfWildcard)
    if (this.#is('ignoring'))
      refuseAt(this.#tokens.peek().at, 'case cannot be ignored in a wildcard: use starts with or ends with')
    return values
  }

  #blocks(): Test {
    return { kind: 'cidr', blocks: this.#texts(flawOfBlock) }
  }

  /** One text or a list of them in parentheses. */
  #texts(flawOf: (text: string) => Flaw | undefined): readonly string[] {
    const one = (): string => {
      const token = this.#tokens.peek()
      if (token.kind !== 'text') this.#unexpected('a text in quotes', token)
      this.#refuseIf(token.at, flawOf(token.text))
      return this.#tokens.next().text
    }
    return this.#isSign('(') ? [...new Set(this.#list(one))] : [one()]
  }

  #list<T>(read: () => T): T[] {
    const { at } = this.#sign('(')
    const values = [read()]
    while (this.#isSign(',')) {
      this.#tokens.next()
      values.push(read())
      this.#refuseIf(at, flawOfList(values.length))
    }
    if (!this.#isSign(')')) this.#unexpected(', or the ) of the list')
    this.#tokens.next()
    return values
  }

  #scalar(): Value<Scalar> {
    const token = this.#tokens.peek()
    if (token.kind === 'number') return { value: this.#number(), at: token.at }
    if (token.kind === 'text') {
      this.#refuseIf(token.at, flawOfText(token.text))
      return { value: this.#tokens.next().text, at: token.at }
    }
    if (token.kind === 'word' && !isLiteral(token) && !keywords.has(token.text.toLowerCase()))
      refuseAt(token.at, `expected a value: a text stands in quotes, ${shortened(token.text)}`)
    const value = isLiteral(token) ? literals[token.text.toLowerCase()] : undefined
    if (value === undefined) return this.#unexpected('a text in quotes, a number, true, false or null', token)
    this.#tokens.next()
    return { value, at: token.at }
  }

  #number(): number {
    const token = this.#tokens.peek()
    if (token.kind !== 'number') return this.#unexpected('a number', token)
    this.#refuseIf(token.at, flawOfNumber(Number(token.text)))
    return Number(this.#tokens.next().text)
  }

  #is(keyword: string): boolean {
    const token = this.#tokens.peek()
    return token.kind === 'word' && token.text.toLowerCase() === keyword
  }

  #accept(keyword: string): boolean {
    const found = this.#is(keyword)
    if (found) this.#tokens.next()
    return found
  }

  #keyword(keyword: string): void {
    if (!this.#accept(keyword)) this.#unexpected(keyword)
  }

  #isSign(sign: string, skipped = 0): boolean {
    const token = this.#tokens.peek(skipped)
    return token.kind === 'sign' && token.text === sign
  }

  #isComparison(skipped = 0): boolean {
    const token = this.#tokens.peek(skipped)
    return token.kind === 'sign' && comparisons.has(token.text)
  }

  #sign(sign: string): Token {
    return this.#isSign(sign) ? this.#tokens.next() : this.#unexpected(sign)
  }

  #deeper<T>(at: number, read: () => T): T {
    if (++this.#depth > filterLimits.treeDepthMax)
      throw new FilterError(
        'filter_too_wide',
        `an expression is nested at most ${filterLimits.treeDepthMax} deep`,
        { at },
      )
    const result = read()
    this.#depth--
    return result
  }

  #refuseIf(at: number, flaw: Flaw | undefined): void {
    if (flaw) throw new FilterError(flaw.code, flaw.message, { at })
  }

  #unexpected(expected: string, token: Token = this.#tokens.peek()): never {
    const found =
      token.kind === 'end'
        ? 'it ends'
        : `there is ${token.kind === 'text' ? 'the text ' : ''}${shortened(token.text)}`
    return refuseAt(token.at, `expected ${expected}, but ${found}`)
  }
}

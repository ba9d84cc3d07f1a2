import type { Event } from '@pulse/protocol/event'
import { readBlock } from '../addresses.ts'
import { type Clause, clausesOf, isLookup, type Literal, type Place } from '../clauses.ts'
import { foldCase } from '../fold-case.ts'
import { matches } from '../matches.ts'
import type { Path, Scalar, Test, Tree } from '../tree.ts'
import { readWildcard } from '../wildcard.ts'
import {
  type Compiled,
  type CompiledClause,
  compareClauses,
  compareLists,
  compareNumbers,
  compareRanges,
  compareSets,
  eachOnce,
  type NumberRange,
  type TokenSet,
  withoutImplied,
} from './compiled.ts'
import type { Field } from './field.ts'
import { blockKey, type Fields } from './fields.ts'
import { closedEnds } from './range-ends.ts'
import { conditionKinds, rangeOperands } from './residuals.ts'
import {
  constants,
  ownerOf,
  type Question,
  questionOwner,
  type TokenKind,
  type Tokens,
  tokenKinds,
} from './tokens.ts'

/** Turns trees into numbers: every value that a filter names becomes a token. */
export class Compiler {
  readonly #tokens: Tokens
  readonly #fields: Fields

  constructor(of: { tokens: Tokens; fields: Fields }) {
    this.#tokens = of.tokens
    this.#fields = of.fields
  }

  /**
   * Compiles a tree. With `make`, tokens and fields that are missing are made, and must then be retained; without it,
   * undefined if one is missing. Throws FilterError as `clausesOf`, before anything is made.
   */
  compile(tree: Tree, { make }: { make: boolean }): Compiled | undefined {
    const all = clausesOf(tree)
    const clauses: CompiledClause[] = []
    const work = { make, missing: false, tokens: [], ranged: [], asks: false }
    for (const clause of all) {
      const parts = new ClauseCompiler({ tokens: this.#tokens, fields: this.#fields, work })
      const compiled = parts.compile(clause)
      if (work.missing) return undefined
      clauses.push(compiled)
    }
    clauses.sort(compareClauses)
    return { clauses, tokens: work.tokens, ranged: work.ranged, asks: work.asks }
  }
}

interface Work {
  readonly make: boolean
  missing: boolean
  readonly tokens: number[]
  readonly ranged: Field[]
  asks: boolean
}

class ClauseCompiler {
  readonly #tokens: Tokens
  readonly #fields: Fields
  readonly #work: Work
  readonly #sets: TokenSet[] = []
  readonly #ranges: NumberRange[] = []
  readonly #conditions: number[][] = []
  /** Tokens of which none may be there, by path. */
  #none: Map<string, { owner: number; tokens: number[] }> | undefined

  constructor(of: { tokens: Tokens; fields: Fields; work: Work }) {
    this.#tokens = of.tokens
    this.#fields = of.fields
    this.#work = of.work
  }

  compile(clause: Clause): CompiledClause {
    for (const literal of clause) {
      if (literal.kind === 'at') this.#addPlace(literal, clause)
      else if (literal.kind === 'some') this.#addSome(literal.path, literal.tests)
      else this.#addNone(literal.path, literal.tests)
    }
    if (this.#none)
      for (const { owner, tokens } of this.#none.values())
        this.#addCondition(conditionKinds.none, owner, tokens)
    return {
      sets: withoutImplied(eachOnce(this.#sets, compareSets)),
      ranges: eachOnce(this.#ranges, compareRanges),
      conditions: eachOnce(this.#conditions, compareLists),
    }
  }

  #addSome(path: Path, tests: readonly Test[]): void {
    const [test] = tests
    if (tests.every(isLookup)) {
      this.#addSet(path, tests)
      return
    }
    if (test?.kind === 'range') {
      const [low, high] = closedEnds(test)
      if (low === high) {
        this.#addSet(path, [{ kind: 'equals', values: [low] }])
        return
      }
      const field = this.#field(path)
      if (!field) return
      this.#work.ranged.push(field)
      this.#ranges.push({ field, low, high })
      return
    }
    const tokens = tests.map((each) => this.#questionOf(path, each))
    this.#addCondition(conditionKinds.any, 0, tokens)
    // What begins or ends with a star cannot be looked up; the other end can, and the wildcard is tried on the rest.
    if (test?.kind === 'wildcard') this.#addEnds(path, test.values)
  }

  #addEnds(path: Path, wildcards: readonly string[]): void {
    const parts = wildcards.map((each) => readWildcard(each) ?? [each])
    const firsts = parts.map((each) => each[0] ?? '')
    const lasts = parts.map((each) => each.at(-1) ?? '')
    const shortest = (texts: readonly string[]) => Math.min(...texts.map((text) => text.length))
    const begins = shortest(firsts) >= shortest(lasts)
    if (Math.max(shortest(firsts), shortest(lasts)) === 0) return
    this.#addSet(path, [
      { kind: begins ? 'prefix' : 'suffix', values: begins ? firsts : lasts, ignoreCase: false },
    ])
  }

  #addSet(path: Path, tests: readonly Test[]): void {
    const field = this.#field(path)
    if (!field) return
    const found: number[] = []
    let weak = false
    for (const test of tests) {
      this.#lookUp(field, test, found)
      weak ||= test.kind === 'exists'
    }
    const tokens = found.length === 1 ? found : eachOnce(found, compareNumbers)
    for (const token of tokens) this.#work.tokens.push(token)
    this.#sets.push({ field, tokens, weak })
  }

  #addNone(path: Path, tests: readonly Test[]): void {
    const key = path.join('\0')
    this.#none ??= new Map()
    const none = this.#none.get(key) ?? { owner: -1, tokens: [] }
    for (const test of tests) {
      if (test.kind === 'range') this.#addOutside(path, test)
      else if (isLookup(test)) {
        const field = this.#field(path)
        if (!field) return
        if (none.owner < 0) none.owner = field.id
        this.#lookUp(field, test, none.tokens)
      } else {
        none.owner = 0
        none.tokens.push(this.#questionOf(path, test))
      }
    }
    if (none.tokens.length > 0) this.#none.set(key, none)
  }

  #addOutside(path: Path, test: Extract<Test, { kind: 'range' }>): void {
    const field = this.#field(path)
    if (!field) return
    this.#work.ranged.push(field)
    this.#conditions.push([conditionKinds.outside, 5, field.id, ...rangeOperands(...closedEnds(test))])
  }

  #addPlace({ path, wants }: Place, clause: Clause): void {
    this.#work.asks = true
    const array = this.#question({
      key: `array ${JSON.stringify(path)}`,
      ask: (event) => kindAt(event, path) === 'array',
    })
    this.#addCondition(conditionKinds.ask, 0, [array])
    if (wants === 'either' || (wants === 'object' && clause.some((other) => isBelow(other, path)))) return
    const object = this.#question({
      key: `object ${JSON.stringify(path)}`,
      ask: (event) => kindAt(event, path) === 'object',
    })
    this.#addCondition(wants === 'object' ? conditionKinds.any : conditionKinds.none, 0, [object])
  }

  #addCondition(kind: number, owner: number, of: readonly number[]): void {
    const tokens = eachOnce(of, compareNumbers)
    this.#work.tokens.push(...tokens)
    // What asks has no owner before its token.
    const operands = kind === conditionKinds.ask ? tokens : [owner, ...tokens]
    this.#conditions.push([kind, operands.length, ...operands])
  }

  #questionOf(path: Path, test: Test): number {
    const tree: Tree = { kind: 'some', path, test }
    return this.#question({ key: JSON.stringify([path, test]), ask: (event) => matches(tree, event) })
  }

  #question(question: Question): number {
    const found = this.#tokens.find(questionOwner, question)
    if (found >= 0) return found
    if (this.#work.make) return this.#tokens.add(questionOwner, question)
    this.#work.missing = true
    return -1
  }

  #field(path: Path): Field | undefined {
    const found = this.#fields.find(path)
    if (found) return found
    if (this.#work.make) return this.#fields.make(path)
    this.#work.missing = true
    return undefined
  }

  /** Adds the tokens of a test's values. */
  #lookUp(field: Field, test: Test, into: number[]): void {
    switch (test.kind) {
      case 'exists':
        into.push(this.#token(field, tokenKinds.constant, constants.exists))
        return
      case 'equals':
        for (const value of test.values) into.push(this.#tokenOfScalar(field, value))
        return
      case 'equals-ignore-case':
        for (const value of test.values) into.push(this.#token(field, tokenKinds.foldedText, foldCase(value)))
        return
      case 'prefix':
      case 'suffix': {
        const kind = textKinds[test.kind][test.ignoreCase ? 'folded' : 'plain']
        for (const value of test.values)
          into.push(this.#token(field, kind, test.ignoreCase ? foldCase(value) : value))
        return
      }
      case 'cidr':
        for (const written of test.blocks) {
          const block = readBlock(written)
          if (block) into.push(this.#token(field, tokenKinds.block, blockKey(block.address, block.bits)))
        }
    }
  }

  #tokenOfScalar(field: Field, value: Scalar): number {
    if (typeof value === 'string') return this.#token(field, tokenKinds.text, value)
    if (typeof value === 'number') return this.#token(field, tokenKinds.number, value)
    const constant = value === null ? constants.null : value ? constants.true : constants.false
    return this.#token(field, tokenKinds.constant, constant)
  }

  #token(field: Field, kind: TokenKind, value: string | number): number {
    const owner = ownerOf(field.id, kind)
    const found = this.#tokens.find(owner, value)
    if (found >= 0) return found
    if (!this.#work.make) {
      this.#work.missing = true
      return -1
    }
    const made = this.#tokens.add(owner, value)
    this.#fields.register(made)
    return made
  }
}

const textKinds = {
  prefix: { plain: tokenKinds.prefix, folded: tokenKinds.foldedPrefix },
  suffix: { plain: tokenKinds.suffix, folded: tokenKinds.foldedSuffix },
} as const

/** Something that must be there below the path: then there is an object at the path, if there is no array. */
const isBelow = (literal: Literal, path: Path): boolean =>
  literal.kind === 'some' &&
  literal.path.length > path.length &&
  path.every((name, i) => literal.path[i] === name)

/** What the path leads to, or `array` if it meets one on its way. */
function kindAt(event: Event, path: Path): 'array' | 'object' | 'other' {
  let value: unknown = event
  for (const name of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return 'other'
    value = (value as Record<string, unknown>)[name]
    if (Array.isArray(value)) return 'array'
  }
  return typeof value === 'object' && value !== null ? 'object' : 'other'
}

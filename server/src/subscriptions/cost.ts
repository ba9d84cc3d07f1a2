import { type Clause, clausesOf, isLookup, type Literal } from './clauses.ts'
import type { Path, Test, Tree } from './tree.ts'
import { readWildcard } from './wildcard.ts'

/** What a filter costs on the events that it does not match. */
export interface Cost {
  /** The index finds it by values alone, so that it costs what it matches. Otherwise it is tried on every event. */
  readonly selective: boolean
  /** Alternatives, each of which is found by itself. */
  readonly clauses: number
  /** A sentence for who wrote it: by what it is found, or what is missing. */
  readonly reason: string
}

/** What a filter costs. Throws FilterError `filter_too_wide` as `clausesOf`. */
export function costOf(tree: Tree): Cost {
  const clauses = clausesOf(tree)
  if (clauses.length === 0) return { selective: true, clauses: 0, reason: 'No event can match.' }
  const found = clauses.map(foundBy)
  const selective = found.every((path) => path !== undefined)
  if (selective) {
    const paths = [...new Set(found.map((path) => path.join('.')))]
    const more = paths.length > 3 ? ` and ${paths.length - 2} more` : ''
    const named = more ? paths.slice(0, 2) : paths
    return { selective, clauses: clauses.length, reason: `Found by ${named.join(', ')}${more}.` }
  }
  const one = clauses.length > 1 ? 'one of the alternatives of the filter' : 'the filter'
  return {
    selective,
    clauses: clauses.length,
    reason: `${one[0]?.toUpperCase()}${one.slice(1)} names no value, begin, end or range that a member must have, so it would be tried on every event; add one, such as an event type.`,
  }
}

/** A path by whose values the clause is found. */
const foundBy = (clause: Clause): Path | undefined => clause.find(isSelective)?.path

function isSelective(literal: Literal): boolean {
  return literal.kind === 'some' && literal.tests.every(saysSomething)
}

function saysSomething(test: Test): boolean {
  if (test.kind === 'range') return Number.isFinite(test.low.value) || Number.isFinite(test.high.value)
  if (test.kind === 'wildcard') return test.values.every(hasFixedEnd)
  if (test.kind === 'prefix' || test.kind === 'suffix') return test.values.every((value) => value !== '')
  return isLookup(test) && test.kind !== 'exists'
}

function hasFixedEnd(wildcard: string): boolean {
  const parts = readWildcard(wildcard) ?? [wildcard]
  return parts[0] !== '' || parts.at(-1) !== ''
}

import type { Condition, FilterForms } from '../delivery/queries.ts'
import { formatPattern } from './pattern-text.ts'

/** The three ways to write a filter. */
export const filterForms = ['expression', 'pattern', 'simple'] as const
export type FilterFormName = (typeof filterForms)[number]

/**
 * A filter as somebody writes it: what stands in the fields of each form. A form that was not written in and that
 * nobody has worked out from the others is undefined; one that cannot say the filter is null.
 */
export interface Draft {
  readonly form: FilterFormName
  readonly expression: string | undefined
  readonly pattern: string | null | undefined
  readonly simple: SimpleDraft | null | undefined
}

/** The simple form's fields. Types and tiers stand in one line, with commas between. */
export interface SimpleDraft {
  readonly types: string
  readonly tiers: string
  readonly amount: string
}

/** Why a draft is no condition yet, which the page sees without the server. */
export interface Flaw {
  readonly flaw: string
}

export const emptyDraft: Draft = {
  form: 'expression',
  expression: '',
  pattern: undefined,
  simple: undefined,
}

const noSimple: SimpleDraft = { types: '', tiers: '', amount: '' }
const listOf = (text: string) =>
  text
    .split(/[,\n]/)
    .map((word) => word.trim())
    .filter((word) => word !== '')

/** What a draft asks for, or what keeps it from asking. */
export function conditionOf(draft: Draft): Condition | Flaw {
  switch (draft.form) {
    case 'expression': {
      const expression = draft.expression?.trim() ?? ''
      return expression === '' ? { flaw: 'Write an expression first.' } : { expression }
    }
    case 'pattern':
      return patternOf(draft.pattern ?? '')
    case 'simple':
      return simpleOf(draft.simple ?? noSimple)
  }
}

function patternOf(text: string): Condition | Flaw {
  if (text.trim() === '') return { flaw: 'Write a pattern first.' }
  try {
    const pattern: unknown = JSON.parse(text)
    if (typeof pattern !== 'object' || pattern === null || Array.isArray(pattern))
      return { flaw: 'A pattern is a JSON object whose members are those of an event.' }
    return { pattern: pattern as Record<string, unknown> }
  } catch (error) {
    return { flaw: `This is not JSON yet: ${error instanceof Error ? error.message : String(error)}` }
  }
}

function simpleOf({ types, tiers, amount }: SimpleDraft): Condition | Flaw {
  const event_types = listOf(types)
  if (event_types.length === 0) return { flaw: 'Name at least one event type.' }
  const least = amount.trim() === '' ? null : Number(amount)
  if (least !== null && !Number.isFinite(least)) return { flaw: 'The least amount is not a number.' }
  const user_tiers = listOf(tiers)
  return { event_types, user_tiers: user_tiers.length > 0 ? user_tiers : null, min_amount: least }
}

/** The same filter in every form that can say it, as the server worked them out. */
export function draftOf(forms: FilterForms, form: FilterFormName): Draft {
  const { event_types, user_tiers, min_amount, pattern, expression } = forms
  return {
    form,
    expression,
    pattern: pattern && formatPattern(pattern),
    simple: event_types ? simpleDraft(event_types, user_tiers, min_amount) : null,
  }
}

function simpleDraft(
  types: readonly string[],
  tiers: readonly string[] | null | undefined,
  amount: number | null | undefined,
): SimpleDraft {
  return {
    types: types.join(', '),
    tiers: tiers?.join(', ') ?? '',
    amount: amount === null || amount === undefined ? '' : String(amount),
  }
}

/** A filter in the form in which it was submitted; nobody has worked out the others. */
export function draftOfCondition(condition: Condition): Draft {
  if ('expression' in condition) return written({ form: 'expression', expression: condition.expression })
  if ('pattern' in condition) return written({ form: 'pattern', pattern: formatPattern(condition.pattern) })
  const { event_types, user_tiers, min_amount } = condition
  return written({ form: 'simple', simple: simpleDraft(event_types, user_tiers, min_amount) })
}

/** What was written in one form; what the others say is not known any more. */
export function written(draft: Pick<Draft, 'form'> & Partial<Draft>): Draft {
  return { expression: undefined, pattern: undefined, simple: undefined, ...draft }
}

/** The form and text of a draft, for an address. */
export function textOf(draft: Draft): string {
  if (draft.form === 'expression') return draft.expression ?? ''
  return draft.form === 'pattern' ? (draft.pattern ?? '') : JSON.stringify(draft.simple ?? noSimple)
}

/** The draft that an address names; the empty one if it names none. */
export function draftFromText(form: string | undefined, text: string | undefined): Draft {
  const named = filterForms.find((one) => one === form) ?? 'expression'
  if (text === undefined)
    return written({ form: named, ...(named === 'expression' ? { expression: '' } : {}) })
  if (named === 'simple') return written({ form: named, simple: readSimple(text) })
  return written({ form: named, [named]: text })
}

function readSimple(text: string): SimpleDraft {
  try {
    const { types, tiers, amount } = JSON.parse(text) as Record<string, unknown>
    const said = (value: unknown) => (typeof value === 'string' ? value : '')
    return { types: said(types), tiers: said(tiers), amount: said(amount) }
  } catch {
    return noSimple
  }
}

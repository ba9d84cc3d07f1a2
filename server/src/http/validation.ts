import type { InvalidMember } from '@pulse/protocol/receipt'
import { wording } from '@pulse/protocol/wording'
import type { FastifySchemaCompiler } from 'fastify'
import type { z } from 'zod'
import { ProblemError } from './problem-error.ts'

const places: Readonly<Record<string, string>> = {
  body: 'The body',
  querystring: 'The query',
  params: 'The path',
  headers: 'A header',
}

const errorsMax = 100

/** Makes the check of one part of a request: what is wrong with it becomes a problem that names every wrong member. */
export const compileValidator: FastifySchemaCompiler<z.ZodType> = ({ schema, httpPart }) => {
  const place = places[httpPart ?? 'body'] ?? 'The request'
  return (data) => {
    const result = schema.safeParse(data, { error: wording })
    if (result.success) return { value: result.data }
    const errors = result.error.issues.flatMap(membersOf)
    return {
      error: new ProblemError('invalid_request', sentenceOf(place, errors), {
        errors: errors.slice(0, errorsMax),
      }),
    }
  }
}

function membersOf(issue: z.core.$ZodIssue): readonly InvalidMember[] {
  const pointer = issue.path.map((step) => `/${escapePointer(String(step))}`).join('')
  // A member that nobody expects is named itself: its parent alone would leave the reader searching.
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({ pointer: `${pointer}/${escapePointer(key)}`, detail: issue.message }))
  if (issue.code !== 'invalid_union') return [{ pointer, detail: issue.message }]
  return (
    formMeant(issue)?.map((member) => ({ ...member, pointer: pointer + member.pointer })) ?? [
      { pointer, detail: issue.message },
    ]
  )
}

/** What is wrong with the form that was meant: the one with the fewest mistakes. Undefined if two have as few. */
function formMeant({ errors }: z.core.$ZodIssueInvalidUnion): readonly InvalidMember[] | undefined {
  const [best, second] = errors
    .map((issues) => issues.flatMap(membersOf))
    .sort((one, other) => one.length - other.length)
  return best && best.length > 0 && best.length < (second?.length ?? Number.POSITIVE_INFINITY)
    ? best
    : undefined
}

function sentenceOf(place: string, errors: readonly InvalidMember[]): string {
  const [first] = errors
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more in errors)` : ''
  if (first === undefined || first.pointer === '')
    return `${place} ${first?.detail ?? 'is not valid'}${more}.`
  return `${place} is not valid: ${first.pointer} ${first.detail}${more}.`
}

/** One step of a JSON Pointer (RFC 6901). */
function escapePointer(step: string): string {
  return step.replaceAll('~', '~0').replaceAll('/', '~1')
}

import type { z } from 'zod'

const kinds: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
}

const formats: Readonly<Record<string, string>> = {
  datetime: 'an RFC 3339 date-time in UTC, such as 2026-03-01T12:00:00Z',
  uuid: 'a UUID',
  guid: 'a UUID',
  url: 'an address such as https://example.com',
}

/**
 * What is wrong with a value, as the end of a sentence that begins with its name: `user_id must be text`. Given to zod as
 * `error`, for the schema of what clients send; a message that stands in the schema itself goes first.
 */
export function wording(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined ? 'is missing' : `must be ${kinds[issue.expected] ?? issue.expected}`
    case 'invalid_value':
      return `must be ${issue.values.length > 1 ? 'one of ' : ''}${issue.values.map(String).join(', ')}`
    case 'too_small':
      return tooSmall(Number(issue.minimum), issue.origin, issue.inclusive !== false)
    case 'too_big':
      return `must ${bound(issue.origin, issue.inclusive === false ? 'less than' : 'at most', Number(issue.maximum))}`
    case 'invalid_format':
      return `must be ${formats[issue.format] ?? `a valid ${issue.format}`}`
    case 'unrecognized_keys':
      return 'is not known here'
    case 'invalid_union':
      return 'has none of the forms that are allowed here'
    case 'not_multiple_of':
      return `must be a multiple of ${issue.divisor}`
    default:
      return 'is not valid'
  }
}

function tooSmall(minimum: number, origin: string, inclusive: boolean): string {
  if (minimum === 1 && inclusive && (origin === 'string' || origin === 'array')) return 'must not be empty'
  return `must ${bound(origin, inclusive ? 'at least' : 'more than', minimum)}`
}

function bound(origin: string, words: string, count: number): string {
  const unit = origin === 'string' ? 'character' : origin === 'array' || origin === 'set' ? 'item' : undefined
  return unit === undefined
    ? `be ${words} ${count}`
    : `have ${words} ${count} ${unit}${count === 1 ? '' : 's'}`
}

import { InvalidArgumentError } from 'commander'

/** Reads a whole number within bounds. Throws what commander shows as a usage error. */
export const wholeNumber =
  (least: number, most: number) =>
  (text: string): number => {
    const value = Number(text)
    if (!/^\d+$/.test(text) || value < least || value > most)
      throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`)
    return value
  }

/** Reads a number that is not negative. Throws what commander shows as a usage error. */
export function notNegative(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value) || value < 0)
    throw new InvalidArgumentError('It must be a number, zero or more.')
  return value
}

/** Reads the character between the fields of CSV; `tab` and `\t` stand for a tab. */
export function oneCharacter(text: string): string {
  const character = text === '\\t' || text === 'tab' ? '\t' : text
  if (!/^[\t -~]$/.test(character) || character === '"')
    throw new InvalidArgumentError('It must be one ASCII character.')
  return character
}

/** Reads `a,b,c`. */
export function list(text: string): string[] {
  return text
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '')
}

/** Collects `name=value` pairs, several in one text or the option several times. */
export function pairs(text: string, earlier: Readonly<Record<string, string>> = {}): Record<string, string> {
  const all: Record<string, string> = { ...earlier }
  for (const one of list(text)) {
    const cut = one.indexOf('=')
    if (cut < 1 || cut === one.length - 1) throw new InvalidArgumentError(`'${one}' is not NAME=VALUE.`)
    all[one.slice(0, cut)] = one.slice(cut + 1)
  }
  return all
}

const jsonNumber = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/

/**
 * Reads a value that was written as text: a number, true, false and null as themselves, the rest as text.
 * Numbers of more than 15 digits stay text, because a double could not hold them (card and phone numbers).
 */
export function scalar(text: string): string | number | boolean | null {
  if (text === 'true' || text === 'false') return text === 'true'
  if (text === 'null') return null
  const digits = text.replace(/^-?0*\.?0*|[eE].*$|\./g, '').length
  return jsonNumber.test(text) && digits <= 15 && Number.isFinite(Number(text)) ? Number(text) : text
}

const spans = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** Reads a length of time such as `500ms`, `60s`, `2m`, `1h`. Gives milliseconds, above zero. */
export function span(text: string): number {
  const [, digits = '', unit = ''] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text) ?? []
  const ms = Number(digits) * (unit === 'ms' ? 1 : (spans[unit as keyof typeof spans] ?? 0))
  if (!(ms > 0)) throw new InvalidArgumentError('It must be a length of time such as 500ms, 60s, 2m, 1h.')
  return ms
}

/** Reads a time: RFC 3339, a date, or a span back from now such as `15m`, `2h`, `7d`. Gives RFC 3339. */
export function moment(text: string): string {
  const span = /^(\d+)([smhd])$/.exec(text)
  if (span) return new Date(Date.now() - Number(span[1]) * spans[span[2] as keyof typeof spans]).toISOString()
  const dated = /^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : text
  if (!/^\d{4}-\d\d-\d\dT.*(Z|[+-]\d\d:\d\d)$/i.test(dated) || Number.isNaN(Date.parse(dated)))
    throw new InvalidArgumentError(
      'It must be RFC 3339 with an offset, a date, or a span such as 15m, 2h, 7d.',
    )
  return dated
}

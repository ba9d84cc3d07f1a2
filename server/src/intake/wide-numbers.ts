/** Stands in a parsed value where a number was that a double cannot hold. */
export const wideNumber = Symbol('a number that would change')

/**
 * JSON.parse, but a whole number that is no double, one that is infinite as a double, and one that is not zero but would
 * become it are given as `wideNumber`. JSON.parse itself rounds them without a word: `12345678901234567890` becomes
 * `12345678901234567000`, and `1e400` would be stored as null. Decimal fractions are rounded, as everywhere (RFC 7493).
 * Throws SyntaxError.
 */
export function parseWithWideNumbers(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' && changes(value, context?.source ?? '') ? wideNumber : value,
  )
}

function changes(value: number, source: string): boolean {
  if (!Number.isFinite(value)) return true
  if (value === 0) return /[1-9]/.test(source.split(/e/i, 1)[0] ?? '')
  return /^-?\d+$/.test(source) && BigInt(source) !== BigInt(value)
}

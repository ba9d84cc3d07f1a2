/** What one pass over the bytes of a JSON text tells before it is parsed. */
export interface JsonScan {
  /** Members of all objects, counted by their colons; more than the parsed value has means a key stood twice. */
  readonly members: number
  readonly depth: number
  /** A `\u` escape is there: only then can a string hold NUL or half a surrogate pair. */
  readonly escapes: boolean
  /** A string begins with two underscores: only then can a member be called `__proto__` without an escape. */
  readonly underscores: boolean
  /** A number is there that a double may not hold: 16 digits or more before the point, or an exponent. */
  readonly wideNumbers: boolean
}

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const underscore = 0x5f
const point = 0x2e
// Every whole number of 15 digits is a double.
const safeDigits = 15

/**
 * Scans UTF-8 JSON without building anything: about one nanosecond per byte. It does not check the grammar;
 * JSON.parse does that. It exists because JSON.parse silently keeps the last of two equal keys.
 */
export function scanJson(bytes: Uint8Array): JsonScan {
  let members = 0
  let depth = 0
  let open = 0
  let escapes = false
  let underscores = false
  let digits = 0
  let wideNumbers = false
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] as number
    if (isDigit(byte)) {
      if (++digits > safeDigits) wideNumbers = true
    } else if (byte === quote) {
      digits = 0
      if (bytes[i + 1] === underscore && bytes[i + 2] === underscore) underscores = true
      for (i++; i < bytes.length && bytes[i] !== quote; i++) {
        if (bytes[i] !== backslash) continue
        i++
        if (bytes[i] === 0x75) escapes = true
      }
    } else if (byte === 0x3a) {
      digits = 0
      members++
    } else if (byte === 0x7b || byte === 0x5b) {
      open++
      if (open > depth) depth = open
    } else if (byte === 0x7d || byte === 0x5d) open--
    else if (byte === comma) digits = 0
    else if (byte === point)
      digits = -bytes.length // decimals are rounded, as everywhere
    else if ((byte === 0x65 || byte === 0x45) && isDigit(bytes[i - 1])) wideNumbers = true
  }
  return { members, depth, escapes, underscores, wideNumbers }
}

const isDigit = (byte: number | undefined) => byte !== undefined && byte >= 0x30 && byte <= 0x39

/** Members of a parsed value, counted as `scanJson` counts them. */
export function countMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  if (Array.isArray(value)) {
    let members = 0
    for (const each of value) members += countMembers(each)
    return members
  }
  let members = 0
  for (const key in value) members += 1 + countMembers((value as Record<string, unknown>)[key])
  return members
}

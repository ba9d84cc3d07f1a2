/** What one pass over the bytes of a JSON text tells before it is parsed. */
export interface JsonScan {
  /** Members of all objects, counted by their colons; more than the parsed value has means a key stood twice. */
  readonly members: number
  readonly depth: number
  /** A `\u` escape is there: only then can a string hold NUL or half a surrogate pair. */
  readonly escapes: boolean
}

const quote = 0x22
const backslash = 0x5c

/**
 * Scans UTF-8 JSON without building anything: about one nanosecond per byte. It does not check the grammar;
 * JSON.parse does that. It exists because JSON.parse silently keeps the last of two equal keys.
 */
export function scanJson(bytes: Uint8Array): JsonScan {
  let members = 0
  let depth = 0
  let open = 0
  let escapes = false
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] as number
    if (byte === quote) {
      for (i++; i < bytes.length && bytes[i] !== quote; i++) {
        if (bytes[i] !== backslash) continue
        i++
        if (bytes[i] === 0x75) escapes = true
      }
    } else if (byte === 0x3a) members++
    else if (byte === 0x7b || byte === 0x5b) {
      open++
      if (open > depth) depth = open
    } else if (byte === 0x7d || byte === 0x5d) open--
  }
  return { members, depth, escapes }
}

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

/** A wildcard taken apart: what must stand between its stars, in order; one part if it has none. */
export type WildcardParts = readonly string[]

/**
 * Takes a wildcard apart at its stars. `\*` and `\\` stand for the characters themselves; undefined if a backslash stands
 * before anything else, or if two stars follow each other (as in event-ruler: they say no more than one).
 */
export function readWildcard(text: string): WildcardParts | undefined {
  const parts: string[] = []
  let part = ''
  for (let i = 0; i < text.length; i++) {
    const character = text[i] as string
    if (character === '*') {
      if (text[i + 1] === '*') return undefined
      parts.push(part)
      part = ''
    } else if (character === '\\') {
      i++
      const escaped = text[i]
      if (escaped !== '*' && escaped !== '\\') return undefined
      part += escaped
    } else part += character
  }
  return [...parts, part]
}

/** Writes text so that a wildcard means exactly it. */
export const escapeWildcard = (text: string): string => text.replace(/[\\*]/g, '\\$&')

/**
 * Whether the whole text is the parts in order with anything between them. The first part is tied to the begin, the last
 * to the end, and each of the others taken where it comes first: no choice is ever taken back, so it takes time
 * in proportion to the text, however many stars there are.
 */
export function wildcardMatches(parts: WildcardParts, text: string): boolean {
  const first = parts[0] ?? ''
  if (parts.length === 1) return text === first
  const last = parts[parts.length - 1] ?? ''
  if (text.length < first.length + last.length) return false
  if (!text.startsWith(first) || !text.endsWith(last)) return false
  const end = text.length - last.length
  let at = first.length
  for (const part of parts.slice(1, -1)) {
    const found = find(text, part, at)
    if (found < 0 || found + part.length > end) return false
    at = found + part.length
  }
  return true
}

// Up to this product of lengths the engine's own search is the faster one even at its worst, which is the product.
const plainSearchMax = 65_536

function find(text: string, part: string, from: number): number {
  const plain = (text.length - from) * part.length <= plainSearchMax
  return plain ? text.indexOf(part, from) : findLinear(text, part, from)
}

/** Knuth, Morris and Pratt: never looks at a character of the text again, whatever text and part are made of. */
function findLinear(text: string, part: string, from: number): number {
  const borders = bordersOf(part)
  let matched = 0
  for (let i = from; i < text.length; i++) {
    const code = text.charCodeAt(i)
    while (matched > 0 && part.charCodeAt(matched) !== code) matched = borders[matched - 1] ?? 0
    if (part.charCodeAt(matched) === code) matched++
    if (matched === part.length) return i - matched + 1
  }
  return part === '' ? from : -1
}

/** For every prefix of the part, the length of its longest proper prefix that is its suffix too. */
function bordersOf(part: string): Uint16Array {
  const borders = new Uint16Array(part.length)
  for (let i = 1, length = 0; i < part.length; i++) {
    while (length > 0 && part[i] !== part[length]) length = borders[length - 1] ?? 0
    if (part[i] === part[length]) length++
    borders[i] = length
  }
  return borders
}

// Anything outside ASCII; letters there need more than their own lower case.
const beyondAscii = /[^\p{ASCII}]/u

/**
 * The form in which strings are compared where case does not matter: two are equal if their folded forms are. Every code
 * point is folded by itself and stays one (Unicode's simple folding), so a folded prefix is the prefix of the folded
 * text; `toLowerCase` alone writes a final sigma in two ways. `ß` is not `ss`, and no language has rules of its own.
 */
export function foldCase(text: string): string {
  if (!beyondAscii.test(text)) return text.toLowerCase()
  let folded = ''
  for (const character of text) folded += foldOne(character)
  return folded
}

function foldOne(character: string): string {
  const upper = oneOf(character.toUpperCase(), character)
  return oneOf(upper.toLowerCase(), upper)
}

/** The mapped character, or the original where the mapping makes several of it. */
function oneOf(mapped: string, original: string): string {
  const point = mapped.codePointAt(0) ?? 0
  return mapped.length === (point > 0xffff ? 2 : 1) ? mapped : original
}

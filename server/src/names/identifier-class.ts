import { wouldJoin } from './joining.ts'

// RFC 8264's IdentifierClass, category by category (its section 9), from the properties that the runtime knows.

// 9.6, Exceptions: allowed, although their category is not.
const allowedException = /[\u00df\u03c2\u06fd\u06fe\u0f0b\u3007]/
// 9.6: refused, although their category is allowed.
const refusedException = /[\u0640\u07fa\u302e\u302f\u3031-\u3035\u303b]/
// 9.6 and 9.8: allowed where their context is right.
const needsContext = /[\u00b7\u0375\u05f3\u05f4\u0660-\u0669\u06f0-\u06f9\u200c-\u200d\u30fb]/
// 9.1, LetterDigits. Unassigned, private, control and half characters are in none of these categories.
const letterOrDigit = /^[\p{Ll}\p{Lu}\p{Lo}\p{Nd}\p{Lm}\p{Mn}\p{Mc}]$/u
// 9.9, OldHangulJamo: the parts of syllables; JavaScript does not know their property.
const oldHangulJamo = /[\u1100-\u11ff\ua960-\ua97c\ud7b0-\ud7c6\ud7cb-\ud7fb]/
// 9.13, PrecisIgnorableProperties.
const ignorable = /[\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}]/u

/** The first character of a text that no identifier may have, wherever it stands. */
export function firstDisallowed(text: string): string | undefined {
  for (const character of text) if (!isAllowed(character)) return character
  return undefined
}

function isAllowed(character: string): boolean {
  // 9.11, ASCII7.
  if (character <= '\x7f') return character >= '\x21' && character <= '\x7e'
  if (allowedException.test(character) || needsContext.test(character)) return true
  return (
    letterOrDigit.test(character) &&
    !refusedException.test(character) &&
    !oldHangulJamo.test(character) &&
    !ignorable.test(character) &&
    // 9.17, HasCompat: ligatures, mathematical alphabets, Roman numerals and their like.
    character.normalize('NFKC') === character
  )
}

/** The first character of a text that stands where it must not (RFC 5892, appendix A). */
export function firstOutOfContext(text: string): string | undefined {
  if (!needsContext.test(text)) return undefined
  const characters = [...text]
  const misplaced = characters.find((_, at) => !isInPlace(characters, at))
  return misplaced ?? firstOutOfText(text)
}

/** What a character asks of its neighbours. */
function isInPlace(characters: readonly string[], at: number): boolean {
  const before = characters[at - 1] ?? ''
  const after = characters[at + 1] ?? ''
  switch (characters[at]) {
    case '\u200c': // A.1, zero width non-joiner.
      return isVirama(before) || wouldJoin(characters, at)
    case '\u200d': // A.2, zero width joiner.
      return isVirama(before)
    case '\u00b7': // A.3, the dot of the Catalan `l·l`.
      return before === 'l' && after === 'l'
    case '\u0375': // A.4, the Greek sign of a number.
      return /\p{Script=Greek}/u.test(after)
    case '\u05f3': // A.5 and A.6, Hebrew punctuation.
    case '\u05f4':
      return /\p{Script=Hebrew}/u.test(before)
    default:
      return true
  }
}

/** What a character asks of the whole text, looked at once however often it occurs. */
function firstOutOfText(text: string): string | undefined {
  // A.7: the katakana middle dot is a dot among Japanese letters.
  if (text.includes('\u30fb') && !/[\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Han}]/u.test(text))
    return '\u30fb'
  // A.8 and A.9: Arabic-Indic digits are of one kind, since three of both kinds look the same.
  return /[\u0660-\u0669]/.test(text) ? /[\u06f0-\u06f9]/.exec(text)?.[0] : undefined
}

/**
 * Whether a mark's canonical combining class is 9 (virama). JavaScript has no such property, but NFD sorts marks by
 * class: one of class 9 goes before a mark of class 10 (U+05B0) and behind one of class 8 (U+3099).
 */
function isVirama(mark: string): boolean {
  return (
    /^\p{M}$/u.test(mark) &&
    mark !== '\u05b0' &&
    mark !== '\u3099' &&
    `\u05b0${mark}`.normalize('NFD') === `${mark}\u05b0` &&
    `${mark}\u3099`.normalize('NFD') === `\u3099${mark}`
  )
}

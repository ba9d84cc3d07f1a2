import { obeysBidiRule } from './bidi-rule.ts'
import { firstDisallowed, firstOutOfContext } from './identifier-class.ts'

/**
 * How names are compared.
 * - `username`: by RFC 8265's UsernameCaseMapped, so that `Ａda`, `ADA` and `ada` are one name.
 * - `exact`: as they are given, without the white space around them; case counts, every character is allowed.
 */
export type NameProfile = 'username' | 'exact'

/**
 * Bytes of UTF-8 that a normal form has at most, in either profile: 255 characters of four bytes. The unique index
 * could hold 2,704; a name is shown to people, and nobody reads more.
 */
export const nameBytesMax = 1_020

/** Why a text is no name: a stable word; the message is a sentence for people. */
export type NameFaultReason =
  | 'empty'
  | 'too_short'
  | 'too_long'
  | 'disallowed'
  | 'context'
  | 'bidi'
  | 'unstable'

/** A text that cannot be a name in the profile asked for. Another try with the same text does not help. */
export class NameFault extends Error {
  override name = 'NameFault'
  readonly reason: NameFaultReason
  constructor(reason: NameFaultReason, message: string) {
    super(message)
    this.reason = reason
  }
}

/**
 * The key under which a name is compared: two texts are one name exactly if their keys are equal. The key of a key is
 * the key itself; a form without that promise lets two people into one account. The white space around the text goes
 * first. Throws a NameFault for a text that is no name.
 *
 * `username` follows RFC 8265 3.3: wide and half-wide characters become ordinary ones, only characters of RFC 8264's
 * IdentifierClass may be left (no space, no symbol beyond ASCII, no decomposed Korean), then lower case, NFC, the rules
 * of characters that need a context, and the Bidi rule. The rules of a context are judged after lower case, in the order
 * of RFC 8264 section 7: Catalan capitals (`PARAL·LEL`) would be refused otherwise. As that section advises, all of it is
 * applied until nothing changes; no text is known that needs more than once, but the promise must not hang on that.
 *
 * The properties of characters are those of the runtime's Unicode: 17.0 at this writing (`process.versions.unicode`; a
 * test names it). Under a runtime with a newer one, characters that were unknown and refused may be allowed, which does
 * no harm, and a letter without case may get one, which changes keys: then the keys of all stored names are computed
 * again, before that runtime answers, and two names that have become one are for people to part.
 */
export function normalForm(text: string, profile: NameProfile): string {
  const trimmed = text.trim()
  if (trimmed === '') throw new NameFault('empty', 'A name is at least one character long.')
  // Before any work: what is too long costs nothing. No key is longer in UTF-16 than in UTF-8.
  if (trimmed.length > nameBytesMax) throw tooLong()
  if (profile === 'exact') return keptForm(trimmed)
  return plainForm(trimmed) ?? stableForm(trimmed)
}

/** The form of a text of visible ASCII, where lower case is all there is to do: nearly every name, in a tenth of a us. */
function plainForm(text: string): string | undefined {
  let capitals = false
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index)
    if (code < 0x21 || code > 0x7e) return undefined
    if (code >= 0x41 && code <= 0x5a) capitals = true
  }
  return capitals ? text.toLowerCase() : text
}

/** The text itself, if PostgreSQL can keep it: it takes no NUL, and half a surrogate pair is no character. */
function keptForm(text: string): string {
  if (text.includes('\0')) throw disallowed('\0')
  refuseHalves(text)
  if (isTooLong(text)) throw tooLong()
  return text
}

// The first application and the three repeats of RFC 8264 section 7.
const applicationsMax = 4

function stableForm(text: string): string {
  refuseHalves(text)
  let form = text
  for (let count = 0; count < applicationsMax; count += 1) {
    const next = applyRules(form)
    if (next === form) {
      if (isTooLong(form)) throw tooLong()
      return form
    }
    form = next
  }
  throw new NameFault('unstable', 'A name must not change when its characters are brought into order again.')
}

// East Asian wide and half-wide forms up to the katakana marks, where NFKC of one character is its plain form. The
// half-wide jamo and symbols behind them stay: they are refused either way, as are the plain forms of theirs.
const wide = /[\u3000\uff01-\uff9f]/g

function applyRules(text: string): string {
  const narrow = text.replace(wide, (character) => character.normalize('NFKC'))
  const refused = firstDisallowed(narrow)
  if (refused !== undefined) throw disallowed(refused)
  const mapped = narrow.toLowerCase().normalize('NFC')
  const misplaced = firstOutOfContext(mapped)
  if (misplaced !== undefined)
    throw new NameFault(
      'context',
      `A name can have ${shown(misplaced)} only beside letters that it belongs to.`,
    )
  if (!obeysBidiRule(mapped))
    throw new NameFault('bidi', 'A name must not mix letters that are read from right to left with others.')
  return mapped
}

function refuseHalves(text: string): void {
  if (!text.isWellFormed())
    throw new NameFault(
      'disallowed',
      'A name cannot have half of a character (a surrogate without its pair).',
    )
}

function isTooLong(text: string): boolean {
  // A UTF-16 unit is three bytes of UTF-8 at most.
  return text.length * 3 > nameBytesMax && Buffer.byteLength(text) > nameBytesMax
}

function tooLong(): NameFault {
  return new NameFault(
    'too_long',
    `A name is at most ${nameBytesMax.toLocaleString('en')} bytes of UTF-8 long.`,
  )
}

function disallowed(character: string): NameFault {
  if (/^\s$/u.test(character)) return new NameFault('disallowed', 'A name cannot have white space in it.')
  return new NameFault('disallowed', `A name cannot have ${shown(character)} in it.`)
}

/** The character, if it can be seen, with its number: what cannot be seen might reorder or hide the sentence. */
function shown(character: string): string {
  const number = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')
  return /^[\p{L}\p{N}\p{P}\p{S}]$/u.test(character) ? `“${character}” (U+${number})` : `U+${number}`
}

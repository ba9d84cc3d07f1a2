// Bidi classes (Unicode 17.0) of the characters that an identifier can have; JavaScript has no property for them. The
// blocks of scripts from right to left are reserved whole, so that a script of a later version is in them already.
const rightToLeft = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u
const arabicNumber = /[\u0660-\u0669\u{10d30}-\u{10d39}\u{10d40}-\u{10d49}]/u
const europeanNumber = /[0-9\u06f0-\u06f9]/
const mark = /\p{Mn}/u
const markLikeLetter = /[\u0cbf\u0cc6\u{11a07}\u{11a08}\u{11c3f}]/u
const neutral =
  /[!-/:-@[-`{-~\u00b7\u02b9\u02ba\u02c6-\u02cf\u02ec\u0375\u200c-\u200d\u2e2f\u30fb\ua67f\ua717-\ua71f\ua788]/

/** `L` left to right, `R` right to left (R and AL), `A` and `E` digits (AN, EN), `M` mark (NSM), `N` all neutral ones. */
function bidiClassOf(character: string): 'L' | 'R' | 'A' | 'E' | 'M' | 'N' {
  if (europeanNumber.test(character)) return 'E'
  if (neutral.test(character)) return 'N'
  if (arabicNumber.test(character)) return 'A'
  if (mark.test(character)) return markLikeLetter.test(character) ? 'L' : 'M'
  return rightToLeft.test(character) ? 'R' : 'L'
}

/**
 * Whether a text of identifier characters obeys the Bidi rule (RFC 5893 section 2), which binds texts with a character
 * that is read from right to left. Rules 1 and 5 leave such a text one way to start: with a letter of that direction.
 */
export function obeysBidiRule(text: string): boolean {
  if (!rightToLeft.test(text)) return true
  const classes = Array.from(text, bidiClassOf).join('')
  if (!/[RA]/.test(classes)) return true
  return /^R(?:[RAENM]*[RAE])?M*$/.test(classes) && !(classes.includes('A') && classes.includes('E'))
}

import { NameFault, type NameProfile, normalForm } from './normal-form.ts'

/** Words behind a name and before it, the best first: none that gives its bearer a rank that nobody has checked. */
const wordsBehind = [
  'hq',
  'dev',
  'online',
  'lab',
  'studio',
  'works',
  'world',
  'now',
  'one',
  'plus',
  'go',
  'on',
  'x',
]
const wordsBefore = ['the', 'its', 'hey', 'im', 'just', 'hello', 'mr', 'ms', 'my', 'go', 'dear', 'only']
const separators = ['', '_', '.', '-'] as const
// Two to four digits, in an order that does not look like a queue: each step has no divisor in common with its size.
const digitRanges = [
  { from: 10, size: 90, step: 37 },
  { from: 100, size: 900, step: 367 },
  { from: 1_000, size: 9_000, step: 3_671 },
] as const

export interface SuggestionBounds {
  /** Characters of a candidate at most; 64 if it is not said, as in the built-in rules. */
  readonly lengthMax?: number
  /** The year that people put behind a name; this one (UTC) if it is not said. */
  readonly year?: number
}

/**
 * Candidates for a name that is taken, the best first, more than a thousand if there is room for digits, none twice and
 * never the name itself. All are normal forms of the profile. Of a text that is no name those characters are used that
 * may stand in one; nothing comes if none may. The same text gives the same candidates for a year: the caller asks which
 * of them are free, and whether the rules allow them.
 */
export function* candidates(
  text: string,
  profile: NameProfile,
  { lengthMax = 64, year = new Date().getUTCFullYear() }: SuggestionBounds = {},
): Generator<string> {
  const name = nameIn(text, profile)
  if (name === '') return
  const seen = new Set([name])
  const joined = createJoiner(lengthMax)
  for (const parts of compositions(name, year)) {
    const candidate = joined(parts)
    if (candidate === '' || seen.has(candidate) || keyOf(candidate, profile) !== candidate) continue
    seen.add(candidate)
    yield candidate
  }
}

/** A candidate in its parts; only the stem may be shortened. */
interface Parts {
  readonly before: string
  readonly stem: string
  readonly behind: string
}

/** Puts candidates together and shortens their stems; each stem is read once, and cut once for each length. */
function createJoiner(lengthMax: number): (parts: Parts) => string {
  const cuts = new Map<string, string>()
  return ({ before, stem, behind }) => {
    const room = lengthMax - charactersIn(before) - charactersIn(behind)
    const asked = `${room} ${stem}`
    const cut = cuts.get(asked) ?? cutTo(room, stem)
    cuts.set(asked, cut)
    return cut === '' ? '' : before + cut + behind
  }
}

/** So much of a stem as has room: what people see as one character stays whole. */
function cutTo(room: number, stem: string): string {
  if (charactersIn(stem) <= room) return stem
  let cut = ''
  let count = 0
  for (const { segment } of new Intl.Segmenter().segment(stem)) {
    count += charactersIn(segment)
    if (count > room) break
    cut += segment
  }
  // A separator at the cut would stand beside another one.
  return cut.replace(/[._-]+$/, '')
}

function charactersIn(text: string): number {
  return Array.from(text).length
}

/** The key, or undefined for what is no name. */
function keyOf(text: string, profile: NameProfile): string | undefined {
  try {
    return normalForm(text, profile)
  } catch (error) {
    if (error instanceof NameFault) return undefined
    throw error
  }
}

// Each character is judged in the place that it has, so that this goes with the square of their number.
const readMax = 64

/** The name's key, or that of what may stay of the text. */
function nameIn(text: string, profile: NameProfile): string {
  const whole = keyOf(text, profile)
  if (whole !== undefined) return whole
  let name = ''
  for (const character of text.trim().slice(0, readMax)) name = keyOf(name + character, profile) ?? name
  return name
}

/** Everything that may be made of a name, in the order of its looks. */
function* compositions(name: string, year: number): Generator<Parts> {
  const [first, ...others] = separatorsFor(name)
  const write = digitsFor(name)
  const numbered = (separator: string, number: number): Parts => ({
    before: '',
    stem: name,
    behind: separator + write(number),
  })
  // Digits behind digits would be read as one number.
  const close = /\p{Nd}$/u.test(name) ? (others[0] ?? first) : first
  yield* countedOn(name)
  yield numbered(close, year % 100)
  yield numbered(close, year)
  // Latin words do not go with names of other scripts.
  if (/^[\p{Script=Latin}\p{Script=Common}\p{Script=Inherited}]+$/u.test(name)) {
    for (const separator of [first, ...others]) yield* withWords(name, separator)
  }
  for (let number = 1; number < 10; number += 1) yield numbered(close, number)
  for (const { from, size, step } of digitRanges) {
    for (let count = 0; count < size; count += 1) yield numbered(close, from + ((count * step) % size))
  }
}

/** The separator that the name has already comes first, and none at all before those that it has not. */
function separatorsFor(name: string): readonly [string, ...string[]] {
  const [none, ...signs] = separators
  const own = signs.filter((sign) => name.includes(sign))
  const others = signs.filter((sign) => !name.includes(sign))
  const [first = none, ...rest] = own
  return first === none ? [none, ...others] : [first, ...rest, none, ...others]
}

/** How numbers are written: the Bidi rule has Arabic-Indic digits stand with their like only. */
function digitsFor(name: string): (number: number) => string {
  if (!/[\u0660-\u0669]/.test(name)) return String
  return (number) => String(number).replace(/\d/g, (digit) => String.fromCharCode(0x660 + Number(digit)))
}

/** A name that ends in a number counts on, with as many digits. */
function* countedOn(name: string): Generator<Parts> {
  const [, stem, number] = /^(.*\D)(\d{1,4})$/s.exec(name) ?? []
  if (stem === undefined || number === undefined) return
  for (let more = 1; more <= 3; more += 1) {
    yield { before: '', stem, behind: String(Number(number) + more).padStart(number.length, '0') }
  }
}

function* withWords(name: string, separator: string): Generator<Parts> {
  for (let at = 0; at < Math.max(wordsBehind.length, wordsBefore.length); at += 1) {
    const [behind, before] = [wordsBehind[at], wordsBefore[at]]
    if (behind !== undefined) yield { before: '', stem: name, behind: separator + behind }
    if (before !== undefined) yield { before: before + separator, stem: name, behind: '' }
  }
}

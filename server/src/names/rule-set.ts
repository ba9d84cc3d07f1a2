import { type Reading, readingsOf, skeletonOf } from './look-alikes.ts'
import { NameFault, type NameProfile, nameBytesMax, normalForm } from './normal-form.ts'
import { innocentWords, offensiveWords } from './offensive-words.ts'
import { QuickLook } from './quick-look.ts'
import { lookAlikeWords, reservedNames } from './reserved-names.ts'
import { RulesFault, type RulesFile } from './rules-file.ts'
import { type WordHit, WordTree } from './word-tree.ts'

/** Why the rules keep a name back. */
export type NameRefusal = 'too_short' | 'too_long' | 'reserved' | 'offensive'

/** Characters (code points) of a name at least and at most. */
export interface NameLength {
  readonly min: number
  readonly max: number
}

/** Rules that hold together, until others take their place. */
export interface RuleSet {
  readonly length: NameLength
  refusalOf(key: string): NameRefusal | undefined
}

export interface RuleSetNeeds {
  readonly profile: NameProfile
  /** First words of the product's own addresses. */
  readonly routeWords: readonly string[]
  readonly file: RulesFile
}

// A user name is as long as the local part of an e-mail address at most, and one character is a name in many scripts.
// `exact` has no bounds but those of the normal form.
const lengths: Readonly<Record<NameProfile, NameLength>> = {
  username: { min: 1, max: 64 },
  exact: { min: 1, max: nameBytesMax },
}
// In shorter words a digit for a letter is no disguise any more: `m3` is a car, not `me`.
const disguisedLettersMin = 4

/** Puts the rules together. Throws RulesFault if the file has something that can be no rule. */
export function createRuleSet(needs: RuleSetNeeds): RuleSet {
  const { profile, file } = needs
  const length = { ...lengths[profile], ...definedOf(file.length) }
  if (length.min > length.max)
    throw new RulesFault([`length: min ${length.min} is more than max ${length.max}`])
  const allowed = new Set(keysOf('allowed', file.allowed, profile))
  const quick = new QuickLook()
  const reserved = createReserved(needs, quick)
  const isOffensive = createOffensive(file, quick)
  return {
    length,
    refusalOf: (key) => {
      const count = charactersIn(key)
      if (count < length.min) return 'too_short'
      if (count > length.max) return 'too_long'
      if (allowed.has(key)) return undefined
      if (reserved.has(key)) return 'reserved'
      if (quick.passes(key)) return undefined
      const readings = readingsOf(key)
      if (reserved.isLike(key, readings)) return 'reserved'
      return readings.some(isOffensive) ? 'offensive' : undefined
    },
  }
}

function definedOf({ min, max }: RulesFile['length']): Partial<NameLength> {
  return { ...(min !== undefined && { min }), ...(max !== undefined && { max }) }
}

/** The keys of names that a file lists. Throws RulesFault for those that are no names. */
function keysOf(list: string, names: readonly string[], profile: NameProfile): readonly string[] {
  const problems: string[] = []
  const keys = names.flatMap((name, at) => {
    const key = keyOrFault(name, profile)
    if (!(key instanceof NameFault)) return [key]
    problems.push(`${list}[${at}]: ${JSON.stringify(name)} is no name. ${key.message}`)
    return []
  })
  if (problems.length > 0) throw new RulesFault(problems)
  return keys
}

function keyOrFault(name: string, profile: NameProfile): string | NameFault {
  try {
    return normalForm(name, profile)
  } catch (error) {
    if (error instanceof NameFault) return error
    throw error
  }
}

interface Reserved {
  /** Whether a name is a reserved one, in whatever case. */
  has(key: string): boolean
  /** Whether it can be taken for one. */
  isLike(key: string, readings: readonly Reading[]): boolean
}

function createReserved({ profile, routeWords, file }: RuleSetNeeds, quick: QuickLook): Reserved {
  const builtIn = file.replace.includes('reserved') ? [] : [...routeWords, ...reservedNames]
  // An address may start with what is no name (that of `/` with nothing): nobody can take that anyway.
  const builtInKeys = builtIn
    .map((name) => keyOrFault(name, profile))
    .filter((key) => typeof key === 'string')
  const keys = [...builtInKeys, ...keysOf('reserved', file.reserved, profile)]
  const names = new Set(keys.map((key) => key.toLowerCase()))
  const free = new Set(lookAlikeWords)
  const skeletons = new Set(
    keys.flatMap((key) =>
      readingsOf(key)
        .filter(({ letters }) => letters.replaceAll(' ', '').length >= disguisedLettersMin)
        .map(skeletonOf),
    ),
  )
  for (const skeleton of skeletons) quick.addSkeleton(skeleton)
  // Keys of user names are in lower case already.
  const inSmall = (key: string) => (profile === 'exact' ? key.toLowerCase() : key)
  return {
    has: (key) => names.has(inSmall(key)),
    // A name of digits and signs alone is read as a number.
    isLike: (key, readings) =>
      readings.some((reading) => skeletons.has(skeletonOf(reading))) &&
      /\p{L}/u.test(key) &&
      !free.has(inSmall(key)),
  }
}

/** Whether a name, read in one way, has an offensive word in it. */
function createOffensive(file: RulesFile, quick: QuickLook): (reading: Reading) => boolean {
  const words = { tree: new WordTree(), quick }
  const builtIn = file.replace.includes('offensive') ? [] : offensiveWords
  for (const word of builtIn) addWord(words, word)
  for (const [at, word] of file.offensive.entries()) {
    if (!addWord(words, word))
      throw new RulesFault([`offensive[${at}]: ${JSON.stringify(word)} has no letter`])
  }
  const innocents = [...innocentWords, ...file.allowed].flatMap((word) =>
    readingsOf(word).map(({ letters }) => letters),
  )
  return (reading) => {
    const counts = (hit: WordHit) => stands(hit, reading.source) && !isWithin(hit, reading.letters, innocents)
    if (words.tree.some(reading.letters, counts)) return true
    // Spelled letter by letter, as in `f.u.c.k`.
    if (!/^ *(?:\S +)+\S *$/.test(reading.letters)) return false
    const letters = reading.letters.replaceAll(' ', '')
    return words.tree.some(letters, (hit) => stands(hit, letters) && !isWithin(hit, letters, innocents))
  }
}

/** Adds a word as lists write it; false if there is nothing of it to look for. */
function addWord({ tree, quick }: { tree: WordTree; quick: QuickLook }, word: string): boolean {
  const ending = { openBefore: word.startsWith('*'), openAfter: word.endsWith('*') }
  const readings = new Set(readingsOf(word.replaceAll('*', '')).map(({ letters }) => letters.trim()))
  if (readings.has('')) return false
  for (const letters of readings) {
    tree.add(letters, ending)
    quick.addWord(letters)
  }
  return true
}

/** Whether a word is there for a reader: it stands as it has to, and no more than half of it is digits. */
function stands({ from, to, openBefore, openAfter }: WordHit, source: string): boolean {
  if (!openBefore && !isEdge(source[from - 1], source[from])) return false
  if (!openAfter && !isEdge(source[to], source[to - 1])) return false
  return source.slice(from, to).replace(/\P{Nd}/gu, '').length * 2 <= to - from
}

/** Whether a word ends between its last sign and the one beyond; a digit beside a digit is of a number (`as5600`). */
function isEdge(beyond: string | undefined, last: string | undefined): boolean {
  if (beyond === undefined) return true
  return !/\p{L}/u.test(beyond) && !(/\p{Nd}/u.test(beyond) && /\p{Nd}/u.test(last ?? ''))
}

/** Whether an innocent word covers the hit. */
function isWithin({ from, to }: WordHit, letters: string, innocents: readonly string[]): boolean {
  return innocents.some((word) => {
    // The first place from which the word reaches the end of the hit.
    const at = letters.indexOf(word, Math.max(0, to - word.length))
    return at !== -1 && at <= from
  })
}

function charactersIn(key: string): number {
  let count = key.length
  for (let index = 1; index < key.length; index += 1) {
    const unit = key.charCodeAt(index)
    // Normal forms are well formed, so that each second half belongs to the unit before.
    if (unit >= 0xdc00 && unit <= 0xdfff) count -= 1
  }
  return count
}

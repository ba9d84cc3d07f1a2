import { readingsOf } from './look-alikes.ts'

// Letters are numbers of five bits, so that three of them make a place in a table; 0 is what parts words.
const letterBits = 5
const threeLetters = 1 << (3 * letterBits)
const codeOf = (letter: string | undefined): number => ' abcdefghijklmnopqrstuvwxyz269'.indexOf(letter ?? ' ')
const codes = Uint8Array.from({ length: 0x80 }, (_, code) =>
  codeOf(readingsOf(String.fromCharCode(code))[0]?.letters),
)
const pair = (letters: string): number => (codeOf(letters[0]) << letterBits) | codeOf(letters[1])
const [rn, vv, i, l] = [pair('rn'), pair('vv'), codeOf('i'), codeOf('l')]
// Lengths of skeletons are bits of one number; the last one stands for all that are longer.
const lengthMax = 31

/**
 * Passes most names of ASCII in a tenth of a microsecond: one that it passes has no word and no skeleton that was added.
 * What it does not pass may have one, and is looked at in full.
 */
export class QuickLook {
  /** By three letters: 1 if a word starts with them. */
  readonly #starts = new Uint8Array(threeLetters)
  /** By the first three letters of a skeleton: a bit for each length that one with them has. */
  readonly #lengths = new Uint32Array(threeLetters)
  #passesNone = false

  /** Adds the letters of a word that must not stand in a name. */
  addWord(letters: string): void {
    const start = placeOf(letters)
    // A word that cannot be told by its first three letters, because it has less or a gap, ends the short cut.
    if (start === undefined) this.#passesNone ||= /^[\x20-\x7f]*$/.test(letters)
    else this.#starts[start] = 1
  }

  /** Adds the skeleton that no name must have. */
  addSkeleton(skeleton: string): void {
    const start = placeOf(skeleton)
    if (start === undefined) this.#passesNone ||= /^[\x20-\x7f]*$/.test(skeleton)
    else this.#lengths[start] = (this.#lengths[start] ?? 0) | (1 << Math.min(skeleton.length, lengthMax))
  }

  passes(key: string): boolean {
    if (this.#passesNone) return false
    let [last, run, longest, start, count] = [0, 0, 0, 0, 0]
    for (let index = 0; index < key.length; index += 1) {
      const code = codes[key.charCodeAt(index)]
      if (code === undefined) return false
      if (code === 0) {
        run = 0
        continue
      }
      last = ((last << letterBits) | code) & (threeLetters - 1)
      run += 1
      if (run > longest) longest = run
      if (run > 2 && this.#starts[last] === 1) return false
      // A skeleton has one letter for each of these.
      if (run > 1 && ((last & 0x3ff) === rn || (last & 0x3ff) === vv)) return false
      count += 1
      if (count <= 3) start = (start << letterBits) | (code === i ? l : code)
    }
    // Letters that stand alone may be a word that is spelled out.
    if (longest < 2) return false
    return (((this.#lengths[start] ?? 0) >>> Math.min(count, lengthMax)) & 1) === 0
  }
}

/** The place of the first three letters; undefined if they are not three letters of ASCII. */
function placeOf(letters: string): number | undefined {
  const [one, two, three] = [codeOf(letters[0]), codeOf(letters[1]), codeOf(letters[2])]
  if (one < 1 || two < 1 || three < 1) return undefined
  return (((one << letterBits) | two) << letterBits) | three
}

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

/** Names of npm's packages, and others that are none of them. */
export interface RealNames {
  readonly taken: readonly string[]
  readonly free: readonly string[]
  /** Free ones of three to eight characters, as people like them: a hash has the least to go by there. */
  readonly short: readonly string[]
  /** A JSON file of all taken ones, as the package has it; undefined where only some of them are used. */
  readonly file: string | undefined
}

const freeMax = 1_000_000
const shortMax = 200_000

/** Reads the names of `all-the-package-names`: all, or so many from the whole alphabet. */
export async function readRealNames(count?: number): Promise<RealNames> {
  const file = fileURLToPath(import.meta.resolve('all-the-package-names'))
  const all: readonly string[] = JSON.parse(await readFile(file, 'utf8'))
  const isAll = count === undefined || count >= all.length
  const taken = isAll
    ? all
    : Array.from({ length: count }, (_, n) => all[Math.floor((n * all.length) / count)] ?? '')
  const known = new Set(taken)
  const free = namesBeside(taken, known)
  return { taken, free, short: shortNames(known), file: isAll ? file : undefined }
}

/** As like them as names are that somebody tries next: real ones with a number behind. */
function namesBeside(taken: readonly string[], known: Set<string>): readonly string[] {
  const wanted = Math.min(freeMax, taken.length)
  const free: string[] = []
  const step = taken.length / wanted
  for (let n = 0; free.length < wanted; n++) {
    const name = `${taken[Math.floor(n * step) % taken.length]}${(n * 7_919) % 997}`
    if (known.has(name)) continue
    known.add(name)
    free.push(name)
  }
  return inOnePiece(free)
}

const letters = 'abcdefghijklmnopqrstuvwxyz0123456789'

/** The same ones in every run: digits of multiples of a prime, to the base of 36. */
function shortNames(known: Set<string>): readonly string[] {
  const short: string[] = []
  for (let n = 1; short.length < shortMax; n++) {
    let name = ''
    const length = 3 + (n % 6)
    for (let rest = (n * 2_654_435_761) % letters.length ** length; name.length < length; ) {
      name += letters[rest % letters.length]
      rest = Math.floor(rest / letters.length)
    }
    if (known.has(name)) continue
    known.add(name)
    short.push(name)
  }
  return inOnePiece(short)
}

/** Texts that were put together are kept in pieces, and the first who reads them pays for that. */
const inOnePiece = (names: readonly string[]): readonly string[] => JSON.parse(JSON.stringify(names))

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

/** Names of npm's packages, and others that are none of them. */
export interface RealNames {
  readonly taken: readonly string[]
  readonly free: readonly string[]
  /** A JSON file of all taken ones, as the package has it; undefined where only some of them are used. */
  readonly file: string | undefined
}

const freeMax = 1_000_000

/** Reads the names of `all-the-package-names`: all, or so many from the whole alphabet. */
export async function readRealNames(count?: number): Promise<RealNames> {
  const file = fileURLToPath(import.meta.resolve('all-the-package-names'))
  const all: readonly string[] = JSON.parse(await readFile(file, 'utf8'))
  const isAll = count === undefined || count >= all.length
  const taken = isAll
    ? all
    : Array.from({ length: count }, (_, n) => all[Math.floor((n * all.length) / count)] ?? '')
  return { taken, free: namesBeside(taken), file: isAll ? file : undefined }
}

/** As like them as names are that somebody tries next: real ones with a number behind. */
function namesBeside(taken: readonly string[]): readonly string[] {
  const known = new Set(taken)
  const wanted = Math.min(freeMax, taken.length)
  const free: string[] = []
  const step = taken.length / wanted
  for (let n = 0; free.length < wanted; n++) {
    const name = `${taken[Math.floor(n * step) % taken.length]}${(n * 7_919) % 997}`
    if (known.has(name)) continue
    known.add(name)
    free.push(name)
  }
  // Through JSON, for texts that were put together are kept in pieces, and the first who reads them pays for that.
  return JSON.parse(JSON.stringify(free))
}

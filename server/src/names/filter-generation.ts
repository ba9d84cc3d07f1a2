import { BloomFilter, type Hash128 } from '@pulse/log/bloom-filter'

/**
 * Bits for each name that a filter is made for. It is replaced when it holds seven tenths of them, so every name that is
 * there has at least 17.
 */
export const bitsPerName = 12
/** Part of its names at which a filter is replaced by a larger one. */
export const fillMax = 0.7
const bitsPerKey = 8
const bitsPerLine = 512

/** One filter of names over its life: it only ever gains bits. */
export class FilterGeneration {
  readonly number: number
  /** Names that it is made for. */
  readonly capacity: number
  readonly filter: BloomFilter
  #bitsSet: number

  constructor(from: { number: number; capacity: number; filter?: BloomFilter; bitsSet?: number }) {
    this.number = from.number
    this.capacity = from.capacity
    this.filter = from.filter ?? BloomFilter.forKeys(from.capacity, bitsPerName)
    this.#bitsSet = from.bitsSet ?? 0
  }

  add(hash: Hash128): void {
    this.#bitsSet += this.filter.add(hash)
  }

  has(hash: Hash128): boolean {
    return this.filter.has(hash)
  }

  get bitsSet(): number {
    return this.#bitsSet
  }

  get bits(): number {
    return this.filter.words.length * 32
  }

  /** How many different names have set these bits, from how many a name sets (Swamidass and Baldi, 2007). */
  get namesEstimated(): number {
    return Math.round(
      (-this.bits / bitsPerKey) * Math.log1p(-Math.min(this.#bitsSet, this.bits - 1) / this.bits),
    )
  }

  /** Names that it holds as part of those that it is made for. */
  get fill(): number {
    return this.namesEstimated / this.capacity
  }

  /** The part of other names that are a "maybe", by arithmetic, for so many names. */
  expectedRate(names = this.namesEstimated): number {
    return rateOf(names / (this.bits / bitsPerLine))
  }

  /** The same, measured with hashes that nobody has chosen. */
  measuredRate(samples: number, random: (hash: Hash128) => void): number {
    const hash = new Uint32Array(4)
    let maybes = 0
    for (let n = 0; n < samples; n++) {
      random(hash)
      if (this.filter.has(hash)) maybes++
    }
    return maybes / samples
  }
}

/**
 * Names fall on lines as rain does, so a line holds a Poisson number of them, and a fuller line says "maybe" more often
 * (Putze, Sanders and Singler, 2007, section 3).
 */
function rateOf(namesPerLine: number): number {
  let rate = 0
  let probability = Math.exp(-namesPerLine)
  const most = Math.ceil(namesPerLine + 12 * Math.sqrt(namesPerLine) + 12)
  for (let names = 0; names <= most; names++) {
    const clear = (1 - 1 / bitsPerLine) ** (bitsPerKey * names)
    rate += probability * (1 - clear) ** bitsPerKey
    probability *= namesPerLine / (names + 1)
  }
  return rate
}

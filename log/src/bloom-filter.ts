const lineWords = 16 // 512 bits: one cache line, so a look-up touches memory once
const bitsPerLine = lineWords * 32

/** Four 32-bit words of one hash: words 0 and 1 are the first 64-bit hash, 2 and 3 the second. */
export type Hash128 = Uint32Array

/**
 * MurmurHash3 x86_128 (Austin Appleby, public domain) of `bytes[from, to)` into `out`.
 * Chosen because it needs only 32-bit multiplications, which JavaScript does natively.
 */
export function hash128(bytes: Uint8Array, from: number, to: number, out: Hash128): void {
  const c1 = 0x239b961b
  const c2 = 0xab0e9789
  const c3 = 0x38b34ae5
  const c4 = 0xa1e38b93
  let h1 = 0
  let h2 = 0
  let h3 = 0
  let h4 = 0
  const word = (at: number) =>
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  let i = from
  for (; i + 16 <= to; i += 16) {
    h1 ^= Math.imul(rotl(Math.imul(word(i), c1), 15), c2)
    h1 = (Math.imul(rotl(h1, 19) + h2, 5) + 0x561ccd1b) | 0
    h2 ^= Math.imul(rotl(Math.imul(word(i + 4), c2), 16), c3)
    h2 = (Math.imul(rotl(h2, 17) + h3, 5) + 0x0bcaa747) | 0
    h3 ^= Math.imul(rotl(Math.imul(word(i + 8), c3), 17), c4)
    h3 = (Math.imul(rotl(h3, 15) + h4, 5) + 0x96cd1c35) | 0
    h4 ^= Math.imul(rotl(Math.imul(word(i + 12), c4), 18), c1)
    h4 = (Math.imul(rotl(h4, 13) + h1, 5) + 0x32ac3b17) | 0
  }
  const tail = (at: number) => {
    let k = 0
    for (let b = Math.min(to, at + 4) - 1; b >= at; b--) k = (k << 8) | (bytes[b] as number)
    return k
  }
  const rest = to - i
  if (rest > 12) h4 ^= Math.imul(rotl(Math.imul(tail(i + 12), c4), 18), c1)
  if (rest > 8) h3 ^= Math.imul(rotl(Math.imul(tail(i + 8), c3), 17), c4)
  if (rest > 4) h2 ^= Math.imul(rotl(Math.imul(tail(i + 4), c2), 16), c3)
  if (rest > 0) h1 ^= Math.imul(rotl(Math.imul(tail(i), c1), 15), c2)
  const length = to - from
  h1 ^= length
  h2 ^= length
  h3 ^= length
  h4 ^= length
  h1 = (h1 + h2 + h3 + h4) | 0
  h2 = (h2 + h1) | 0
  h3 = (h3 + h1) | 0
  h4 = (h4 + h1) | 0
  h1 = mix(h1)
  h2 = mix(h2)
  h3 = mix(h3)
  h4 = mix(h4)
  h1 = (h1 + h2 + h3 + h4) | 0
  out[0] = h1
  out[1] = (h2 + h1) | 0
  out[2] = (h3 + h1) | 0
  out[3] = (h4 + h1) | 0
}

const rotl = (x: number, by: number) => (x << by) | (x >>> (32 - by))

function mix(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}

/**
 * Blocked Bloom filter: each key sets eight bits of one 512-bit line (Putze, Sanders and Singler, "Cache-, hash-
 * and space-efficient Bloom filters", 2007). `has` is never false for a key that was added. At 16 bits per
 * key about 1 in 900 other keys is a "maybe"; `bloom-filter.test.ts` measures it.
 * The first 64-bit hash picks the line and one bit, the second picks the other seven bits.
 */
export class BloomFilter {
  readonly words: Uint32Array
  readonly #lines: number

  /** Takes the words of a stored filter; their number must be a positive multiple of 16. */
  constructor(words: Uint32Array) {
    if (words.length === 0 || words.length % lineWords !== 0)
      throw new RangeError(`a filter has a multiple of ${lineWords} words, not ${words.length}`)
    this.words = words
    this.#lines = words.length / lineWords
  }

  /** An empty filter for so many keys. */
  static forKeys(keys: number, bitsPerKey = 16): BloomFilter {
    const lines = Math.max(1, Math.ceil((keys * bitsPerKey) / bitsPerLine))
    return new BloomFilter(new Uint32Array(lines * lineWords))
  }

  /** Adds a hashed key; returns how many bits it has set that were not set before. */
  add(hash: Hash128): number {
    const at = this.#lineOf(hash)
    let set = 0
    for (let n = 0; n < 8; n++) {
      const bit = bitOf(hash, n)
      const before = this.words[at + (bit >>> 5)] as number
      const mask = 1 << (bit & 31)
      if ((before & mask) !== 0) continue
      this.words[at + (bit >>> 5)] = before | mask
      set++
    }
    return set
  }

  /** False: the key was never added. True: it may have been. */
  has(hash: Hash128): boolean {
    const at = this.#lineOf(hash)
    for (let n = 0; n < 8; n++) {
      const bit = bitOf(hash, n)
      if (((this.words[at + (bit >>> 5)] as number) & (1 << (bit & 31))) === 0) return false
    }
    return true
  }

  #lineOf(hash: Hash128): number {
    // A multiplication spreads 32 bits over the lines without a division, evenly enough for any number that fits memory.
    return Math.floor(((hash[0] as number) / 0x1_0000_0000) * this.#lines) * lineWords
  }
}

// Nine bits of the hash for each of the eight probes: three from each word of the second hash, one from what
// the two leave over, one from the second word of the first hash.
function bitOf(hash: Hash128, n: number): number {
  if (n < 3) return ((hash[2] as number) >>> (n * 9)) & 511
  if (n < 6) return ((hash[3] as number) >>> ((n - 3) * 9)) & 511
  if (n === 6) return (((hash[2] as number) >>> 27) | (((hash[3] as number) >>> 27) << 5)) & 511
  return (hash[1] as number) & 511
}

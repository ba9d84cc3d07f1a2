import { randomFillSync } from 'node:crypto'

/**
 * 128 bits that stand for a list of int32: HalfSipHash-2-4 under two independent random keys. Filters whose hashes are
 * equal share one class, so a filter that is made to collide with somebody else's would receive what that one
 * receives; without the keys, which no answer depends on, such a filter cannot be found.
 */
export class KeyedHash {
  /** The last result. */
  readonly words = new Int32Array(4)
  readonly #keys: Int32Array

  /** Four words of key; other ones than random are for tests. */
  constructor(keys = randomFillSync(new Int32Array(4))) {
    this.#keys = keys
  }

  /** Hashes the first `length` numbers of the list into `words`. */
  hash(list: Int32Array, length: number): void {
    for (const half of [0, 2] as const) {
      const low = this.#keys[half] as number
      const high = this.#keys[half + 1] as number
      halfSipHash(list, length, { low, high, into: this.words, at: half })
    }
  }
}

interface Key {
  readonly low: number
  readonly high: number
  readonly into: Int32Array
  readonly at: number
}

// Of Aumasson and Bernstein, with 64 bits of result. The list is one of whole words, so its end needs no padding but
// its length.
function halfSipHash(list: Int32Array, length: number, { low, high, into, at }: Key): void {
  let v0 = low
  let v1 = high ^ 0xee
  let v2 = 0x6c796765 ^ low
  let v3 = 0x74656462 ^ high
  // Words, the length, four finishing rounds of the first half, four of the second: two rounds each time.
  for (let i = 0; i < length + 5; i++) {
    const word = i < length ? (list[i] as number) : i === length ? length << 26 : 0
    if (i <= length) v3 ^= word
    else if (i === length + 1) v2 ^= 0xee
    else if (i === length + 3) {
      into[at] = v1 ^ v3
      v1 ^= 0xdd
    }
    for (let round = 0; round < 2; round++) {
      v0 = (v0 + v1) | 0
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
      v0 = (v0 << 16) | (v0 >>> 16)
      v2 = (v2 + v3) | 0
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
      v0 = (v0 + v3) | 0
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
      v2 = (v2 + v1) | 0
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
      v2 = (v2 << 16) | (v2 >>> 16)
    }
    if (i <= length) v0 ^= word
  }
  into[at + 1] = v1 ^ v3
}

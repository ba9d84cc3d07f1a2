import { type Hash128, hash128 } from '@pulse/log/bloom-filter'

const encoder = new TextEncoder()
/** Bytes of a hash where it is stored or sent. */
export const hashBytes = 16

/**
 * A block that stands before every key. What this hash makes of eight bytes or fewer has equal words, so that short names
 * would set fewer bits and be a "maybe" twenty times as often; behind a whole block they are mixed like all others.
 */
const before = encoder.encode('pulse names key:')

/** Hashes keys without making an object for each; the result is overwritten by the next call. */
export class NameHasher {
  readonly #hash: Hash128 = new Uint32Array(4)
  #bytes = roomFor(1_024)

  /** MurmurHash3 of the key's UTF-8. */
  hash(key: string): Hash128 {
    if (this.#bytes.length < before.length + key.length * 3) this.#bytes = roomFor(key.length * 3)
    const bytes = this.#bytes
    let length = 0
    for (; length < key.length; length++) {
      const code = key.charCodeAt(length)
      if (code > 0x7f) break
      bytes[before.length + length] = code
    }
    if (length < key.length) length = encoder.encodeInto(key, bytes.subarray(before.length)).written
    hash128(bytes, 0, before.length + length, this.#hash)
    return this.#hash
  }
}

function roomFor(keyBytes: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(before.length + keyBytes)
  bytes.set(before)
  return bytes
}

import { type Hash128, hash128 } from '@pulse/log/bloom-filter'

const encoder = new TextEncoder()
/** Bytes of a hash where it is stored or sent. */
export const hashBytes = 16

/** Hashes keys without making an object for each; the result is overwritten by the next call. */
export class NameHasher {
  readonly #hash: Hash128 = new Uint32Array(4)
  #bytes = new Uint8Array(1_024)

  /** MurmurHash3 of the key's UTF-8. */
  hash(key: string): Hash128 {
    if (this.#bytes.length < key.length * 3) this.#bytes = new Uint8Array(key.length * 3)
    const bytes = this.#bytes
    let length = 0
    for (; length < key.length; length++) {
      const code = key.charCodeAt(length)
      if (code > 0x7f) break
      bytes[length] = code
    }
    if (length < key.length) length = encoder.encodeInto(key, bytes).written
    hash128(bytes, 0, length, this.#hash)
    return this.#hash
  }
}

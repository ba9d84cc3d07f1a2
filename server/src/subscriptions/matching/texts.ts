import { RecordPool } from './record-pool.ts'

/**
 * Texts outside of the heap: hundreds of thousands of strings would lengthen every collection of garbage. A text is one
 * int32 of length and width, then its units, four or two in each; in records of the next power of two.
 */
export class Texts {
  readonly #pools: RecordPool[] = []

  /** Memory held, in bytes. */
  get bytes(): number {
    return this.#pools.reduce((sum, pool) => sum + pool.bytes, 0)
  }

  /** Stores a copy. */
  add(text: string): number {
    const wide = /[^\0-\xff]/.test(text) ? 1 : 0
    const ints = 1 + ((text.length + 3 - 2 * wide) >> (2 - wide))
    const sizeClass = ints === 1 ? 0 : 32 - Math.clz32(ints - 1)
    while (this.#pools.length <= sizeClass)
      this.#pools.push(new RecordPool({ width: 2 ** this.#pools.length }))
    const pool = this.#pools[sizeClass] as RecordPool
    const record = pool.allocate()
    const chunk = pool.chunks[record >>> pool.shift] as Int32Array
    const start = (record & pool.mask) * pool.width
    chunk[start] = (text.length << 1) | wide
    for (let i = 1; i < ints; i++) chunk[start + i] = 0
    const [unitsBits, unitBits] = [2 - wide, 8 << wide]
    for (let i = 0; i < text.length; i++) {
      const shift = (i & ((1 << unitsBits) - 1)) * unitBits
      const at = start + 1 + (i >> unitsBits)
      chunk[at] = (chunk[at] as number) | (text.charCodeAt(i) << shift)
    }
    return (record << classBits) | sizeClass
  }

  /** Whether the text is `length` units long and stands in `other` from `from` on. */
  isAt(id: number, other: string, from: number, length: number): boolean {
    const pool = this.#pools[id & classMask] as RecordPool
    const record = id >>> classBits
    const chunk = pool.chunks[record >>> pool.shift] as Int32Array
    const start = (record & pool.mask) * pool.width
    const head = chunk[start] as number
    if (head >> 1 !== length) return false
    const wide = head & 1
    const [unitsBits, unitBits] = [2 - wide, 8 << wide]
    const unitMask = wide === 1 ? 0xffff : 0xff
    for (let i = 0; i < length; i++) {
      const int = chunk[start + 1 + (i >> unitsBits)] as number
      const shift = (i & ((1 << unitsBits) - 1)) * unitBits
      if (((int >>> shift) & unitMask) !== other.charCodeAt(from + i)) return false
    }
    return true
  }

  textOf(id: number): string {
    const pool = this.#pools[id & classMask] as RecordPool
    const head = pool.get(id >>> classBits, 0)
    const wide = head & 1
    const [unitsBits, unitBits] = [2 - wide, 8 << wide]
    const unitMask = wide === 1 ? 0xffff : 0xff
    let text = ''
    for (let i = 0; i < head >> 1; i++) {
      const int = pool.get(id >>> classBits, 1 + (i >> unitsBits))
      text += String.fromCharCode((int >>> ((i & ((1 << unitsBits) - 1)) * unitBits)) & unitMask)
    }
    return text
  }

  free(id: number): void {
    ;(this.#pools[id & classMask] as RecordPool).free(id >>> classBits)
  }
}

const classBits = 5
const classMask = 31

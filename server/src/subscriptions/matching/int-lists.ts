import { RecordPool } from './record-pool.ts'

/** Lists of int32 of any length, in records of the next power of two. Called by numbers; empty ones by -1. */
export class IntLists {
  readonly #pools: RecordPool[] = []

  /** Memory held, in bytes. */
  get bytes(): number {
    return this.#pools.reduce((sum, pool) => sum + pool.bytes, 0)
  }

  get size(): number {
    return this.#pools.reduce((sum, pool) => sum + pool.size, 0)
  }

  /** Stores a copy. */
  add(list: readonly number[]): number {
    if (list.length === 0) return -1
    const sizeClass = Math.max(0, 32 - Math.clz32(list.length - 1) - smallestBits)
    while (this.#pools.length <= sizeClass)
      this.#pools.push(new RecordPool({ width: 2 ** (this.#pools.length + smallestBits) }))
    const pool = this.#pools[sizeClass] as RecordPool
    const record = pool.allocate()
    const start = (record & pool.mask) * pool.width
    ;(pool.chunks[record >>> pool.shift] as Int32Array).set(list, start)
    return (record << classBits) | sizeClass
  }

  /** The memory in which the list stands, from `startOf` on. */
  chunkOf(list: number): Int32Array {
    const pool = this.#pools[list & classMask] as RecordPool
    return pool.chunks[(list >>> classBits) >>> pool.shift] as Int32Array
  }

  startOf(list: number): number {
    const pool = this.#pools[list & classMask] as RecordPool
    return ((list >>> classBits) & pool.mask) * pool.width
  }

  free(list: number): void {
    if (list >= 0) (this.#pools[list & classMask] as RecordPool).free(list >>> classBits)
  }
}

const smallestBits = 2
const classBits = 5
const classMask = 31

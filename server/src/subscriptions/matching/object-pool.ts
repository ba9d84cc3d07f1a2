const chunkBits = 10
const chunkMask = (1 << chunkBits) - 1

/**
 * Objects by whole numbers from 0. In chunks, as the records beside which they lie: a Map or an array of a million grows
 * by copying itself.
 */
export class ObjectPool<T> {
  readonly #chunks: (T | undefined)[][] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  get(id: number): T | undefined {
    return this.#chunks[id >>> chunkBits]?.[id & chunkMask]
  }

  /** Stores an object where there is none. */
  set(id: number, object: T): void {
    const at = id >>> chunkBits
    while (this.#chunks.length <= at) this.#chunks.push([])
    ;(this.#chunks[at] as (T | undefined)[])[id & chunkMask] = object
    this.#size++
  }

  /** Forgets an object; nothing happens if there is none. */
  clear(id: number): void {
    const chunk = this.#chunks[id >>> chunkBits]
    if (chunk?.[id & chunkMask] === undefined) return
    chunk[id & chunkMask] = undefined
    this.#size--
    if (this.#size === 0) this.#chunks.length = 0
  }
}

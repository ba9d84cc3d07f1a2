import { HashTable } from './hash-table.ts'
import { RecordPool } from './record-pool.ts'

// The field of a class that a match reads: its only handle, or the complement of its first block of handles. It lies apart
// from what is seldom read.
const HANDLES = 0

// Its other fields. The first word of the hash stands in the table only.
const HASH = 0 // and the next two
const COUNT = 3
/** The first of its clauses that have conditions, or -1. */
const CLAUSES = 4
const STAMP = 5

// A block of handles is the next block, then the handles.
const NEXT = 0
const handlesPerBlock = 7

// What is known of a handle: nothing, its block and place, or the complement of the class in which it is alone.
const unused = 0
const placeBits = 3

const handlesPerChunk = 16_384

/**
 * Classes of equal filters, by a hash of 128 bits, each with the handles of those who have it. A class with one handle
 * holds it itself; others have blocks of seven, of which only the first may have room.
 */
export class Classes {
  readonly #records = new RecordPool({ width: 1, cold: 6 })
  readonly #table = new HashTable()
  readonly #blocks = new RecordPool({ width: 1 + handlesPerBlock })
  /** Per handle, in chunks. */
  readonly #places: (Int32Array | undefined)[] = []
  #handles = 0

  get size(): number {
    return this.#records.size
  }

  /** Handles of all classes. */
  get handles(): number {
    return this.#handles
  }

  /** Memory held, in bytes. */
  get bytes(): number {
    const places = this.#places.reduce((sum, chunk) => sum + (chunk?.byteLength ?? 0), 0)
    return this.#records.bytes + this.#table.bytes + this.#blocks.bytes + places
  }

  /** The class of a hash, or -1. */
  find(hash: Int32Array): number {
    const table = this.#table
    for (let found = table.first(hash[0] as number); found >= 0; found = table.next()) {
      let same = true
      for (let i = 1; i < 4 && same; i++) same = this.#records.getCold(found, HASH + i - 1) === hash[i]
      if (same) return found
    }
    return -1
  }

  /** A new class without handles. */
  add(hash: Int32Array): number {
    const records = this.#records
    const made = records.allocate()
    for (let i = 1; i < 4; i++) records.setCold(made, HASH + i - 1, hash[i] as number)
    records.setCold(made, COUNT, 0)
    records.setCold(made, STAMP, 0)
    records.setCold(made, CLAUSES, -1)
    this.#table.insert(hash[0] as number, made)
    return made
  }

  /** Takes away a class without handles. */
  remove(id: number, hash: Int32Array): void {
    this.#table.remove(hash[0] as number, id)
    this.#records.free(id)
  }

  /** The first of the class's clauses, or -1. */
  clausesOf(id: number): number {
    return this.#records.getCold(id, CLAUSES)
  }

  setClauses(id: number, clause: number): void {
    this.#records.setCold(id, CLAUSES, clause)
  }

  /** How many have this filter. */
  countOf(id: number): number {
    return this.#records.getCold(id, COUNT)
  }

  /** The class in which the handle is alone. */
  classOf(handle: number): number {
    return ~this.#placeOf(handle)
  }

  isUsed(handle: number): boolean {
    return this.#placeOf(handle) !== unused
  }

  addHandle(id: number, handle: number): void {
    const records = this.#records
    const count = records.getCold(id, COUNT)
    records.setCold(id, COUNT, count + 1)
    this.#handles++
    if (count === 0) {
      records.set(id, HANDLES, handle)
      this.#setPlace(handle, ~id)
      return
    }
    if (count === 1) {
      const block = this.#blocks.allocate()
      this.#blocks.set(block, NEXT, -1)
      const first = records.get(id, HANDLES)
      records.set(id, HANDLES, ~block)
      this.#putIn(block, 1, first)
    }
    // Only the first block has room, and the others hold seven each.
    const inFirst = ((count - 1) % handlesPerBlock) + 1
    if (inFirst < handlesPerBlock) {
      this.#putIn(~records.get(id, HANDLES), inFirst + 1, handle)
      return
    }
    const block = this.#blocks.allocate()
    this.#blocks.set(block, NEXT, ~records.get(id, HANDLES))
    records.set(id, HANDLES, ~block)
    this.#putIn(block, 1, handle)
  }

  /** Takes the handle out of its class. Throws if it is in none, or alone in another: mistakes of the caller. */
  removeHandle(id: number, handle: number): void {
    const records = this.#records
    const count = records.getCold(id, COUNT)
    if (!this.#isIn(id, handle)) throw new Error(`handle ${handle} does not have this filter`)
    const place = this.#placeOf(handle)
    this.#handles--
    this.#setPlace(handle, unused)
    records.setCold(id, COUNT, count - 1)
    if (place < 0) return
    const first = ~records.get(id, HANDLES)
    const inFirst = ((count - 1) % handlesPerBlock) + 1
    const last = this.#blocks.get(first, inFirst)
    if (last !== handle) this.#putIn(place >>> placeBits, place & ((1 << placeBits) - 1), last)
    if (inFirst === 1) {
      records.set(id, HANDLES, ~this.#blocks.get(first, NEXT))
      this.#blocks.free(first)
    }
    if (count === 2) {
      const block = ~records.get(id, HANDLES)
      const only = this.#blocks.get(block, 1)
      this.#blocks.free(block)
      records.set(id, HANDLES, only)
      this.#setPlace(only, ~id)
    }
  }

  #isIn(id: number, handle: number): boolean {
    const place = this.#placeOf(handle)
    if (place === unused) return false
    // Of a class with several it is taken on trust: a block does not say whose it is.
    return place < 0 ? ~place === id : this.#records.getCold(id, COUNT) > 1
  }

  isMarked(id: number, stamp: number): boolean {
    return this.#records.getCold(id, STAMP) === stamp
  }

  clearStamps(): void {
    this.#records.clearCold(STAMP)
  }

  /** The only handle of the class, or a negative number if it has several. */
  onlyHandle(id: number): number {
    return this.#records.get(id, HANDLES)
  }

  /** Marks the class for this stamp; false if it was marked. */
  mark(id: number, stamp: number): boolean {
    if (this.isMarked(id, stamp)) return false
    this.#records.setCold(id, STAMP, stamp)
    return true
  }

  /** Writes the handles of a class that has several from `at` on; there must be room. */
  copyHandles(id: number, into: Int32Array, at: number): void {
    const blocks = this.#blocks
    let end = at
    let inBlock = ((this.countOf(id) - 1) % handlesPerBlock) + 1
    for (let block = ~this.#records.get(id, HANDLES); block >= 0; inBlock = handlesPerBlock) {
      const chunk = blocks.chunks[block >>> blocks.shift] as Int32Array
      const start = (block & blocks.mask) * blocks.width
      for (let i = 1; i <= inBlock; i++) into[end++] = chunk[start + i] as number
      block = chunk[start + NEXT] as number
    }
  }

  #putIn(block: number, at: number, handle: number): void {
    this.#blocks.set(block, at, handle)
    this.#setPlace(handle, (block << placeBits) | at)
  }

  #placeOf(handle: number): number {
    const chunk = this.#places[Math.floor(handle / handlesPerChunk)]
    return chunk?.[handle % handlesPerChunk] ?? unused
  }

  #setPlace(handle: number, place: number): void {
    const at = Math.floor(handle / handlesPerChunk)
    const chunk = this.#places[at] ?? new Int32Array(handlesPerChunk)
    this.#places[at] = chunk
    chunk[handle % handlesPerChunk] = place
    if (this.#handles === 0 && place === unused) this.#places.length = 0
  }
}

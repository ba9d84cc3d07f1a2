/**
 * Finds whole numbers from 0 by 32-bit hashes: the caller compares what they stand for. Several may share a hash.
 *
 * Extendible hashing: the upper bits of a hash choose one of many small tables, the lower bits a slot in it (open
 * addressing). A full table grows by a quarter, and is split in two once it has doubled, so no call ever moves more than
 * one table: a few microseconds, where doubling one large table would stop the process for a hundred milliseconds;
 * and all are about three quarters full at any time.
 *
 * The hashes must be spread by a secret of this process, or somebody could choose names that fall into one slot.
 */
export class HashTable {
  #tables: Int32Array[] = [newTable(slotsMin, 0)]
  #depth = 0
  #size = 0
  // Where the last search stands. `next` goes on from there, so a search must end before another begins.
  #table: Int32Array = noTable
  #at = 0
  #hash = 0

  get size(): number {
    return this.#size
  }

  /** Memory held, in bytes. */
  get bytes(): number {
    let bytes = 4 * this.#tables.length
    let before: Int32Array | undefined
    // The entries of one table stand side by side.
    for (const table of this.#tables) {
      if (table !== before) bytes += table.byteLength
      before = table
    }
    return bytes
  }

  /** The first number stored under the hash, or -1. */
  first(hash: number): number {
    const table = this.#tables[directoryIndex(hash, this.#depth)] as Int32Array
    this.#table = table
    this.#hash = hash
    return this.#search(2 * slotOf(hash, slotsOf(table)))
  }

  /** The one after it, or -1. */
  next(): number {
    return this.#search(this.#at + 2 === this.#table.length - 2 ? 0 : this.#at + 2)
  }

  insert(hash: number, id: number): void {
    let table = this.#tables[directoryIndex(hash, this.#depth)] as Int32Array
    while (countIn(table) >= slotsOf(table) * loadMax) {
      this.#grow(table, hash)
      table = this.#tables[directoryIndex(hash, this.#depth)] as Int32Array
    }
    put(table, hash, id + 1)
    this.#size++
  }

  /** Takes one out. Throws if it is not there: that is a mistake of the caller. */
  remove(hash: number, id: number): void {
    for (let found = this.first(hash); found !== id; found = this.next())
      if (found < 0) throw new Error(`hash ${hash} does not hold ${id}`)
    const table = this.#table
    closeGap(table, this.#at)
    const count = countIn(table) - 1
    table[table.length - 2] = count
    this.#size--
    if (this.#size === 0) this.#reset()
    else if (count < slotsMin * mergeBelow) this.#merge(table, hash)
  }

  #search(from: number): number {
    const table = this.#table
    const end = table.length - 2
    const hash = this.#hash
    for (let at = from; ; at = at + 2 === end ? 0 : at + 2) {
      const id = table[at + 1] as number
      if (id === 0) return -1
      if (table[at] === hash) {
        this.#at = at
        return id - 1
      }
    }
  }

  #grow(table: Int32Array, hash: number): void {
    const depth = depthOf(table)
    const slots = slotsOf(table)
    // A table so deep is full of equal hashes, which no bit can part; with a good hash there is none.
    if (slots < 2 * slotsMin || depth >= depthMax)
      this.#replace(hash, depth, [rebuilt([table], slots + Math.max(slotsStep, slots >> 2), depth)])
    else this.#split(table, hash)
  }

  #split(table: Int32Array, hash: number): void {
    const depth = depthOf(table)
    if (depth === this.#depth) {
      this.#tables = this.#tables.flatMap((each) => [each, each])
      this.#depth++
    }
    const slots = slotsOf(table)
    // Each half may get more than half, and room for a few more.
    const halves = [newTable(slots, depth + 1), newTable(slots, depth + 1)] as const
    for (let at = 0; at < 2 * slots; at += 2) {
      const id = table[at + 1] as number
      const each = table[at] as number
      if (id !== 0) put(halves[(each >>> (31 - depth)) & 1] as Int32Array, each, id)
    }
    this.#replace(hash, depth, halves.map(fitted))
  }

  /** Joins a table that has become nearly empty with its other half. */
  #merge(table: Int32Array, hash: number): void {
    const depth = depthOf(table)
    if (depth === 0) return
    const other = this.#tables[directoryIndex(hash ^ (1 << (32 - depth)), this.#depth)] as Int32Array
    if (depthOf(other) !== depth || countIn(other) + countIn(table) > 2 * slotsMin * mergeBelow) return
    this.#replace(hash, depth - 1, [rebuilt([table, other], slotsMin, depth - 1)])
  }

  /** The tables stand, in equal shares, where all hashes lead that begin with the same `depth` bits. */
  #replace(hash: number, depth: number, tables: readonly Int32Array[]): void {
    const span = 1 << (this.#depth - depth)
    const start = directoryIndex(hash, depth) * span
    for (let i = 0; i < span; i++)
      this.#tables[start + i] = tables[Math.floor((i * tables.length) / span)] as Int32Array
  }

  #reset(): void {
    this.#tables = [newTable(slotsMin, 0)]
    this.#depth = 0
    this.#table = noTable
  }
}

// Twice the least is the most, and the step a quarter of the least.
const slotsMin = 512
const slotsStep = 128
const depthMax = 20
const loadMax = 0.78
const mergeBelow = 0.15
const noTable = new Int32Array(2)

// Slots of hash and number + 1 (0: empty), then the count and how many upper bits of the hash led here.
function newTable(slots: number, depth: number): Int32Array {
  const table = new Int32Array(2 * slots + 2)
  table[2 * slots + 1] = depth
  return table
}

const slotsOf = (table: Int32Array): number => (table.length - 2) >> 1
const countIn = (table: Int32Array): number => table[table.length - 2] as number
const depthOf = (table: Int32Array): number => table[table.length - 1] as number

// By the lower 16 bits, so that slots need not be a power of two.
const slotOf = (hash: number, slots: number): number => ((hash & 0xffff) * slots) >>> 16

// In two steps, because a shift by 32 is one by 0.
const directoryIndex = (hash: number, depth: number): number => (hash >>> 1) >>> (31 - depth)

function put(table: Int32Array, hash: number, stored: number): void {
  const slots = slotsOf(table)
  let slot = slotOf(hash, slots)
  while (table[2 * slot + 1] !== 0) slot = slot + 1 === slots ? 0 : slot + 1
  table[2 * slot] = hash
  table[2 * slot + 1] = stored
  table[table.length - 2] = countIn(table) + 1
}

/** The same with as few slots as its numbers need. */
function fitted(table: Int32Array): Int32Array {
  const needed = Math.ceil((countIn(table) + 1) / loadMax / slotsStep) * slotsStep
  return rebuilt([table], Math.max(slotsMin, needed), depthOf(table))
}

function rebuilt(tables: readonly Int32Array[], slots: number, depth: number): Int32Array {
  const all = newTable(slots, depth)
  for (const table of tables)
    for (let at = 0; at < table.length - 2; at += 2)
      if (table[at + 1] !== 0) put(all, table[at] as number, table[at + 1] as number)
  return all
}

/** Empties a slot and moves up what was pushed behind it, so that no tombstones are needed. */
function closeGap(table: Int32Array, at: number): void {
  const slots = slotsOf(table)
  const after = (slot: number) => (slot + 1 === slots ? 0 : slot + 1)
  const distance = (from: number, to: number) => (to >= from ? to - from : to - from + slots)
  let gap = at >> 1
  for (let slot = after(gap); table[2 * slot + 1] !== 0; slot = after(slot)) {
    const wanted = slotOf(table[2 * slot] as number, slots)
    if (distance(wanted, slot) < distance(gap, slot)) continue
    table[2 * gap] = table[2 * slot] as number
    table[2 * gap + 1] = table[2 * slot + 1] as number
    gap = slot
  }
  table[2 * gap] = 0
  table[2 * gap + 1] = 0
}

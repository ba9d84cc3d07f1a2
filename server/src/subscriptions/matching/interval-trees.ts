import { RecordPool } from './record-pool.ts'

/**
 * Many sets of entries (an interval of doubles, both ends included, and a whole number), each a B+ tree sorted by low
 * end that knows the highest high end below every branch. Finding those that hold a value takes O(log n + found), and
 * no insertion moves more than a few blocks. Small sets are one block of just their size, for most are small.
 *
 * A set is called by its root, which changes: every method that changes a set returns the new one. -1 is the empty set.
 *
 * A block has room for `capacity` entries: their low and high ends as doubles, then their numbers. Free places have an
 * infinite low end. In a branch the entries are the blocks below, with their first low and highest high end.
 */
export class IntervalTrees {
  readonly #pools: readonly RecordPool[] = capacities.map(
    (capacity) => new RecordPool({ width: 4 * capacity + capacity + (capacity & 1), doubles: true }),
  )
  /** Numbers that `collect` found. */
  found = new Int32Array(64)
  // Blocks that are still to be looked at, and for which interval each.
  #blocks = new Int32Array(64)
  #ends = new Float64Array(2 * 64)
  #asked = 0
  #touched = 0
  // What an insertion below gave its branch to take in: a second block, or -1.
  #second = -1

  /** Memory held, in bytes. */
  get bytes(): number {
    return this.#pools.reduce((sum, pool) => sum + pool.bytes, 0)
  }

  /** Blocks in use. */
  get size(): number {
    return this.#pools.reduce((sum, pool) => sum + pool.size, 0)
  }

  insert(root: number, entry: Entry): number {
    if (root < 0) {
      const block = this.#allocate(0)
      this.#write(block, 0, entry)
      return block
    }
    const first = this.#insert(root, entry)
    const second = this.#second
    if (second < 0) return first
    this.#second = -1
    const branch = this.#allocate(branchClass)
    this.#write(branch, 0, this.#summary(first))
    this.#write(branch, 1, this.#summary(second))
    return branch
  }

  /** Takes out an entry that is equal to the given one in all. Throws if there is none: that is a mistake of the caller. */
  remove(root: number, entry: Entry): number {
    if (!this.has(root, entry)) throw new Error(`no entry ${entry.low} to ${entry.high} of ${entry.ref}`)
    let left = this.#remove(root, entry)
    // A branch with one block below is no branch.
    while (left >= 0 && isBranch(left) && this.#count(left) === 1) {
      const below = this.#ref(left, 0)
      this.#free(left)
      left = below
    }
    return left
  }

  has(root: number, entry: Entry): boolean {
    if (root < 0) return false
    let block = root
    while (isBranch(block)) block = this.#ref(block, this.#branchOf(block, entry))
    return this.#compare(block, this.#placeIn(block, entry), entry) === 0
  }

  /** Asks for the entries of a set with low <= `high` and high >= `low`. What is asked for is found by `collect`. */
  ask(root: number, low: number, high: number): void {
    const at = this.#asked++
    if (at === this.#blocks.length) this.#makeRoomToAsk()
    this.#blocks[at] = root
    this.#ends[2 * at] = low
    this.#ends[2 * at + 1] = high
    const pool = this.#pools[root & classMask] as RecordPool
    const record = root >>> classBits
    const ints = pool.chunks[record >>> pool.shift] as Int32Array
    // Read for nothing: in a large index the block is in no cache, and so the memory is at work for all blocks that
    // are asked for at once, where each would have to be waited for by itself when its turn comes.
    this.#touched ^= ints[(record & pool.mask) * pool.width] as number
  }

  /** Puts into `found` the numbers of all entries that were asked for since the last time; returns how many. */
  collect(): number {
    let count = 0
    for (let i = 0; i < this.#asked; i++) {
      const block = this.#blocks[i] as number
      count = this.#collect(block, this.#ends[2 * i] as number, this.#ends[2 * i + 1] as number, count)
    }
    this.#asked = 0
    return count
  }

  /** The same for those entries alone that are accepted. */
  collectAccepted(
    root: number,
    of: { low: number; high: number; accept: (entry: Entry) => boolean },
  ): number {
    let count = 0
    const visit = (block: number) => {
      for (let i = 0; i < this.#count(block); i++) {
        const entry = this.#entry(block, i)
        if (entry.low > of.high) return
        if (entry.high < of.low) continue
        if (isBranch(block)) visit(entry.ref)
        else if (of.accept(entry)) {
          if (count === this.found.length) this.#makeRoom(count + 1)
          this.found[count++] = entry.ref
        }
      }
    }
    visit(root)
    return count
  }

  // With plain numbers instead of an object: this is the inner loop of every match.
  #collect(block: number, low: number, high: number, count: number): number {
    const pool = this.#pools[block & classMask] as RecordPool
    const record = block >>> classBits
    const doubles = pool.doubles[record >>> pool.shift] as Float64Array
    const ints = pool.chunks[record >>> pool.shift] as Int32Array
    const capacity = capacities[block & classMask] as number
    const start = (record & pool.mask) * pool.width
    const refs = start + 4 * capacity
    let at = start >> 1
    let n = count
    if (isBranch(block)) {
      for (let i = 0; i < capacity && (doubles[at] as number) <= high; i++, at += 2)
        if ((doubles[at + 1] as number) >= low) this.ask(ints[refs + i] as number, low, high)
      return n
    }
    if (n + capacity > this.found.length) this.#makeRoom(n + capacity)
    const found = this.found
    for (let i = 0; i < capacity && (doubles[at] as number) <= high; i++, at += 2)
      if ((doubles[at + 1] as number) >= low) found[n++] = ints[refs + i] as number
    return n
  }

  #makeRoomToAsk(): void {
    const blocks = new Int32Array(2 * this.#blocks.length)
    blocks.set(this.#blocks)
    this.#blocks = blocks
    const ends = new Float64Array(2 * this.#ends.length)
    ends.set(this.#ends)
    this.#ends = ends
  }

  #makeRoom(atLeast: number): void {
    const longer = new Int32Array(Math.max(atLeast, 2 * this.found.length))
    longer.set(this.found)
    this.found = longer
  }

  /** Puts the entry below; returns the block that stands for this one now, and leaves one beside it in `#second`. */
  #insert(block: number, entry: Entry): number {
    this.#second = -1
    if (!isBranch(block)) return this.#insertInLeaf(block, entry)
    const at = this.#branchOf(block, entry)
    const first = this.#insert(this.#ref(block, at), entry)
    const second = this.#second
    if (second < 0) {
      const low = Math.min(this.#low(block, at), entry.low)
      this.#write(block, at, { low, high: Math.max(this.#high(block, at), entry.high), ref: first })
      return block
    }
    this.#second = -1
    this.#write(block, at, this.#summary(first))
    return this.#insertAt(block, at + 1, this.#summary(second))
  }

  #insertInLeaf(block: number, entry: Entry): number {
    return this.#insertAt(block, this.#placeIn(block, entry), entry)
  }

  #insertAt(block: number, at: number, entry: Entry): number {
    const count = this.#count(block)
    if (count < capacityOf(block)) {
      this.#move(block, { from: at, to: at + 1, count: count - at })
      this.#write(block, at, entry)
      return block
    }
    if (!isBranch(block) && (block & classMask) < leafClassMax) {
      const larger = this.#resized(block, count, (block & classMask) + 1)
      return this.#insertAt(larger, at, entry)
    }
    // The right half moves out; a run of rising keys, as of round thresholds, leaves full blocks behind.
    const keep = at === count ? count - 1 : count >> 1
    const second = this.#allocate(isBranch(block) ? branchClass : leafClassFor(count - keep + 1))
    for (let i = keep; i < count; i++) this.#write(second, i - keep, this.#entry(block, i))
    this.#clear(block, keep)
    if (at > keep) this.#second = this.#insertAt(second, at - keep, entry)
    else {
      this.#insertAt(block, at, entry)
      this.#second = second
    }
    return block
  }

  /** Takes the entry out below; returns the block that stands for this one now, or -1 if nothing is left. */
  #remove(block: number, entry: Entry): number {
    const branch = isBranch(block)
    const at = branch ? this.#branchOf(block, entry) : this.#placeIn(block, entry)
    const count = this.#count(block)
    if (branch) {
      const below = this.#remove(this.#ref(block, at), entry)
      if (below >= 0) {
        this.#write(block, at, this.#summary(below))
        return block
      }
    }
    if (count === 1) {
      this.#free(block)
      return -1
    }
    this.#move(block, { from: at + 1, to: at, count: count - at - 1 })
    this.#clear(block, count - 1)
    const smaller = leafClassFor(count - 1)
    // Two sizes down, so that one that comes and goes does not copy the block each time.
    return !branch && smaller < (block & classMask) - 1 ? this.#resized(block, count - 1, smaller + 1) : block
  }

  /** The last block below that begins at or before the entry, or the first. */
  #branchOf(block: number, entry: Entry): number {
    const { doubles, start } = this.#place(block)
    let [from, to] = [1, this.#count(block)]
    while (from < to) {
      const middle = (from + to) >> 1
      const low = doubles[(start >> 1) + 2 * middle] as number
      // Low ends decide nearly always; only among equal ones the blocks below have to be looked into.
      const before =
        low === entry.low ? this.#compareFirst(this.#ref(block, middle), entry) <= 0 : low < entry.low
      if (before) from = middle + 1
      else to = middle
    }
    return from - 1
  }

  #compareFirst(block: number, entry: Entry): number {
    let first = block
    while (isBranch(first)) first = this.#ref(first, 0)
    return this.#compare(first, 0, entry)
  }

  /** Place of the first entry that is not before the given one. */
  #placeIn(block: number, entry: Entry): number {
    const { doubles, start } = this.#place(block)
    let [from, to] = [0, this.#count(block)]
    while (from < to) {
      const middle = (from + to) >> 1
      const low = doubles[(start >> 1) + 2 * middle] as number
      const before = low === entry.low ? this.#compare(block, middle, entry) < 0 : low < entry.low
      if (before) from = middle + 1
      else to = middle
    }
    return from
  }

  #compare(block: number, at: number, entry: Entry): number {
    if (at >= capacityOf(block)) return 1
    const low = this.#low(block, at)
    if (low !== entry.low) return low < entry.low ? -1 : 1
    const ref = this.#ref(block, at)
    if (ref !== entry.ref) return ref - entry.ref
    const high = this.#high(block, at)
    return high === entry.high ? 0 : high < entry.high ? -1 : 1
  }

  #summary(block: number): Entry {
    const count = this.#count(block)
    let high = Number.NEGATIVE_INFINITY
    for (let i = 0; i < count; i++) high = Math.max(high, this.#high(block, i))
    return { low: this.#low(block, 0), high, ref: block }
  }

  #entry(block: number, at: number): Entry {
    return { low: this.#low(block, at), high: this.#high(block, at), ref: this.#ref(block, at) }
  }

  #count(block: number): number {
    const { doubles, start } = this.#place(block)
    let [from, to] = [0, capacityOf(block)]
    while (from < to) {
      const middle = (from + to) >> 1
      if (doubles[(start >> 1) + 2 * middle] === Number.POSITIVE_INFINITY) to = middle
      else from = middle + 1
    }
    return from
  }

  #resized(block: number, count: number, to: number): number {
    const other = this.#allocate(to)
    for (let i = 0; i < count; i++) this.#write(other, i, this.#entry(block, i))
    this.#free(block)
    return other
  }

  #move(block: number, { from, to, count }: { from: number; to: number; count: number }): void {
    if (count <= 0) return
    const { doubles, ints, start, refs } = this.#place(block)
    const at = start >> 1
    doubles.copyWithin(at + 2 * to, at + 2 * from, at + 2 * (from + count))
    ints.copyWithin(refs + to, refs + from, refs + from + count)
  }

  #clear(block: number, from: number): void {
    const { doubles, start } = this.#place(block)
    for (let i = from; i < capacityOf(block); i++) doubles[(start >> 1) + 2 * i] = Number.POSITIVE_INFINITY
  }

  #write(block: number, at: number, { low, high, ref }: Entry): void {
    const { doubles, ints, start, refs } = this.#place(block)
    doubles[(start >> 1) + 2 * at] = low
    doubles[(start >> 1) + 2 * at + 1] = high
    ints[refs + at] = ref
  }

  #low(block: number, at: number): number {
    const { doubles, start } = this.#place(block)
    return doubles[(start >> 1) + 2 * at] as number
  }

  #high(block: number, at: number): number {
    const { doubles, start } = this.#place(block)
    return doubles[(start >> 1) + 2 * at + 1] as number
  }

  #ref(block: number, at: number): number {
    const { ints, refs } = this.#place(block)
    return ints[refs + at] as number
  }

  #place(block: number) {
    const pool = this.#pools[block & classMask] as RecordPool
    const record = block >>> classBits
    const chunk = record >>> pool.shift
    const start = (record & pool.mask) * pool.width
    return {
      doubles: pool.doubles[chunk] as Float64Array,
      ints: pool.chunks[chunk] as Int32Array,
      start,
      refs: start + 4 * capacityOf(block),
    }
  }

  #allocate(sizeClass: number): number {
    const block = ((this.#pools[sizeClass] as RecordPool).allocate() << classBits) | sizeClass
    this.#clear(block, 0)
    return block
  }

  #free(block: number): void {
    ;(this.#pools[block & classMask] as RecordPool).free(block >>> classBits)
  }
}

export interface Entry {
  readonly low: number
  readonly high: number
  readonly ref: number
}

// Steps of a third to a half: blocks are three quarters full on average. The last one is that of branches.
const capacities = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 64] as const
const classBits = 4
const classMask = 15
const branchClass = capacities.length - 1
const leafClassMax = branchClass - 1

const capacityOf = (block: number): number => capacities[block & classMask] as number
const isBranch = (block: number): boolean => (block & classMask) === branchClass
const leafClassFor = (count: number): number => capacities.findIndex((capacity) => capacity >= count)

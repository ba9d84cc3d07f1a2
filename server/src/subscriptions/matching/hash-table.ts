import { RecordPool } from './record-pool.ts'

/**
 * Finds whole numbers from 0 by 32-bit hashes: the caller compares what they stand for. Several may share a hash.
 *
 * Linear hashing: the lower bits of a hash choose one of many small pages, the upper bits a slot in it (open addressing).
 * Whenever there are too many for the pages there are, the next page in turn is split in two, so no call ever moves more
 * than two pages: a microsecond or two, where doubling one large table would stop the process for a hundred milliseconds.
 * Pages are records of a few sizes, and those that one page leaves are soon taken by another: nothing is left to the
 * collector of garbage, which would have to free thousands of arrays within one call.
 *
 * The hashes must be spread by a secret of this process, or somebody could choose names that fall into one slot.
 */
export class HashTable {
  /** By size class. */
  #pools: RecordPool[] = []
  /** By number, as record and size class. In chunks, for a list of all would have to be copied to grow. */
  #pages: Int32Array[] = []
  #pageCount = 1
  /** The least power of two above all page numbers, less one. */
  #mask = 0
  #size = 0
  // Where the last search stands. `next` goes on from there, so a search must end before another begins.
  #chunk: Int32Array = noInts
  #start = 0
  #end = 0
  #at = 0
  #hash = 0

  constructor() {
    this.#reset()
  }

  get size(): number {
    return this.#size
  }

  /** Memory held, in bytes. */
  get bytes(): number {
    const pages = this.#pages.length * pagesPerChunk * 4
    return this.#pools.reduce((sum, pool) => sum + pool.bytes, pages)
  }

  /** The first number stored under the hash, or -1. */
  first(hash: number): number {
    this.#open(this.#pageAt(this.#numberOf(hash)))
    this.#hash = hash
    return this.#search(this.#slotOf(hash))
  }

  /** The one after it, or -1. */
  next(): number {
    return this.#search(this.#at + 2 === this.#end ? this.#start : this.#at + 2)
  }

  insert(hash: number, id: number): void {
    const number = this.#numberOf(hash)
    const page = this.#pageAt(number)
    if (this.#countIn(page) < roomOf(page)) this.#put(page, hash, id + 1)
    else this.#put(this.#resize(number, (page & classMask) + 1), hash, id + 1)
    this.#size++
    if (this.#size > this.#pageCount * perPage) this.#split()
  }

  /** Takes one out. Throws if it is not there: that is a mistake of the caller. */
  remove(hash: number, id: number): void {
    for (let found = this.first(hash); found !== id; found = this.next())
      if (found < 0) throw new Error(`hash ${hash} does not hold ${id}`)
    this.#closeGap()
    this.#size--
    if (this.#size === 0) this.#reset()
    else if (this.#pageCount > 1 && this.#size < this.#pageCount * perPageLeast) this.#merge()
  }

  #search(from: number): number {
    const chunk = this.#chunk
    const hash = this.#hash
    for (let at = from; ; at = at + 2 === this.#end ? this.#start : at + 2) {
      const id = chunk[at + 1] as number
      if (id === 0) return -1
      if (chunk[at] === hash) {
        this.#at = at
        return id - 1
      }
    }
  }

  #numberOf(hash: number): number {
    const number = hash & this.#mask
    return number < this.#pageCount ? number : number & (this.#mask >> 1)
  }

  #pageAt(number: number): number {
    return (this.#pages[number >>> pageBits] as Int32Array)[number & (pagesPerChunk - 1)] as number
  }

  #setPage(number: number, page: number): void {
    ;(this.#pages[number >>> pageBits] as Int32Array)[number & (pagesPerChunk - 1)] = page
  }

  /** Makes the page the one that is looked into. */
  #open(page: number): void {
    const pool = this.#pools[page & classMask] as RecordPool
    const record = page >>> classBits
    this.#chunk = pool.chunks[record >>> pool.shift] as Int32Array
    // Behind the count.
    this.#start = (record & pool.mask) * pool.width + 1
    this.#end = this.#start + pool.width - 1
  }

  /** Where a hash belongs in the open page: by its upper 16 bits, so that slots need not be a power of two. */
  #slotOf(hash: number): number {
    return this.#start + 2 * (((hash >>> 16) * ((this.#end - this.#start) >> 1)) >>> 16)
  }

  #countIn(page: number): number {
    return (this.#pools[page & classMask] as RecordPool).get(page >>> classBits, 0)
  }

  /** The next page takes from that one whose number is its own without the first bit what has this bit. */
  #split(): void {
    const number = this.#pageCount
    if (number > this.#mask) this.#mask = 2 * this.#mask + 1
    if (number >>> pageBits === this.#pages.length) this.#pages.push(new Int32Array(pagesPerChunk))
    const old = number & (this.#mask >> 1)
    const page = this.#pageAt(old)
    const moves = (hash: number) => (hash & this.#mask) === number
    let moving = 0
    this.#each(page, (hash) => {
      if (moves(hash)) moving++
    })
    const stay = this.#allocate(classFor(this.#countIn(page) - moving))
    const move = this.#allocate(classFor(moving))
    this.#each(page, (hash, stored) => this.#put(moves(hash) ? move : stay, hash, stored))
    this.#free(page)
    this.#setPage(old, stay)
    this.#setPage(number, move)
    this.#pageCount++
  }

  /** The last page goes back to that one from which it came. */
  #merge(): void {
    const number = --this.#pageCount
    const other = number & (this.#mask >> 1)
    const pages = [this.#pageAt(other), this.#pageAt(number)]
    const joined = this.#allocate(classFor(pages.reduce((sum, page) => sum + this.#countIn(page), 0)))
    for (const page of pages) this.#moveInto(joined, page)
    this.#setPage(other, joined)
    if (number === (this.#mask >> 1) + 1) this.#mask >>= 1
  }

  /** Gives the page of that number another size. */
  #resize(number: number, sizeClass: number): number {
    const page = this.#allocate(sizeClass)
    this.#moveInto(page, this.#pageAt(number))
    this.#setPage(number, page)
    return page
  }

  #moveInto(page: number, from: number): void {
    this.#each(from, (hash, stored) => this.#put(page, hash, stored))
    this.#free(from)
  }

  #each(page: number, take: (hash: number, stored: number) => void): void {
    this.#open(page)
    const [chunk, end] = [this.#chunk, this.#end]
    for (let at = this.#start; at < end; at += 2)
      if (chunk[at + 1] !== 0) take(chunk[at] as number, chunk[at + 1] as number)
  }

  #allocate(sizeClass: number): number {
    while (this.#pools.length <= sizeClass)
      this.#pools.push(new RecordPool({ width: 1 + 2 * slotsOf(this.#pools.length), chunkInts }))
    const pool = this.#pools[sizeClass] as RecordPool
    const record = pool.allocate()
    const start = (record & pool.mask) * pool.width
    ;(pool.chunks[record >>> pool.shift] as Int32Array).fill(0, start, start + pool.width)
    return (record << classBits) | sizeClass
  }

  #free(page: number): void {
    ;(this.#pools[page & classMask] as RecordPool).free(page >>> classBits)
  }

  #put(page: number, hash: number, stored: number): void {
    this.#open(page)
    const chunk = this.#chunk
    let at = this.#slotOf(hash)
    while (chunk[at + 1] !== 0) at = at + 2 === this.#end ? this.#start : at + 2
    chunk[at] = hash
    chunk[at + 1] = stored
    chunk[this.#start - 1] = (chunk[this.#start - 1] as number) + 1
  }

  /** Empties the slot that was found and moves up what was pushed behind it, so that no tombstones are needed. */
  #closeGap(): void {
    const chunk = this.#chunk
    const [start, end] = [this.#start, this.#end]
    const distance = (from: number, to: number) => (to >= from ? to - from : to - from + end - start)
    const after = (at: number) => (at + 2 === end ? start : at + 2)
    let gap = this.#at
    for (let at = after(gap); chunk[at + 1] !== 0; at = after(at)) {
      const wanted = this.#slotOf(chunk[at] as number)
      if (distance(wanted, at) < distance(gap, at)) continue
      chunk[gap] = chunk[at] as number
      chunk[gap + 1] = chunk[at + 1] as number
      gap = at
    }
    chunk[gap + 1] = 0
    chunk[start - 1] = (chunk[start - 1] as number) - 1
  }

  #reset(): void {
    this.#pools = []
    this.#pages = [new Int32Array(pagesPerChunk)]
    this.#setPage(0, this.#allocate(0))
    this.#pageCount = 1
    this.#mask = 0
  }
}

// On average; the least is where pages are joined again.
const perPage = 32
const perPageLeast = 20
const pageBits = 12
const pagesPerChunk = 1 << pageBits
// Smaller than the usual ones: there is a pool for every size, and pages that are left as a table shrinks lie scattered.
const chunkInts = 8_192
const noInts = new Int32Array(0)

// Steps of a fifth to a third, so that pages are three quarters full on average. Those beyond are for many equal hashes.
const slotsBySize = [12, 16, 20, 24, 32, 40, 48, 56, 64, 80, 96, 128] as const
const classBits = 5
const classMask = 31
const loadMax = 0.84

const slotsOf = (page: number): number => {
  const sizeClass = page & classMask
  return slotsBySize[sizeClass] ?? 128 << (sizeClass - slotsBySize.length + 1)
}
/** How many a page takes. One slot at least stays empty, which ends a search. */
const roomOf = (page: number): number => Math.floor(slotsOf(page) * loadMax)

/** The smallest size that takes one more than so many. */
function classFor(count: number): number {
  let sizeClass = 0
  while (roomOf(sizeClass) <= count) sizeClass++
  return sizeClass
}

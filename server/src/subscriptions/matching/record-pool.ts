/**
 * Records of a fixed number of int32, called by whole numbers from 0. They lie in chunks that are allocated one at a time,
 * so growing never copies what is there (a copy of 64 MB is a pause of 20 ms), and a chunk that falls empty is given back.
 *
 * Whoever reads many fields takes the chunk and the place in it once: `chunks[id >>> shift]`, `(id & mask) * width`.
 */
export class RecordPool {
  readonly width: number
  readonly shift: number
  readonly mask: number
  readonly chunks: Int32Array[] = []
  /** The same memory as doubles; empty unless asked for. The width is even then. */
  readonly doubles: Float64Array[] = []
  /** More fields of each record, in memory of their own: what is seldom read must not push the rest out of the cache. */
  readonly coldWidth: number
  readonly #cold: Int32Array[] = []
  readonly #withDoubles: boolean
  /** Per chunk: first free record of its chain, or -1. */
  readonly #free: number[] = []
  readonly #used: number[] = []
  /** Chunks with a free record; the last one is used first. */
  readonly #roomy: number[] = []
  /** Numbers of chunks that were given back. */
  readonly #vacant: number[] = []
  #size = 0

  /** `chunkInts`: how many int32 a chunk has at most, if not the usual number. */
  constructor(of: { width: number; doubles?: boolean; cold?: number; chunkInts?: number }) {
    // The engine may hold what `**` and `Math` return as doubles, and would then work out every place with them.
    this.width = of.width | 0
    this.coldWidth = (of.cold ?? 0) | 0
    this.#withDoubles = of.doubles === true
    this.shift = Math.max(0, Math.floor(Math.log2((of.chunkInts ?? chunkInts) / of.width))) | 0
    this.mask = (1 << this.shift) - 1
  }

  /** Records in use. */
  get size(): number {
    return this.#size
  }

  /** Memory held, in bytes. */
  get bytes(): number {
    return (this.chunks.length - this.#vacant.length) * (this.mask + 1) * (this.width + this.coldWidth) * 4
  }

  /** Takes a record; what stands in it is not defined. */
  allocate(): number {
    const chunk = this.#roomy.at(-1) ?? this.#addChunk()
    const index = this.#free[chunk] as number
    const next = (this.chunks[chunk] as Int32Array)[index * this.width] as number
    this.#free[chunk] = next
    if (next < 0) this.#roomy.pop()
    this.#used[chunk] = (this.#used[chunk] as number) + 1
    this.#size++
    return (chunk << this.shift) | index
  }

  free(id: number): void {
    const chunk = id >>> this.shift
    const index = id & this.mask
    const before = this.#free[chunk] as number
    ;(this.chunks[chunk] as Int32Array)[index * this.width] = before
    this.#free[chunk] = index
    if (before < 0) this.#roomy.push(chunk)
    const used = (this.#used[chunk] as number) - 1
    this.#used[chunk] = used
    this.#size--
    // One roomy chunk is kept, or a record that comes and goes at a boundary would allocate each time.
    if (used === 0 && this.#roomy.length > 1) this.#release(chunk)
  }

  get(id: number, field: number): number {
    return (this.chunks[id >>> this.shift] as Int32Array)[(id & this.mask) * this.width + field] as number
  }

  set(id: number, field: number, value: number): void {
    ;(this.chunks[id >>> this.shift] as Int32Array)[(id & this.mask) * this.width + field] = value
  }

  getCold(id: number, field: number): number {
    return (this.#cold[id >>> this.shift] as Int32Array)[(id & this.mask) * this.coldWidth + field] as number
  }

  setCold(id: number, field: number, value: number): void {
    ;(this.#cold[id >>> this.shift] as Int32Array)[(id & this.mask) * this.coldWidth + field] = value
  }

  /** Sets a cold field of all records to 0. */
  clearCold(field: number): void {
    for (const chunk of this.#cold)
      for (let at = field; at < chunk.length; at += this.coldWidth) chunk[at] = 0
  }

  #addChunk(): number {
    const chunk = this.#vacant.pop() ?? this.chunks.length
    const buffer = new ArrayBuffer((this.mask + 1) * this.width * 4)
    const ints = new Int32Array(buffer)
    for (let index = 0; index < this.mask; index++) ints[index * this.width] = index + 1
    ints[this.mask * this.width] = -1
    this.chunks[chunk] = ints
    if (this.#withDoubles) this.doubles[chunk] = new Float64Array(buffer)
    if (this.coldWidth > 0) this.#cold[chunk] = new Int32Array((this.mask + 1) * this.coldWidth)
    this.#free[chunk] = 0
    this.#used[chunk] = 0
    this.#roomy.push(chunk)
    return chunk
  }

  #release(chunk: number): void {
    this.#roomy.splice(this.#roomy.indexOf(chunk), 1)
    this.chunks[chunk] = noInts
    if (this.#withDoubles) this.doubles[chunk] = noDoubles
    if (this.coldWidth > 0) this.#cold[chunk] = noInts
    this.#vacant.push(chunk)
  }
}

// 64 KiB: large enough that the list of chunks is short, small enough that a small index stays small.
const chunkInts = 16_384
const noInts = new Int32Array(0)
const noDoubles = new Float64Array(0)

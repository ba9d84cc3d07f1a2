/** Where something came from. */
interface Origin {
  readonly slot: number
  readonly offset: number
}

interface Entry {
  readonly offset: number
  isOpen: boolean
}

/** What lies, in each partition, between the first thing that is not dealt with and the last that was taken in. */
export class Span<Thing extends object> {
  /** By slot in order of offsets, from the first that is open. Entries hold no event: many may lie behind that one. */
  readonly #bySlot = new Map<number, Entry[]>()
  readonly #entries = new Map<Thing, { readonly slot: number; readonly entry: Entry }>()
  #length = 0

  get length(): number {
    return this.#length
  }

  add(thing: Thing, { slot, offset }: Origin): void {
    const entry: Entry = { offset, isOpen: true }
    const line = this.#bySlot.get(slot)
    if (line) line.push(entry)
    else this.#bySlot.set(slot, [entry])
    this.#entries.set(thing, { slot, entry })
    this.#length++
  }

  /** It is dealt with; harmless for what is not here. */
  delete(thing: Thing): void {
    const found = this.#entries.get(thing)
    if (!found) return
    this.#entries.delete(thing)
    found.entry.isOpen = false
    const line = this.#bySlot.get(found.slot) ?? []
    let done = 0
    while (line[done]?.isOpen === false) done++
    line.splice(0, done)
    this.#length -= done
  }

  /** Whether it is the one that holds back its partition. */
  isFirst(thing: Thing): boolean {
    const found = this.#entries.get(thing)
    return found !== undefined && this.#bySlot.get(found.slot)?.[0] === found.entry
  }

  /** Lowers a place, per slot the next offset, to the first thing that is open. */
  lower(place: Float64Array): Float64Array {
    for (const [slot, [first]] of this.#bySlot)
      if (first) place[slot] = Math.min(place[slot] as number, first.offset)
    return place
  }
}

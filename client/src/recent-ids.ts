/**
 * The last event ids, to recognise a repeat where the server cannot. Two sets take turns: the older one is let go of
 * as a whole, so that remembering costs the same however many there are. It knows at least the last `keep`.
 */
export class RecentIds {
  readonly #keep: number
  #young = new Set<string>()
  #old = new Set<string>()

  constructor(keep: number) {
    this.#keep = keep
  }

  /** Remembers an id; true if it was known. */
  meet(id: string): boolean {
    if (this.#young.has(id) || this.#old.has(id)) return true
    this.#young.add(id)
    if (this.#young.size >= this.#keep) {
      this.#old = this.#young
      this.#young = new Set()
    }
    return false
  }
}

/** Which lengths occur among the texts that filters name, and how often: an event's text is looked up at these only. */
export class LengthCounts {
  /** Each once, rising. */
  lengths: readonly number[] = []
  #counts: number[] = []

  get longest(): number {
    return this.lengths.at(-1) ?? -1
  }

  add(length: number): void {
    const at = this.#placeOf(length)
    if (this.lengths[at] === length) this.#counts[at] = (this.#counts[at] as number) + 1
    else {
      // Lists of just their length: most hold one number, where a list that grows would have room for seventeen.
      this.lengths = this.lengths.toSpliced(at, 0, length)
      this.#counts = this.#counts.toSpliced(at, 0, 1)
    }
  }

  remove(length: number): void {
    const at = this.#placeOf(length)
    const count = (this.#counts[at] as number) - 1
    this.#counts[at] = count
    if (count > 0) return
    this.lengths = this.lengths.toSpliced(at, 1)
    this.#counts = this.#counts.toSpliced(at, 1)
  }

  #placeOf(length: number): number {
    const at = this.lengths.findIndex((each) => each >= length)
    return at < 0 ? this.lengths.length : at
  }
}

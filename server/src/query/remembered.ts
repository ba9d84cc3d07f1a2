/**
 * An answer that costs much, asked for once for all who want it at the same time and kept for a while. If asking fails, the
 * last answer stands, however old; if there is none, all are told the failure, and it is kept as long.
 */
export class Remembered<T> {
  readonly #freshMs: number
  readonly #ask: () => Promise<T>
  #last: Promise<T> | undefined
  #good: { readonly value: T } | undefined
  #askedMs = 0

  constructor(freshMs: number, ask: () => Promise<T>) {
    this.#freshMs = freshMs
    this.#ask = ask
  }

  /** Rejects with what asking threw. */
  get(): Promise<T> {
    if (this.#last === undefined || performance.now() - this.#askedMs > this.#freshMs)
      this.#last = this.#again()
    return this.#last
  }

  async #again(): Promise<T> {
    // Until it is answered nobody asks once more, however long that takes.
    this.#askedMs = Number.POSITIVE_INFINITY
    try {
      const value = await this.#ask()
      this.#good = { value }
      return value
    } catch (error) {
      if (this.#good === undefined) throw error
      return this.#good.value
    } finally {
      this.#askedMs = performance.now()
    }
  }
}

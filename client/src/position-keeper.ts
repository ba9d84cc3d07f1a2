import type { Clock } from './clock.ts'
import type { PositionStore } from './position-store.ts'

export interface PositionKeeperNeeds {
  readonly store: PositionStore
  readonly clock: Clock
  /** Least time between two saves. */
  readonly saveMsMin: number
  /** The position that stands now; undefined if there is none. */
  readonly position: () => string | undefined
  readonly saved: (position: string) => void
  readonly failed: (error: unknown) => void
}

/** A store that failed is left alone for so long. */
const failedMs = 5_000

/** Saves a position that keeps moving: one save at a time, the latest one, and not more often than the store bears. */
export class PositionKeeper {
  readonly #needs: PositionKeeperNeeds
  #last: string | undefined
  #cancel: (() => void) | undefined
  #saving: Promise<void> | undefined
  /** It has moved while it was being saved. */
  #again = false
  #closed = false

  constructor(needs: PositionKeeperNeeds) {
    this.#needs = needs
  }

  /** The position has moved. */
  moved(): void {
    this.#saveIn(this.#needs.saveMsMin)
  }

  /** Saves what stands now, for the last time. Resolves when it has been tried. */
  async close(): Promise<void> {
    this.#closed = true
    this.#cancel?.()
    this.#cancel = undefined
    await this.#saving
    await this.#save()
  }

  #saveIn(ms: number): void {
    if (this.#closed) return
    this.#cancel ??= this.#needs.clock.after(ms, () => {
      this.#cancel = undefined
      this.#save()
    })
  }

  #save(): Promise<void> {
    // The one under way may hold an older position.
    if (this.#saving) {
      this.#again = true
      return this.#saving
    }
    const position = this.#needs.position()
    if (position === undefined || position === this.#last) return Promise.resolve()
    this.#saving = this.#store(position).finally(() => {
      this.#saving = undefined
      if (this.#again) this.moved()
      this.#again = false
    })
    return this.#saving
  }

  async #store(position: string): Promise<void> {
    try {
      await this.#needs.store.save(position)
      this.#last = position
      this.#needs.saved(position)
    } catch (error) {
      this.#needs.failed(error)
      this.#saveIn(failedMs)
    }
  }
}

const slotMs = 250

interface Spoke<Item> {
  readonly everyMs: number
  readonly turn: (item: Item) => void
}

/**
 * One timer for everything that each of many items needs now and then. Items are spread over a spoke's time by the
 * order in which they came, so ten thousand heartbeats are forty a tick rather than ten thousand at once.
 */
export class Wheel<Item> {
  readonly #spokes: readonly { readonly slots: Set<Item>[]; readonly turn: (item: Item) => void }[]
  readonly #timer: NodeJS.Timeout
  readonly #failed: (item: Item, error: unknown) => void
  #added = 0
  #tick = 0

  /** `failed` is told of a turn that threw; the other items have theirs all the same. */
  constructor(spokes: readonly Spoke<Item>[], failed: (item: Item, error: unknown) => void) {
    this.#failed = failed
    this.#spokes = spokes.map(({ everyMs, turn }) => ({
      slots: Array.from({ length: Math.max(1, Math.round(everyMs / slotMs)) }, () => new Set<Item>()),
      turn,
    }))
    this.#timer = setInterval(() => this.#turn(), slotMs)
    this.#timer.unref()
  }

  add(item: Item): void {
    const number = this.#added++
    for (const { slots } of this.#spokes) slots[(this.#tick + number) % slots.length]?.add(item)
  }

  delete(item: Item): void {
    for (const { slots } of this.#spokes) for (const slot of slots) if (slot.delete(item)) break
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #turn(): void {
    this.#tick++
    for (const { slots, turn } of this.#spokes) {
      // A copy, because a turn may end the item.
      for (const item of [...(slots[this.#tick % slots.length] ?? [])]) this.#turnOf(item, turn)
    }
  }

  #turnOf(item: Item, turn: (item: Item) => void): void {
    try {
      turn(item)
    } catch (error) {
      this.#failed(item, error)
    }
  }
}

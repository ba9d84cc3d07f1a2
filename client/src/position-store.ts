/**
 * Where a subscription keeps how far its consumer has come. `save` is asked for after the consumer has taken an event
 * and never twice at a time; what it stored last is what `load` gives to the next subscription. A crash in between
 * repeats a few events and loses none.
 */
export interface PositionStore {
  load(): string | undefined | Promise<string | undefined>
  save(position: string): void | Promise<void>
}

/** The part of `localStorage` and `sessionStorage` that is used. */
export interface TextStorage {
  getItem(key: string): string | null
  setItem(key: string, value: string): void
}

/** Keeps the position for as long as this object lives: over reconnects and new subscriptions, not over a restart. */
export function memoryStore(position?: string): PositionStore {
  let kept = position
  return {
    load: () => kept,
    save: (text) => {
      kept = text
    },
  }
}

/**
 * Keeps the position in a `Storage`, for example `localStorage`. Each subscription needs a key of its own: tabs that
 * shared one would write over each other.
 */
export function storageStore(storage: TextStorage, key: string): PositionStore {
  return {
    load: () => storage.getItem(key) ?? undefined,
    save: (position) => storage.setItem(key, position),
  }
}

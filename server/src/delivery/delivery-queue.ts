import type { DeliveryRecord } from './delivery-record.ts'
import type { Vector } from './vector.ts'

/** An event that waits to be written. */
export interface QueuedEvent {
  readonly delivery: DeliveryRecord
  /** JSON of the names of the filters that match. */
  readonly matched: Buffer
  /** That of the session when it was offered: by the time it is written the scan may have caught up. */
  readonly ahead: Vector | undefined
}

/** A frame about the stream that waits. */
export interface QueuedNote {
  readonly note: Buffer
  /** Everything below was told of once it is written: what waits before it must not count as told yet. */
  readonly to: Vector | undefined
}

interface Entry {
  /** Undefined once it was taken, or a later event of its key has taken its place. */
  item: QueuedEvent | QueuedNote | undefined
  readonly bytes: number
}

/** Replaced entries that may stand about before they are swept together. */
const replacedMax = 1_000

/** What waits for one reader: events, and notes about the stream between them, in order. */
export class DeliveryQueue {
  #entries: Entry[] = []
  /** By key the event that stands for it. Made when a key comes: hardly a reader has any, and to clear a map makes another one. */
  #byKey: Map<string, Entry> | undefined
  #bytes = 0
  #replaced = 0

  get bytes(): number {
    return this.#bytes
  }

  get isEmpty(): boolean {
    return this.#entries.length === this.#replaced
  }

  pushNote(note: Buffer, to?: Vector): void {
    this.#push({ item: { note, to }, bytes: note.length })
  }

  /** With a key, an event of the same key that still waits is let go, and returned. */
  push(event: QueuedEvent, key?: string): DeliveryRecord | undefined {
    const entry: Entry = { item: event, bytes: event.delivery.bytes }
    this.#push(entry)
    if (key === undefined) return undefined
    this.#byKey ??= new Map()
    const before = this.#byKey.get(key)
    this.#byKey.set(key, entry)
    if (!before?.item) return undefined
    const { delivery } = before.item as QueuedEvent
    before.item = undefined
    this.#bytes -= before.bytes
    this.#replaced++
    if (this.#replaced > replacedMax && this.#replaced > this.#entries.length / 2) this.#sweep()
    return delivery
  }

  /** Takes one note, or events of about so many bytes. */
  take(bytesMax: number): QueuedNote | { events: QueuedEvent[] } | undefined {
    // Asked of every reader after every write.
    if (this.#entries.length === 0) return undefined
    const events: QueuedEvent[] = []
    let taken = 0
    let count = 0
    let note: QueuedNote | undefined
    for (; count < this.#entries.length && taken < bytesMax; count++) {
      const entry = this.#entries[count] as Entry
      const { item } = entry
      if (item === undefined) {
        this.#replaced--
        continue
      }
      if ('note' in item) {
        if (events.length > 0) break
        note = item
        taken = entry.bytes
        count++
        break
      }
      events.push(item)
      taken += entry.bytes
      // Its key still leads to it, and what has left cannot be replaced.
      entry.item = undefined
    }
    this.#bytes -= taken
    if (count === this.#entries.length) this.#forget()
    else this.#entries = this.#entries.slice(count)
    if (note) return note
    return events.length > 0 ? { events } : undefined
  }

  /** The first event that waits, and up to where the notes before it will have told. */
  first(): { event: QueuedEvent | undefined; told: Vector[] } {
    const told: Vector[] = []
    for (const { item } of this.#entries) {
      if (item === undefined) continue
      if ('delivery' in item) return { event: item, told }
      if (item.to) told.push(item.to)
    }
    return { event: undefined, told }
  }

  /** Lets go of the oldest until about so many bytes are left, but never of the last one. */
  dropOldest(bytesMax: number): void {
    let count = 0
    while (this.#bytes > bytesMax && count < this.#entries.length - 1) {
      const { item, bytes } = this.#entries[count++] as Entry
      if (item === undefined) this.#replaced--
      else this.#bytes -= bytes
    }
    this.#entries = this.#entries.slice(count)
  }

  /** Puts a note before everything that waits. */
  putFirst(note: Buffer, to: Vector): void {
    this.#entries.unshift({ item: { note, to }, bytes: note.length })
    this.#bytes += note.length
  }

  /**
   * Lets go of the events; what was to be told about the stream still is. Not how far it had come behind one of the
   * events, because it goes on from before that one.
   */
  clearEvents(): void {
    let isBehind = false
    const notes = this.#entries.filter(({ item }) => {
      isBehind ||= item !== undefined && 'delivery' in item
      return item !== undefined && 'note' in item && !(isBehind && item.to)
    })
    this.clear()
    for (const entry of notes) this.#push(entry)
  }

  clear(): void {
    this.#forget()
    this.#bytes = 0
  }

  #push(entry: Entry): void {
    this.#entries.push(entry)
    this.#bytes += entry.bytes
  }

  #forget(): void {
    this.#entries = []
    this.#byKey?.clear()
    this.#replaced = 0
  }

  #sweep(): void {
    this.#entries = this.#entries.filter(({ item }) => item !== undefined)
    this.#replaced = 0
  }
}

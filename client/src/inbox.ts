import type { Event } from '@pulse/protocol/event'
import type { SlowPolicy } from '@pulse/protocol/frames'
import type { Position } from '@pulse/protocol/position'
import { type Advance, Place } from './place.ts'
import type { Gap, ReceivedEvent, StreamItem } from './stream-item.ts'

/** What one subscription holds that its consumer has not taken. */
export interface InboxLimits {
  readonly eventsMax: number
  /** UTF-16 characters of the frames that the events came in. */
  readonly charsMax: number
}

interface Entry {
  /** Undefined: nothing to see, only a step on. */
  readonly item: StreamItem | undefined
  readonly advance: Advance
  readonly chars: number
}

export interface InboxNeeds {
  readonly limits: InboxLimits
  readonly slow: SlowPolicy
  /** JSON Pointer into the event; with `conflate`, of events with the same value only the latest is kept. */
  readonly conflateBy: string | undefined
}

/**
 * What was received and not yet taken. Its place moves only when the consumer has taken an item, so a place that was
 * stored never lies behind something that the consumer has not seen. What happens when it is full:
 *
 * - `replay`: the connection is let go of until there is room, and goes on from where it was.
 * - `conflate`: only the latest event of each value stays; if that does not help, as `replay`.
 * - `drop-oldest`: the older half goes, and a gap in its place says so.
 * - `close`: the subscription ends.
 */
export class Inbox {
  readonly #needs: InboxNeeds
  #place: Place | undefined
  #entries: Entry[] = []
  #head = 0
  #events = 0
  #chars = 0
  /** The step of the item that the consumer has in hand. */
  #inHand: Advance | undefined

  constructor(needs: InboxNeeds, place: Place | undefined) {
    this.#needs = needs
    this.#place = place
  }

  /** Up to where the consumer has taken everything; undefined before the stream began. */
  get place(): Place | undefined {
    return this.#place
  }

  get events(): number {
    return this.#events
  }

  get isFull(): boolean {
    const { eventsMax, charsMax } = this.#needs.limits
    return this.#events >= eventsMax || this.#chars >= charsMax
  }

  /** Half of it is free again. */
  get hasRoom(): boolean {
    const { eventsMax, charsMax } = this.#needs.limits
    return this.#events <= eventsMax / 2 && this.#chars <= charsMax / 2
  }

  put(item: ReceivedEvent, chars: number): void {
    const { topic, partition, offset } = item
    this.#push({ item, advance: { topic, partition, next: offset + 1 }, chars })
    this.#events++
    this.#chars += chars
  }

  putGap(item: Gap, to: readonly Position[]): void {
    this.#push({ item, advance: { positions: to }, chars: 0 })
  }

  /** A step on that the consumer need not see. Returns true if the place has moved at once. */
  pass(advance: Advance): boolean {
    if (this.#isIdle) {
      this.#advance(advance)
      return true
    }
    const last = this.#entries.at(-1)
    // A consumer that is stuck for a day must not collect a day of checkpoints.
    const covered = last && last.item === undefined && 'positions' in advance && 'positions' in last.advance
    if (covered) this.#entries.pop()
    this.#push({ item: undefined, advance, chars: 0 })
    return false
  }

  /** The next item, which the consumer then has in hand until it confirms; undefined if there is none. */
  take(): StreamItem | undefined {
    while (this.#head < this.#entries.length) {
      const entry = this.#entries[this.#head] as Entry
      this.#head++
      this.#compact()
      if (entry.item === undefined) {
        this.#advance(entry.advance)
        continue
      }
      if (entry.item.kind === 'event') this.#events--
      this.#chars -= entry.chars
      this.#inHand = entry.advance
      return entry.item
    }
    return undefined
  }

  /** The consumer has taken what it had in hand. Returns true if the place has moved. */
  confirm(): boolean {
    if (this.#inHand === undefined) return false
    this.#advance(this.#inHand)
    this.#inHand = undefined
    while (this.#entries[this.#head]?.item === undefined && this.#head < this.#entries.length) {
      this.#advance((this.#entries[this.#head] as Entry).advance)
      this.#head++
    }
    this.#compact()
    return true
  }

  /** It is full: does what the policy says. Returns what the connection shall do. */
  relieve(): 'go-on' | 'hold' | 'end' {
    const { slow } = this.#needs
    if (slow === 'close') return 'end'
    if (slow === 'drop-oldest') this.#dropOldest()
    if (slow === 'conflate') this.#conflate()
    return this.hasRoom ? 'go-on' : 'hold'
  }

  get #isIdle(): boolean {
    return this.#inHand === undefined && this.#head === this.#entries.length
  }

  #push(entry: Entry): void {
    this.#entries.push(entry)
  }

  #advance(advance: Advance): void {
    if (this.#place) this.#place.advance(advance)
    else if ('positions' in advance) this.#place = new Place(advance.positions)
  }

  // Shifting an array for every event would move all that wait.
  #compact(): void {
    if (this.#head < 1_000 && this.#head < this.#entries.length) return
    this.#entries = this.#entries.slice(this.#head)
    this.#head = 0
  }

  #dropOldest(): void {
    const { eventsMax, charsMax } = this.#needs.limits
    const reached = this.#place?.copy()
    if (reached === undefined) return
    if (this.#inHand) reached.advance(this.#inHand)
    const from = reached.text
    while (
      this.#head < this.#entries.length &&
      (this.#events > eventsMax / 2 || this.#chars > charsMax / 2)
    ) {
      const { item, advance, chars } = this.#entries[this.#head] as Entry
      reached.advance(advance)
      this.#head++
      this.#chars -= chars
      if (item?.kind === 'event') this.#events--
    }
    const gap: Gap = { kind: 'gap', from, to: reached.text, reason: 'dropped' }
    const entry: Entry = { item: gap, advance: { positions: reached.positions }, chars: 0 }
    this.#entries = [entry, ...this.#entries.slice(this.#head)]
    this.#head = 0
  }

  #conflate(): void {
    const pointer = this.#needs.conflateBy
    if (pointer === undefined) return
    const seen = new Set<string>()
    const kept: Entry[] = []
    for (let n = this.#entries.length - 1; n >= this.#head; n--) {
      const entry = this.#entries[n] as Entry
      const value =
        entry.item?.kind === 'event' ? JSON.stringify(valueAt(entry.item.event, pointer)) : undefined
      const isSuperseded = value !== undefined && seen.has(value)
      if (value !== undefined) seen.add(value)
      if (isSuperseded) {
        this.#events--
        this.#chars -= entry.chars
      }
      kept.push(isSuperseded ? { item: undefined, advance: entry.advance, chars: 0 } : entry)
    }
    this.#entries = kept.reverse()
    this.#head = 0
  }
}

/** The member of an event that a JSON Pointer names; undefined if there is none. */
function valueAt(event: Event, pointer: string): unknown {
  let value: unknown = event
  for (const part of pointer.split('/').slice(1)) {
    if (typeof value !== 'object' || value === null) return undefined
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~')
    value = Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined
  }
  return value
}

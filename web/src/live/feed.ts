import type { Event } from '@pulse/protocol/event'
import { formatCount } from '../design/format.ts'

/** A line of the list: an event, or a note about the stream between events. */
export type Row =
  | { readonly kind: 'event'; readonly key: number; readonly event: Event }
  | { readonly kind: 'note'; readonly key: number; readonly text: string; readonly tone: 'neutral' | 'warn' }

/** What the page shows; a new object whenever that changes. */
export interface Shown {
  /** The newest first. */
  readonly rows: readonly Row[]
  /** Events that came while the list was held. */
  readonly waiting: number
  /** Events since the beginning. */
  readonly seen: number
  /** Events per second over the last few seconds. */
  readonly perSecond: number
  /** True while more comes than is shown. */
  readonly sampled: boolean
}

export const feedLimits = {
  rowsMax: 200,
  tickMs: 250,
  /** New rows of one tick in the long run, as nobody can read more. What was not used is saved, up to `rowsMax`. */
  rowsPerTick: 5,
  /** Ticks over which the rate is taken. */
  rateTicks: 16,
} as const

type Item = Event | Extract<Row, { kind: 'note' }>

const nothing: Shown = { rows: [], waiting: 0, seen: 0, perSecond: 0, sampled: false }

/**
 * What stands between a stream of any speed and a page that somebody reads: events are gathered, and a few of them at
 * a time become rows. While it is held nothing moves, and the newest wait.
 */
export class Feed {
  #shown = nothing
  #pending: Item[] = []
  #came = 0
  #counts: number[] = []
  #held = false
  #budget: number = feedLimits.rowsMax
  /** Ticks since more came than was shown. */
  #sinceSampled: number = feedLimits.rateTicks
  #nextKey = 0
  readonly #listeners = new Set<() => void>()

  get shown(): Shown {
    return this.#shown
  }

  readonly watch = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Takes an event of the stream. */
  event(event: Event): void {
    this.#came++
    this.#add(event)
  }

  /** Puts a note about the stream between the events before and after. */
  note(text: string, tone: 'neutral' | 'warn' = 'neutral'): void {
    this.#add(this.#noteOf(text, tone))
  }

  /** Nothing moves while it is held. What waited is shown when it no longer is, as far as there is room for it. */
  hold(held: boolean): void {
    if (this.#held === held) return
    this.#held = held
    if (held) return
    const waited = this.#pending.filter((item) => !('kind' in item)).length
    const more = this.#shown.waiting - Math.min(waited, feedLimits.rowsMax)
    if (more > 0)
      this.#pending.unshift(
        this.#noteOf(`${formatCount(more)} more came meanwhile. They are among the events.`),
      )
    this.#move(feedLimits.rowsMax - 1)
  }

  /** Forgets everything, for another filter. */
  clear(): void {
    this.#pending = []
    this.#counts = []
    this.#came = 0
    this.#show(nothing)
  }

  /** Shows what came since the last tick. */
  tick(): void {
    const { rowsMax, rowsPerTick, rateTicks } = feedLimits
    const came = this.#came
    this.#came = 0
    this.#counts = [...this.#counts, came].slice(-rateTicks)
    this.#budget = Math.min(rowsMax, this.#budget + rowsPerTick)
    if (this.#held) {
      this.#measure(came)
      return
    }
    const isOver = this.#pending.length > this.#budget
    this.#sinceSampled = isOver ? 0 : this.#sinceSampled + 1
    const most = Math.min(this.#pending.length, this.#budget)
    this.#budget -= most
    this.#move(most, came)
  }

  #noteOf(text: string, tone: 'neutral' | 'warn' = 'neutral'): Extract<Row, { kind: 'note' }> {
    return { kind: 'note', key: this.#nextKey++, text, tone }
  }

  #add(item: Item): void {
    this.#pending.push(item)
    // Twice the room, cut back to once: cutting one off at a time would move them all each time.
    if (this.#pending.length > 2 * feedLimits.rowsMax)
      this.#pending = this.#pending.slice(-feedLimits.rowsMax)
  }

  /** Makes rows of so many of what waits, spread evenly, the newest among them; notes are always shown. */
  #move(most: number, came = 0): void {
    const pending = this.#pending
    this.#pending = []
    const step = pending.length / Math.max(1, Math.min(most, pending.length))
    const fresh: Row[] = []
    let next = pending.length - 1
    for (let index = pending.length - 1; index >= 0; index--) {
      const item = pending[index]
      if (item === undefined) continue
      if ('kind' in item) fresh.push(item)
      else if (index <= next) {
        fresh.push({ kind: 'event', key: this.#nextKey++, event: item })
        next -= step
      }
    }
    const { rows } = this.#shown
    this.#measure(came, fresh.length > 0 ? [...fresh, ...rows].slice(0, feedLimits.rowsMax) : rows)
  }

  #measure(came: number, rows: readonly Row[] = this.#shown.rows): void {
    const before = this.#shown
    const shown: Shown = {
      rows,
      waiting: this.#held ? before.waiting + came : 0,
      seen: before.seen + came,
      perSecond: this.#rate(),
      sampled: this.#sinceSampled < feedLimits.rateTicks,
    }
    const isSame =
      rows === before.rows &&
      shown.waiting === before.waiting &&
      shown.seen === before.seen &&
      shown.perSecond === before.perSecond &&
      shown.sampled === before.sampled
    if (!isSame) this.#show(shown)
  }

  #rate(): number {
    const events = this.#counts.reduce((sum, count) => sum + count, 0)
    const seconds = (Math.max(4, this.#counts.length) * feedLimits.tickMs) / 1_000
    return events / seconds
  }

  #show(shown: Shown): void {
    this.#shown = shown
    for (const listener of this.#listeners) listener()
  }
}

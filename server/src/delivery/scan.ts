import type { LogBatch, LogRecord } from '@pulse/log'
import type { Event } from '@pulse/protocol/event'
import { matches } from '../subscriptions/matches.ts'
import type { MatchingIndex } from '../subscriptions/matching-index.ts'
import type { FilterChange } from '../subscriptions/subscriptions.ts'
import { DeliveryRecord } from './delivery-record.ts'
import type { Session, SessionFilter } from './session.ts'
import { lower, reaches, type Slots, type Vector } from './vector.ts'

/** What a scan asks of the index. */
export type Index = Pick<MatchingIndex, 'add' | 'remove' | 'match' | 'found'>

/** One filter of one session in the index. */
interface Handle {
  readonly session: Session
  readonly filter: SessionFilter
}

export interface ScanNeeds {
  readonly slots: Slots
  /** Where it begins; the scan's own from then on. */
  readonly vector: Vector
  readonly index: Index
}

/**
 * A pass over the log for many sessions: each batch is matched once against all their filters. The live feed is the
 * one at the tail; replays are others further back. It never waits: what it is given, it has dealt with when it
 * returns, so between two calls `vector` says for all its sessions what they were offered.
 */
export class Scan {
  readonly vector: Vector
  readonly #slots: Slots
  readonly #index: Index
  readonly #handles: (Handle | undefined)[] = []
  readonly #free: number[] = []
  readonly #numbers = new Map<SessionFilter, number>()
  readonly #sessions = new Map<string | null, Set<Session>>()
  /** Sessions that stood further ahead than the scan when they joined. */
  readonly #ahead = new Set<Session>()
  /** Sessions that the event in hand is for: one list for all events, because a thousand may be in it. */
  readonly #touched: Session[] = []
  /** Sessions whose queue a replay has filled. */
  readonly #full = new Set<Session>()
  #needles: readonly string[] | undefined
  #count = 0

  constructor({ slots, vector, index }: ScanNeeds) {
    this.#slots = slots
    this.#index = index
    this.vector = vector
  }

  get size(): number {
    return this.#count
  }

  has(session: Session): boolean {
    return this.#sessions.get(session.needs.subscriber)?.has(session) === true
  }

  *sessions(): Iterable<Session> {
    for (const group of this.#sessions.values()) yield* group
  }

  /** From now on its filters are asked. `place`: what lies below is not for it. */
  join(session: Session, place: Vector): void {
    const group = this.#sessions.get(session.needs.subscriber)
    if (group) group.add(session)
    else this.#sessions.set(session.needs.subscriber, new Set([session]))
    this.#count++
    session.ahead = reaches(this.vector, place) ? undefined : place
    if (session.ahead) this.#ahead.add(session)
    for (const filter of session.filters) this.#add(session, filter)
  }

  leave(session: Session): void {
    const group = this.#sessions.get(session.needs.subscriber)
    if (!group?.delete(session)) return
    if (group.size === 0) this.#sessions.delete(session.needs.subscriber)
    this.#count--
    this.#ahead.delete(session)
    this.#full.delete(session)
    for (const filter of session.filters) this.#remove(filter)
  }

  /**
   * Lets records pass unread that hold none of these texts: what matches holds at least one of them. Until the next
   * filter is added, which may want others.
   */
  expect(needles: readonly string[]): void {
    this.#needles = needles
  }

  /** From where a session must go on if it leaves now, with everything that it was offered. */
  placeOf(session: Session): Vector {
    const { ahead } = session
    return ahead
      ? this.vector.map((offset, slot) => Math.max(offset, ahead[slot] as number))
      : this.vector.slice()
  }

  /** Passes over what none of its sessions wants any more; true if there was such. */
  catchUp(): boolean {
    let lowest: Vector | undefined
    for (const session of this.sessions()) {
      if (!session.ahead) return false
      const place = this.placeOf(session)
      if (lowest) lower(lowest, place)
      else lowest = place
    }
    if (!lowest || reaches(this.vector, lowest)) return false
    this.vector.set(lowest)
    this.#arrive()
    return true
  }

  /** Puts other filters in the place of those of a session; what is in both stays. False if it is not here. */
  replace(session: Session, filters: SessionFilter[]): boolean {
    if (!this.has(session)) return false
    for (const filter of session.filters) if (!filters.includes(filter)) this.#remove(filter)
    const before = session.filters
    session.filters = filters
    for (const filter of filters) if (!before.includes(filter)) this.#add(session, filter)
    return true
  }

  /** Offers the records of a batch that lie at or beyond the scan's place, up to `end` if given. */
  take(batch: LogBatch, end = batch.nextOffset): void {
    const slot = this.#slots.of(batch.topic, batch.partition)
    let before: Vector | undefined
    for (const record of this.#count === 0 ? [] : batch.records) {
      if (record.offset < (this.vector[slot] as number)) continue
      if (record.offset >= end) break
      if (this.#needles && !this.#needles.some((needle) => record.value.includes(needle))) continue
      before = this.#offer(record, slot, before)
    }
    this.vector[slot] = Math.max(this.vector[slot] as number, end)
    this.#arrive()
  }

  #arrive(): void {
    for (const session of this.#ahead)
      if (session.ahead && reaches(this.vector, session.ahead)) {
        session.ahead = undefined
        this.#ahead.delete(session)
      }
  }

  #offer(record: LogRecord, slot: number, shared: Vector | undefined): Vector | undefined {
    const event = eventOf(record)
    const found = event ? this.#index.match(event) : 0
    if (found === 0) return shared
    const before = shared ?? this.vector.slice()
    const delivery = new DeliveryRecord(this.#slots, record, { slot, before })
    const sessions = this.#touched
    for (let n = 0; n < found; n++) {
      const handle = this.#handles[this.#index.found[n] as number]
      if (!handle || !applies(handle, slot, record.offset)) continue
      if (handle.filter.guard && !matches(handle.filter.guard, delivery.record.event)) continue
      if (handle.session.matches(delivery, handle.filter)) sessions.push(handle.session)
    }
    for (const session of sessions) {
      session.offer(delivery)
      if (!session.hasRoom) this.#full.add(session)
    }
    sessions.length = 0
    return before
  }

  /** Sessions that wait for their sockets before they may be offered more. */
  full(): Session[] {
    for (const session of this.#full) if (session.hasRoom) this.#full.delete(session)
    return [...this.#full]
  }

  /** Passes over what nobody is to see, such as a control record. */
  skip(slot: number, end: number): void {
    this.vector[slot] = Math.max(this.vector[slot] as number, end)
  }

  /** A control record was met: from its offset on the change applies in this partition. */
  change(change: FilterChange, slot: number, offset: number): void {
    for (const session of [...(this.#sessions.get(change.subscriber) ?? [])]) {
      const filter = change.filter && session.enforce(change.filter)
      // What waits for a slow reader may be let go of, and is then asked once more of the filters that it came by.
      const vector = session.owedFrom() ?? this.vector
      this.replace(session, changed(session.filters, { change, filter, slot, offset, vector }))
    }
  }

  #add(session: Session, filter: SessionFilter): void {
    const number = this.#free.pop() ?? this.#handles.length
    this.#index.add(number, filter.tree)
    this.#handles[number] = { session, filter }
    this.#numbers.set(filter, number)
    this.#needles = undefined
  }

  #remove(filter: SessionFilter): void {
    const number = this.#numbers.get(filter)
    if (number === undefined) return
    this.#index.remove(number, filter.tree)
    this.#numbers.delete(filter)
    this.#handles[number] = undefined
    this.#free.push(number)
  }
}

/** Undefined for what is no event: on an engine that others write to as well, it is nobody's. */
function eventOf(record: LogRecord): Event | undefined {
  try {
    const { event } = record
    return typeof event.event_type === 'string' ? event : undefined
  } catch {
    return undefined
  }
}

function applies({ session, filter }: Handle, slot: number, offset: number): boolean {
  if (session.ahead && offset < (session.ahead[slot] as number)) return false
  if (filter.since && offset < (filter.since[slot] as number)) return false
  return !(filter.until && offset >= (filter.until[slot] as number))
}

interface Met {
  readonly change: FilterChange
  /** The new filter, with what the credential lets through. */
  readonly filter: Pick<SessionFilter, 'tree' | 'guard'> | undefined
  readonly slot: number
  readonly offset: number
  /** What lies below is not asked for again. */
  readonly vector: Vector
}

/** The filters of a session after a change was met in one partition; those that apply nowhere any more are gone. */
export function changed(filters: readonly SessionFilter[], met: Met): SessionFilter[] {
  const { change, filter: news, slot, offset, vector } = met
  const nowhere = () => vector.map(() => Number.POSITIVE_INFINITY)
  let isKnown = false
  for (const filter of filters) {
    // The connection's own filter is of version 0, and no stored one that has its name ends it.
    if (filter.name !== change.name || filter.version === 0) continue
    if (filter.version === change.version) {
      isKnown = true
      if (filter.since) filter.since[slot] = Math.min(filter.since[slot] as number, offset)
    } else if (filter.version < change.version) {
      filter.until ??= nowhere()
      filter.until[slot] = Math.min(filter.until[slot] as number, offset)
    }
  }
  const added: SessionFilter[] = []
  if (!isKnown && news) {
    const since = nowhere()
    since[slot] = offset
    added.push({ name: change.name, version: change.version, ...news, since, until: null })
  }
  return [...filters, ...added].filter(({ until }) => !until || !reaches(vector, until))
}

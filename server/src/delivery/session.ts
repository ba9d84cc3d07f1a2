import { closeCodes } from '@pulse/protocol/close-codes'
import type { GapReason, SlowPolicy } from '@pulse/protocol/frames'
import { clausesOf } from '../subscriptions/clauses.ts'
import { FilterError } from '../subscriptions/filter-error.ts'
import type { Tree } from '../subscriptions/tree.ts'
import { DeliveryQueue, type QueuedEvent } from './delivery-queue.ts'
import type { DeliveryRecord } from './delivery-record.ts'
import type { Encoding } from './encoding.ts'
import { Missed } from './missed.ts'
import { atLeast, type Slots, type Vector } from './vector.ts'

/**
 * Bytes that wait for one reader before its policy is asked. In a replay the scan waits at the lower mark instead:
 * there is no news that could overtake it.
 */
export const queueLimits = {
  bytesMax: 1_048_576,
  /** A socket that has taken everything until this long ago is not slow: one large batch may come in one turn. */
  stuckMsMin: 100,
  /** Whatever the socket does. */
  bytesMost: 8_388_608,
  replayBytesMax: 262_144,
  writeBytesMax: 262_144,
} as const

/** The way to a reader. */
export interface Transport {
  /** Takes bytes; false when it wants no more before it has told `drained`. */
  write(bytes: Buffer): boolean
  /** Ends it once what was written is on its way. */
  close(code: number, reason: string): void
}

/** One version of a filter, as a session uses it. */
export interface SessionFilter {
  readonly name: string
  readonly version: number
  readonly tree: Tree
  /** Per slot the offset from which it applies; null: it always has. Infinite where that is not known yet. */
  since: Vector | null
  /** Per slot the offset from which it applies no more; null: no later version is known. */
  until: Vector | null
  /** Asked beside the tree: what the credential lets through at most, where both are too wide for one. */
  readonly guard?: Tree
  /** What a delivery that it alone matches says of it, once that was asked for. */
  matched?: Buffer
}

/**
 * Where a session is in its life:
 *
 * - `quiet`: nothing was asked for yet, or it ended.
 * - `waiting`: has a place in the past and waits for a replay.
 * - `read`: a scan, of the past or the live one, finds its events.
 * - `lagging`: its queue was let go; it waits until its socket has drained, to go on from its place.
 */
export type SessionState =
  | { readonly kind: 'quiet' }
  | { readonly kind: 'waiting' | 'lagging'; readonly place: Vector }
  | { readonly kind: 'read'; readonly live: boolean }
  | { readonly kind: 'closed'; readonly code: number }

export interface SessionNeeds {
  readonly id: string
  readonly subscriber: string | null
  readonly slots: Slots
  readonly encoding: Encoding
  readonly transport: Transport
  /** What the credential lets through at most. */
  readonly enforced?: Tree
  /** It has something to write. */
  readonly dirty: (session: Session) => void
  /** It is `lagging` and its socket has drained: it wants a replay from its place. */
  readonly resume: (session: Session, place: Vector) => void
  /** It no longer wants what its scan finds. */
  readonly leave: (session: Session) => void
  readonly ended: (code: number) => void
  readonly report: SessionReport
}

export interface SessionReport {
  delivered(events: number, bytes: number): void
  lagged(policy: SlowPolicy): void
  gap(reason: GapReason): void
}

/** A subscriber's stream on one connection: what was told, what waits, and what to do when the reader is slow. */
export class Session {
  readonly needs: SessionNeeds
  filters: SessionFilter[] = []
  state: SessionState = { kind: 'quiet' }
  /** Next offset per slot that it was not told of, by an event, a checkpoint or a gap. */
  readonly told: Vector
  /** Where it stood when its scan began further back: what lies below is not for it. */
  ahead: Vector | undefined
  slow: SlowPolicy = 'replay'
  /** Of queued events for which this gives the same text only the latest is kept, if `slow` is `conflate`. */
  conflateBy: ((delivery: DeliveryRecord) => string) | undefined
  /** A gap of damage that was met before, and may be met again. */
  knownDamage: { readonly from: Vector; readonly to: Vector } | undefined
  /** Position that the client says it has dealt with. */
  acked: Vector | undefined
  readonly counted = { delivered: 0, gaps: 0, lagged: 0 }
  /** Where it began: what lies below was never for it. Undefined before it has. */
  began: Vector | undefined
  readonly missed = new Missed()
  readonly #queue = new DeliveryQueue()
  #ready = true
  #unreadyAt = 0
  #roomWanted: (() => void)[] = []
  /** The event that a scan has in hand, and which filters match it. */
  #hand: { delivery: DeliveryRecord | undefined; filter: SessionFilter | undefined; names: string[] } = {
    delivery: undefined,
    filter: undefined,
    names: [],
  }

  constructor(needs: SessionNeeds) {
    this.needs = needs
    this.told = new Float64Array(needs.slots.count)
  }

  /** A filter with what the credential lets through at most: as one tree, which is found sooner, if an index takes it. */
  enforce(tree: Tree): Pick<SessionFilter, 'tree' | 'guard'> {
    const { enforced } = this.needs
    if (!enforced) return { tree }
    const both: Tree = { kind: 'all', of: [enforced, tree] }
    return fits(both) ? { tree: both } : { tree, guard: enforced }
  }

  get queuedBytes(): number {
    return this.#queue.bytes
  }

  /** Everything below was told of. */
  startAt(vector: Vector): void {
    this.told.set(vector)
    this.began = vector.slice()
  }

  /** Whether a replay may offer more. */
  get hasRoom(): boolean {
    return this.#queue.bytes < queueLimits.replayBytesMax
  }

  /** Resolves when a replay may offer more, or the session has ended. */
  async room(): Promise<void> {
    if (this.hasRoom || this.state.kind === 'closed') return
    await new Promise<void>((resolve) => this.#roomWanted.push(resolve))
  }

  #tellRoom(): void {
    if (!this.hasRoom) return
    const wanted = this.#roomWanted
    this.#roomWanted = []
    for (const resolve of wanted) resolve()
  }

  /** A scan has found that one of its filters matches; true if it is the first that matches this event. */
  matches(delivery: DeliveryRecord, filter: SessionFilter): boolean {
    const hand = this.#hand
    if (hand.delivery !== delivery) {
      hand.delivery = delivery
      hand.filter = filter
      if (hand.names.length > 0) hand.names = []
      return true
    }
    if (hand.names.length === 0) hand.names.push((hand.filter as SessionFilter).name)
    hand.names.push(filter.name)
    return false
  }

  /** Takes the event whose matches were told. */
  offer(delivery: DeliveryRecord): void {
    const matched = this.#matched()
    if (this.state.kind !== 'read') return
    const event = { delivery, matched, ahead: this.ahead }
    const isConflated = this.slow === 'conflate' && !this.#ready
    const replaced = this.#queue.push(event, isConflated ? this.conflateBy?.(delivery) : undefined)
    if (replaced) this.missed.replaced(replaced.slot, replaced.offset, this.told)
    if (this.#queue.bytes > queueLimits.bytesMax && this.state.live && this.#isSlow()) this.#tooSlow()
    else this.needs.dirty(this)
  }

  #isSlow(): boolean {
    if (this.#queue.bytes > queueLimits.bytesMost) return true
    return !this.#ready && performance.now() - this.#unreadyAt > queueLimits.stuckMsMin
  }

  /** Queues a frame about the stream, behind what waits. */
  note(bytes: Buffer): void {
    if (this.state.kind === 'closed') return
    this.#queue.pushNote(bytes)
    this.needs.dirty(this)
  }

  /**
   * Says that everything below was looked at; only when nothing waits, so that it cannot overtake an event. False if
   * something does.
   */
  checkpoint(vector: Vector, id?: string): boolean {
    if (this.state.kind !== 'read' || !this.#ready || !this.#queue.isEmpty) return false
    const { encoding, slots } = this.needs
    const previous = slots.format(this.told)
    for (let slot = 0; slot < vector.length; slot++)
      this.told[slot] = Math.max(this.told[slot] as number, vector[slot] as number)
    const bytes = encoding.checkpoint(slots.format(this.told), { id, previous })
    if (bytes) this.note(bytes)
    return true
  }

  /**
   * Says, behind what waits, that everything below was looked at: a gap that follows begins where the reader was told
   * to stand, or it would take what did not match for missing.
   */
  reached(place: Vector): void {
    if (this.state.kind === 'closed') return
    const bytes = this.needs.encoding.checkpoint(this.needs.slots.format(place))
    if (!bytes) return
    this.#queue.pushNote(bytes, place.slice())
    this.needs.dirty(this)
  }

  /** Says that what lies between will not come; a reader that has no words for it is sent away. */
  gap(from: string, to: Vector, reason: GapReason): void {
    if (this.state.kind === 'closed') return
    this.counted.gaps++
    const { slots, encoding, report } = this.needs
    report.gap(reason)
    const presented = slots.parse(from)
    // Offsets of another log say nothing here, not even those that this one seems to have.
    const isOfThis = reason !== 'epoch' && presented.kind === 'ok'
    this.missed.gap(isOfThis ? presented.vector : undefined, to, reason)
    const bytes = encoding.gap(from, slots.format(to), reason)
    if (bytes) {
      this.#queue.pushNote(bytes, to.slice())
      this.needs.dirty(this)
    } else this.end(closeCodes.position_gone, 'events are missing; come back without the position')
  }

  /** Writes what waits, as far as the socket takes it. */
  flush(): void {
    while (this.#ready && this.state.kind !== 'closed') {
      const taken = this.#queue.take(queueLimits.writeBytesMax)
      if (!taken) break
      if ('note' in taken && taken.to) atLeast(this.told, taken.to)
      this.#ready = this.needs.transport.write('note' in taken ? taken.note : this.#encode(taken.events))
      if (!this.#ready) this.#unreadyAt = performance.now()
    }
    if (this.#roomWanted.length > 0) this.#tellRoom()
  }

  /** The socket takes bytes again. */
  drained(): void {
    this.#ready = true
    if (!this.#queue.isEmpty) this.needs.dirty(this)
    if (this.state.kind !== 'lagging') return
    const { place } = this.state
    this.state = { kind: 'waiting', place }
    this.needs.resume(this, place)
  }

  /** How far the damage reaches that was met in this partition here, if it was met before. */
  knownEnd(slot: number, place: Vector): number | undefined {
    const { knownDamage: known } = this
    if (!known || known.from[slot] !== place[slot] || known.to[slot] === known.from[slot]) return undefined
    return known.to[slot]
  }

  /** Takes it out of its scan and lets go of what waits. Returns from where it must go on. */
  suspend(): Vector {
    const place = this.owedFrom() ?? atLeast(this.told.slice(), ...this.#queue.first().told)
    this.#queue.clearEvents()
    return place
  }

  /** From where it would go on if its queue were let go of now; undefined if no event waits. */
  owedFrom(): Vector | undefined {
    const { event, told } = this.#queue.first()
    return event && atLeast(this.#noLess(event.delivery.placeBefore()), ...told)
  }

  end(code: number, reason: string): void {
    if (this.state.kind === 'closed') return
    this.needs.leave(this)
    this.state = { kind: 'closed', code }
    this.#queue.clear()
    this.#tellRoom()
    this.needs.transport.close(code, reason)
    this.needs.ended(code)
  }

  #encode(events: readonly QueuedEvent[]): Buffer {
    const { encoding, report } = this.needs
    const parts = events.map(({ delivery, matched, ahead }) => {
      const previous = (this.told[delivery.slot] as number) - 1
      this.told[delivery.slot] = delivery.offset + 1
      return encoding.event(delivery, { previous, matched, ahead })
    })
    const bytes = encoding.join(parts)
    this.counted.delivered += events.length
    report.delivered(events.length, bytes.length)
    return bytes
  }

  #matched(): Buffer {
    const hand = this.#hand
    const filter = hand.filter as SessionFilter
    const { encoding } = this.needs
    // The queue keeps the event as long as it must; the hand must not keep it longer.
    hand.delivery = undefined
    if (hand.names.length > 0) return encoding.matched(hand.names.sort())
    filter.matched ??= encoding.matched([filter.name])
    return filter.matched
  }

  #tooSlow(): void {
    const { slow } = this
    this.counted.lagged++
    this.needs.report.lagged(slow)
    if (slow === 'close') this.end(closeCodes.too_slow, 'the reader is too slow for what matches')
    else if (slow === 'drop-oldest') this.#dropOldest()
    else this.#fallBack()
  }

  #fallBack(): void {
    // Also a conflating reader whose keys do not fit: it loses its queue, never its place.
    this.needs.leave(this)
    const place = this.suspend()
    this.missed.readAgain(place)
    this.state = { kind: 'lagging', place }
    const bytes = this.needs.encoding.lagging(this.needs.slots.format(place))
    if (bytes) this.note(bytes)
    if (this.#ready) this.drained()
  }

  #dropOldest(): void {
    const { slots, encoding, report } = this.needs
    const from = slots.format(this.told)
    this.#queue.dropOldest(queueLimits.bytesMax / 2)
    const to = this.owedFrom()
    if (!to) return
    this.counted.gaps++
    report.gap('dropped')
    this.missed.gap(this.told, to, 'dropped')
    const note = encoding.gap(from, slots.format(to), 'dropped')
    if (note) this.#queue.putFirst(note, to)
    this.needs.dirty(this)
  }

  /** A scan that began further back than this session must not take it back with it. */
  #noLess(vector: Vector): Vector {
    for (let slot = 0; slot < vector.length; slot++)
      vector[slot] = Math.max(vector[slot] as number, this.told[slot] as number, this.ahead?.[slot] ?? 0)
    return vector
  }
}

function fits(tree: Tree): boolean {
  try {
    clausesOf(tree)
    return true
  } catch (error) {
    if (error instanceof FilterError) return false
    throw error
  }
}

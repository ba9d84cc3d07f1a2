import { answered } from '@pulse/log/answered'
import type { GapReason, SlowPolicy } from '@pulse/protocol/frames'
import type { Position } from '@pulse/protocol/position'
import type { FilterVersion } from '../subscriptions/subscriptions.ts'
import type { Tree } from '../subscriptions/tree.ts'
import type { OpenStream } from './delivery.ts'
import type { DeliveryRecord } from './delivery-record.ts'
import type { Feed } from './feed.ts'
import { changed } from './scan.ts'
import { Session, type SessionFilter, type SessionReport } from './session.ts'
import { reaches, type Vector } from './vector.ts'

/** A stream that could not begin by then is refused: whoever asked for it would rather ask again, or elsewhere. */
export const beginMsMax = 5_000

/** Name under which a filter of the connection itself stands in `matched`. */
const ownFilterName = 'stream'

export interface StreamNeeds extends OpenStream {
  readonly id: string
  readonly feed: Feed
  readonly versions: (subscriber: string) => Promise<readonly FilterVersion[]>
  readonly dirty: (session: Session) => void
  readonly report: SessionReport
  readonly ended: (code: number) => void
}

export interface BeginOptions {
  /** A position that cannot be honoured is `gone` rather than a gap. */
  readonly strict?: boolean
  /** A gap that ends at the position and was met before: its reader still has to be told of it. */
  readonly owed?: { readonly from: string; readonly reason: GapReason }
  /** A gap of damage behind the position that was met before: it reaches as far as it did then, though the log goes on. */
  readonly known?: { readonly from: string; readonly to: string }
  /** A filter of the connection itself, beside those that are stored. */
  readonly own?: Tree
  readonly slow?: SlowPolicy
  /** Of queued events for which this gives the same text only the latest is kept, if `slow` is `conflate`. */
  readonly conflateBy?: (delivery: DeliveryRecord) => string
}

/**
 * What became of a beginning: `gone` if the position cannot be honoured and the reader has no words for a gap;
 * `invalid` if it is none; `no_filter` if there is nothing to match.
 */
export type Begun = 'begun' | 'gone' | 'invalid' | 'no_filter' | 'ended'

/** Whether a filter matches nothing any more from a place on. */
const hasEnded = ({ until }: SessionFilter, place: Vector) => until !== null && reaches(place, until)

/** One subscriber's stream over one connection, from its opening to its end. */
export class Stream {
  readonly session: Session
  readonly openedAt = Date.now()
  readonly #needs: StreamNeeds
  #own: Tree | undefined
  #ownSince: Vector | undefined

  constructor(needs: StreamNeeds) {
    this.#needs = needs
    const { feed } = needs
    this.session = new Session({
      id: needs.id,
      subscriber: needs.subscriber,
      slots: feed.slots,
      encoding: needs.encoding,
      transport: needs.connection,
      ...(needs.enforced && { enforced: needs.enforced }),
      dirty: needs.dirty,
      resume: (session, place) => feed.replays.add(session, place),
      leave: (session) => {
        feed.live.scan.leave(session)
        feed.replays.leave(session)
      },
      ended: needs.ended,
      report: needs.report,
    })
    needs.connection.onDrain(() => this.session.drained())
  }

  get subscriber(): string | null {
    return this.#needs.subscriber
  }

  /** Whose it is, for those who look. */
  get owner(): string | null {
    return this.#needs.owner ?? this.#needs.subscriber
  }

  get caller() {
    return this.#needs.caller
  }

  get connection() {
    return this.#needs.connection
  }

  /** Where the live feed stands: a stream that begins now begins there. */
  get now(): string {
    const { slots, live } = this.#needs.feed
    return slots.format(live.scan.vector)
  }

  /** Names of the filters that are stored for the subscriber. Rejects while the database is away. */
  async filterNames(): Promise<string[]> {
    const { subscriber, versions } = this.#needs
    if (subscriber === null) return []
    const stored = await answered(versions(subscriber), beginMsMax)
    return stored.filter(({ until }) => until === null).map(({ name }) => name)
  }

  /**
   * Begins to deliver: from a position, or from now. Rejects with what the database threw, or with LogError `unavailable`
   * where that does not answer in `beginMsMax`; the stream is then to be ended, for it may still begin.
   */
  async begin(from: string | undefined, options: BeginOptions = {}): Promise<Begun> {
    return await answered(this.#begin(from, options), beginMsMax)
  }

  async #begin(from: string | undefined, options: BeginOptions): Promise<Begun> {
    const { slots, live, replays } = this.#needs.feed
    const { owed } = options
    this.#own = options.own ?? this.#own
    this.session.slow = options.slow ?? this.session.slow
    this.session.conflateBy = options.conflateBy ?? this.session.conflateBy
    this.session.knownDamage = options.known && this.#damageOf(options.known)
    const presented = from === undefined ? undefined : slots.parse(from)
    if (presented?.kind === 'invalid') return 'invalid'
    const range = presented && (await live.range())
    const { filters, seen } = await this.#loadFilters()
    if (this.session.state.kind === 'closed') return 'ended'
    // From here on nothing waits: what the feed has met since the filters were asked for is added by hand.
    this.session.filters = this.#withNews(
      filters,
      seen,
      presented?.kind === 'ok' ? presented.vector : undefined,
    )
    if (!presented)
      this.session.filters = this.session.filters.filter((each) => !hasEnded(each, live.scan.vector))
    if (this.session.filters.length === 0) return 'no_filter'
    if (!presented || !range) {
      this.#start(live.scan.vector.slice())
      live.adopt(this.session, live.scan.vector)
      return 'begun'
    }
    if (presented.kind === 'epoch' || !reaches(range.end, presented.vector)) {
      if (options.strict) return 'gone'
      this.session.startAt(live.scan.vector)
      this.session.gap(owed?.from ?? from ?? '', live.scan.vector, 'epoch')
      live.adopt(this.session, live.scan.vector)
      return 'begun'
    }
    const place: Vector = presented.vector.map((offset, slot) =>
      Math.max(offset, range.start[slot] as number),
    )
    if (owed || !reaches(presented.vector, range.start)) {
      if (options.strict) return 'gone'
      this.session.startAt(place)
      this.session.gap(owed?.from ?? from ?? '', place, owed?.reason ?? 'retention')
    } else this.#start(place)
    replays.add(this.session, place)
    return 'begun'
  }

  /** Undefined if it is one of another life of the log. */
  #damageOf(known: { readonly from: string; readonly to: string }) {
    const { slots } = this.#needs.feed
    const [from, to] = [slots.parse(known.from), slots.parse(known.to)]
    return from.kind === 'ok' && to.kind === 'ok' ? { from: from.vector, to: to.vector } : undefined
  }

  /** Puts another filter of the connection's own in place of the one it has. */
  setOwn(own: Tree | undefined): void {
    this.#own = own
    this.#ownSince = this.place()
    const { session } = this
    const others = session.filters.filter(({ name, version }) => name !== ownFilterName || version > 0)
    this.#replace(own ? [...others, this.#ownFilter(own)] : others)
  }

  #replace(filters: SessionFilter[]): void {
    const { session } = this
    const { live, replays } = this.#needs.feed
    if (!live.scan.replace(session, filters) && !replays.replace(session, filters)) session.filters = filters
  }

  /** The filter of the connection itself; `since`: where it took the place of another one. */
  get own(): { readonly tree: Tree | undefined; readonly since: Vector | undefined } {
    return { tree: this.#own, since: this.#ownSince }
  }

  /** How far it has come; undefined before it has begun and after its end. */
  place(): Vector | undefined {
    const { live, replays } = this.#needs.feed
    const { state } = this.session
    switch (state.kind) {
      case 'read':
        return state.live ? live.scan.placeOf(this.session) : replays.placeOf(this.session)
      case 'waiting':
      case 'lagging':
        return state.place
      default:
        return undefined
    }
  }

  /** Events that it is behind the live feed, of whatever kind. */
  behind(): number {
    const place = this.place()
    if (!place) return 0
    const { vector } = this.#needs.feed.live.scan
    return vector.reduce((sum, offset, slot) => sum + Math.max(0, offset - (place[slot] as number)), 0)
  }

  /** Age of the oldest of them in seconds; null if this server does not remember when it came. */
  behindSeconds(): number | null {
    const place = this.place()
    const since = place && this.#needs.feed.live.times.since(place)
    return since === null ? null : since === undefined ? 0 : Math.max(0, Date.now() - since / 1_000) / 1_000
  }

  /** Says how far the stream has come, if nothing waits; false if something does. */
  checkpoint(id?: string): boolean {
    const place = this.session.state.kind === 'read' ? this.place() : undefined
    if (place === undefined || !this.session.checkpoint(place, id)) return false
    const filters = this.session.filters.filter((each) => !hasEnded(each, place))
    if (filters.length < this.session.filters.length) this.#replace(filters)
    return true
  }

  /** Answers a ping: with how far the stream has come if that can be said now, else with where it stood last. */
  pong(id: string | undefined): void {
    if (!this.checkpoint(id)) this.#announce(this.session.told, id)
  }

  /** The client has dealt with everything below this position; one that cannot be read is left out. */
  ack(position: string): void {
    const presented = this.#needs.feed.slots.parse(position)
    if (presented.kind === 'ok') this.session.acked = presented.vector
  }

  end(code: number, reason: string): void {
    this.session.end(code, reason)
  }

  #start(place: Vector): void {
    this.session.startAt(place)
    this.#announce(place)
  }

  #announce(place: Vector, id?: string): void {
    const bytes = this.#needs.encoding.checkpoint(this.#needs.feed.slots.format(place), { id })
    if (bytes) this.session.note(bytes)
  }

  /** The filters, and the first entry of the feed's memory that may tell of a change which is not among them. */
  async #loadFilters(): Promise<{ filters: SessionFilter[]; seen: number }> {
    const { recent } = this.#needs.feed.live
    for (;;) {
      const seen = recent.end
      const filters = await this.#storedFilters()
      // In a flood the feed may have forgotten again what came meanwhile; then nobody can add it by hand.
      if (seen === recent.end || recent.at(seen))
        return { filters: this.#own ? [...filters, this.#ownFilter(this.#own)] : filters, seen }
    }
  }

  async #storedFilters(): Promise<SessionFilter[]> {
    const { subscriber, versions } = this.#needs
    const stored = subscriber === null ? [] : await versions(subscriber)
    const filters: SessionFilter[] = []
    for (const { name, version, tree, since, until } of stored) {
      const ended = until && this.#vectorOf(until)
      // It ended in another life of the log, so in this one it never applied.
      if (until && !ended) continue
      filters.push({
        ...{ name, version, ...this.session.enforce(tree) },
        since: since && this.#vectorOf(since),
        until: ended,
      })
    }
    return filters
  }

  /** Null if the positions are those of another life of the log. */
  #vectorOf(positions: readonly Position[]): Vector | null {
    const presented = this.#needs.feed.slots.read(positions)
    return presented.kind === 'ok' ? presented.vector : null
  }

  #ownFilter(tree: Tree): SessionFilter {
    return { name: ownFilterName, version: 0, ...this.session.enforce(tree), since: null, until: null }
  }

  /** `from`: what lies at or beyond it is asked for; undefined: only what comes now. */
  #withNews(filters: SessionFilter[], seen: number, from: Vector | undefined): SessionFilter[] {
    const { live } = this.#needs.feed
    let known = filters
    for (let number = seen; number < live.recent.end; number++) {
      const entry = live.recent.at(number)
      for (const change of entry?.changes ?? []) {
        if (!entry || change.subscriber !== this.subscriber) continue
        known = changed(known, {
          change,
          filter: change.filter && this.session.enforce(change.filter),
          slot: entry.slot,
          offset: entry.end - 1,
          vector: from ?? live.scan.vector,
        })
      }
    }
    return known
  }
}

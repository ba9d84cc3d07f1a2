import { setTimeout as delay } from 'node:timers/promises'
import { type EventLog, LogError } from '@pulse/log'
import { needlesOf } from '../subscriptions/clauses.ts'
import { type AdvanceNeeds, advance } from './advance.ts'
import { type Controls, type LiveFeed, takeEntry } from './live-feed.ts'
import { type Index, Scan } from './scan.ts'
import type { Session, SessionFilter } from './session.ts'
import { lower, reaches, type Slots, type Vector } from './vector.ts'

const limits = {
  /** Replays at a time: each has a connection of its own and a core to share. */
  runningMax: 3,
  /** Sessions that return together are read for together. */
  gatherMs: 10,
  /** A replay waits so long for readers none of whom takes more; then others get its place. */
  fullMsMax: 1_000,
  /** Records that are matched in one turn as a replay goes over into the live feed. */
  handOverRecordsMax: 5_000,
  /** Looking for more texts than this in a record costs as much as parsing it. */
  needlesMax: 8,
} as const

export interface ReplaysNeeds {
  readonly log: EventLog
  readonly slots: Slots
  readonly createIndex: () => Index
  readonly controls: Controls
  readonly live: LiveFeed
  /** A replay of this many sessions has read this many records in so many milliseconds. */
  readonly replayed: (sessions: number, records: number, ms: number) => void
  /** A replay failed on what trying again cannot mend; its sessions must come back later. */
  readonly failed: (sessions: readonly Session[], error: unknown) => void
}

interface Waiting {
  readonly session: Session
  readonly place: Vector
}

/** Texts one of which stands in every record that some session wants; undefined if that cannot be said, or is no gain. */
function needlesOfAll(sessions: readonly Session[]): readonly string[] | undefined {
  const needles = new Set<string>()
  for (const { filters } of sessions)
    for (const { tree } of filters) {
      const some = needlesOf(tree)
      if (!some) return undefined
      for (const needle of some) needles.add(needle)
      if (needles.size > limits.needlesMax) return undefined
    }
  return [...needles]
}

/**
 * Brings sessions from a place in the past up to the live feed. Those that come within a moment share one scan, so
 * that two thousand returning sockets cost one reading of the log. The hand-over is exact because its last step, from
 * the scan's place to the feed's, is taken from the feed's memory within one turn of the event loop: nothing can
 * come between.
 */
export class Replays implements AsyncDisposable {
  readonly #needs: ReplaysNeeds
  readonly #stop = new AbortController()
  #waiting: Waiting[] = []
  readonly #running = new Set<Promise<void>>()
  readonly #scans = new Set<Scan>()
  #gathering: NodeJS.Timeout | undefined

  constructor(needs: ReplaysNeeds) {
    this.#needs = needs
  }

  /** Takes in a session whose next event lies at `place`. */
  add(session: Session, place: Vector): void {
    session.state = { kind: 'waiting', place }
    this.#waiting.push({ session, place })
    this.#gathering ??= setTimeout(() => this.#start(), limits.gatherMs)
  }

  /** Lets go of a session wherever it is. */
  leave(session: Session): void {
    for (const scan of this.#scans) scan.leave(session)
  }

  /** Puts other filters in the place of those of a session that is being replayed; false if it is not. */
  replace(session: Session, filters: SessionFilter[]): boolean {
    for (const scan of this.#scans) if (scan.replace(session, filters)) return true
    return false
  }

  /** How far a session that is being replayed has come; undefined if none of the replays has it. */
  placeOf(session: Session): Vector | undefined {
    for (const scan of this.#scans) if (scan.has(session)) return scan.placeOf(session)
    return undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    clearTimeout(this.#gathering)
    await Promise.all(this.#running)
  }

  #start(): void {
    this.#gathering = undefined
    if (this.#running.size >= limits.runningMax || this.#stop.signal.aborted) return
    const waiting = this.#waiting.filter(({ session }) => session.state.kind === 'waiting')
    // Whoever was away for a moment does not wait for those who have the log to read.
    const near = waiting.filter(({ place }) => this.#needs.live.recent.seek(place) !== undefined)
    const cohort = near.length > 0 ? near : waiting
    this.#waiting = near.length > 0 ? waiting.filter((one) => !near.includes(one)) : []
    if (this.#waiting.length > 0) this.#gathering = setTimeout(() => this.#start(), 0)
    if (cohort.length === 0) return
    const run = this.#run(cohort).finally(() => {
      this.#running.delete(run)
      if (this.#waiting.length > 0) this.#gathering ??= setTimeout(() => this.#start(), limits.gatherMs)
    })
    this.#running.add(run)
  }

  async #run(cohort: readonly Waiting[]): Promise<void> {
    let scan: Scan
    try {
      scan = this.#scanOf(cohort)
    } catch (error) {
      // Nobody waits for this promise: an error that left here would end the process.
      this.#needs.failed(
        cohort.map(({ session }) => session),
        error,
      )
      return
    }
    this.#scans.add(scan)
    const since = performance.now()
    let records = 0
    const needs: AdvanceNeeds = {
      ...this.#needs,
      signal: this.#stop.signal,
      read: (more) => {
        records += more
      },
      makeRoom: () => this.#makeRoom(scan),
    }
    const { size } = scan
    try {
      while (scan.size > 0 && !this.#stop.signal.aborted && !this.#handOver(scan)) {
        const damaged = await advance(scan, needs)
        if (damaged !== undefined) this.#passDamage(scan, damaged)
      }
      this.#needs.replayed(size, records, performance.now() - since)
    } catch (error) {
      if (error instanceof LogError && error.code === 'out-of-range') await this.#passGap(scan)
      else this.#needs.failed([...scan.sessions()], error)
    } finally {
      this.#scans.delete(scan)
    }
  }

  #scanOf(cohort: readonly Waiting[]): Scan {
    const vector = (cohort[0] as Waiting).place.slice()
    for (const { place } of cohort) lower(vector, place)
    const scan = new Scan({ slots: this.#needs.slots, vector, index: this.#needs.createIndex() })
    for (const { session, place } of cohort) {
      session.state = { kind: 'read', live: false }
      scan.join(session, place)
    }
    // Others may have written to an engine that cannot refuse repeats, and JSON of theirs may be spaced otherwise.
    const { dedupe } = this.#needs.log.can
    const needles = dedupe ? needlesOfAll(cohort.map(({ session }) => session)) : undefined
    if (needles) scan.expect(needles)
    return scan
  }

  /** Gives the sessions to the live feed if its memory reaches back to the scan's place; all in one turn. */
  #handOver(scan: Scan): boolean {
    const { live } = this.#needs
    let number = live.recent.seek(scan.vector)
    if (number === undefined) return false
    let records = 0
    for (let n = number; n < live.recent.end; n++) records += live.recent.at(n)?.batch.records.length ?? 0
    if (records > limits.handOverRecordsMax) return false
    for (; number < live.recent.end; number++) {
      const entry = live.recent.at(number)
      if (entry) takeEntry(scan, entry)
    }
    for (const session of [...scan.sessions()]) {
      const place = scan.placeOf(session)
      scan.leave(session)
      live.adopt(session, place)
    }
    return true
  }

  /** A partition holds a damaged batch: it is never served, and what lies behind it here cannot be reached past it. */
  #passDamage(scan: Scan, slot: number): void {
    const { slots, live } = this.#needs
    for (const session of [...scan.sessions()]) {
      const place = scan.placeOf(session)
      scan.leave(session)
      const to = place.slice()
      to[slot] = Math.max(
        place[slot] as number,
        session.knownEnd(slot, place) ?? (live.scan.vector[slot] as number),
      )
      session.reached(place)
      session.gap(slots.format(place), to, 'corrupt')
      if (session.state.kind !== 'closed') this.add(session, to)
    }
  }

  /**
   * Waits for readers that are behind. If only some are, none of them moves, or others want to be read for, they go on
   * by themselves later: a reader that takes little at a time must not hold one of the few replays. True if the scan
   * then stands further ahead than what is being read.
   */
  async #makeRoom(scan: Scan): Promise<boolean> {
    for (const session of scan.full()) session.flush()
    let full = scan.full()
    if (full.length === 0) return false
    if (full.length === scan.size && this.#waiting.length === 0) {
      const waited = new AbortController()
      const tired = delay(limits.fullMsMax, undefined, { signal: waited.signal }).catch(() => {})
      await Promise.race([tired, ...full.map((session) => session.room())])
      waited.abort()
      full = scan.full()
      if (full.length < scan.size) return false
    }
    for (const session of full) {
      const place = scan.placeOf(session)
      scan.leave(session)
      session.state = { kind: 'waiting', place }
      session.room().then(() => {
        if (session.state.kind === 'waiting') this.add(session, place)
      })
    }
    return scan.catchUp()
  }

  /** The log begins after the scan's place by now: whoever misses something is told so and goes on from its start. */
  async #passGap(scan: Scan): Promise<void> {
    const sessions = [...scan.sessions()]
    try {
      const { slots } = this.#needs
      const { start } = await this.#needs.live.range()
      for (const session of sessions) {
        const place = scan.placeOf(session)
        scan.leave(session)
        const to = place.map((offset, slot) => Math.max(offset, start[slot] as number))
        if (!reaches(place, start)) {
          session.reached(place)
          session.gap(slots.format(place), to, 'retention')
        }
        // It may have ended while the log was asked, or because it has no words for a gap.
        if (session.state.kind !== 'closed') this.add(session, to)
      }
    } catch (error) {
      this.#needs.failed(sessions, error)
    }
  }
}

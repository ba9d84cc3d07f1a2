import { decide, type Failure, type Outcome, type RetryPolicy } from './attempts.ts'
import {
  type FoundKey,
  type GivenUp,
  type Letter,
  type ParkedLetter,
  type ParkedRow,
  placeOf,
  receivedMs,
} from './letter.ts'
import { Lines, type Open } from './lines.ts'
import { Parking, type ParkingNeeds } from './parking.ts'
import { Sending } from './sending.ts'

export interface LettersNeeds extends Pick<ParkingNeeds, 'park' | 'next'> {
  readonly concurrencyMax: number
  readonly policy: RetryPolicy
  readonly random: () => number
  readonly send: (letter: Letter, signal: AbortSignal) => Promise<Outcome>
  /** A letter was taken. */
  readonly taken: (letter: Letter) => void
  readonly failed: (letter: Letter, failure: Failure) => void
  /** Keeps a letter that was given up; its key waits for that. Rejects when that is not ours to do any more. */
  readonly bury: (dead: GivenUp) => Promise<void>
  /** The receiver wants no more. */
  readonly gone: () => void
  /** There is room for more again. */
  readonly drained: () => void
  /** A letter that came with the stream as one that waits in the database. */
  readonly parked: (letter: Letter) => ParkedLetter
  /** The receiver does not take this one: those of its key wait in the database from now on. */
  readonly blocked: (letter: Letter) => void
  /** The database does not say what waits there. */
  readonly unread: (error: unknown) => void
}

/** Of one webhook. */
export const letterLimits = {
  /** Letters that have not been dealt with, beyond which no more are taken: an outage costs no more memory. */
  openMax: 1_000,
  /** Letters from the first open one of a partition to its last: a crash sends so many again. */
  spanMax: 10_000,
  /**
   * Events that one webhook keeps in the database. Those of blocked keys beyond are dead letters at once, but where the
   * receiver has taken nothing else since then, no more are taken in.
   */
  parkedMax: 100_000,
  /**
   * So many of a blocked key are taken out at a time once one of it was taken; else only one: the receiver may refuse the
   * others too, and those of a hundred keys would leave no room for anything else.
   */
  takenOutMax: 10,
} as const

/**
 * The letters of one webhook that are not dealt with. Of a key only the first is sent or waits for its next attempt; the
 * others wait behind it. Different keys are sent side by side, except that nothing overtakes the message of a gap.
 *
 * A key whose first letter fails while the receiver takes those of other keys is blocked: its letters are parked in the
 * database, where they neither fill this memory nor hold back the position. So is one that alone keeps all others out of
 * a full memory, because then none of them can show whether it would be taken. In an outage nothing is taken, and what
 * comes is of many keys, so nothing is parked: the log keeps it, and copying it would gain nothing.
 */
export class Letters {
  readonly #needs: LettersNeeds
  readonly #lines = new Lines()
  readonly #parking: Parking
  readonly #sending: Sending
  /** A gap that the receiver has not been told of, and what came after it. */
  #gap: { readonly from: string; readonly behind: Letter[] } | undefined
  #count = 0
  #taken = 0
  #wasFull = false
  /** A key of which more came than may wait, while nothing else was taken. */
  #overflowing: string | undefined

  constructor(needs: LettersNeeds) {
    this.#needs = needs
    this.#sending = new Sending({
      concurrencyMax: needs.concurrencyMax,
      attempt: (key, signal) => {
        const open = this.#lines.first(key)
        return open && this.#try(open, signal)
      },
    })
    this.#parking = new Parking({
      ...{ park: needs.park, next: needs.next, failed: needs.unread },
      loaded: (letters) => {
        this.#count += letters.length
        for (const letter of letters) this.#line(letter)
      },
      kept: (key) => {
        if (!this.#lines.has(key)) this.#parking.load(key, 1)
      },
    })
  }

  get hasRoom(): boolean {
    const { openMax, spanMax } = letterLimits
    const isFull = this.#count >= openMax || this.#lines.span >= spanMax || this.#isOverflowing
    if (isFull && !this.#wasFull) {
      this.#wasFull = true
      // One that has failed before may not be tried again for long.
      for (const first of this.#lines.firsts())
        if (this.#keepsOthersOut(first) && this.#isToBeBlocked(first)) this.#block(first)
    }
    return !this.#wasFull
  }

  /** In an outage the log keeps what is too much; where others are taken it is dead letters, and holds up nobody. */
  get #isOverflowing(): boolean {
    if (this.#overflowing === undefined || this.#parking.waiting < letterLimits.parkedMax) return false
    return !this.#parking.othersWereTaken(this.#overflowing, this.#taken)
  }

  /** Where the stream stood before the first gap that the receiver has not been told of. */
  get gapFrom(): string | undefined {
    return this.#gap?.from
  }

  /** Before anything is added: events of these keys wait in the database. */
  found(keys: readonly FoundKey[]): void {
    this.#parking.found(keys)
  }

  add(letter: Letter): void {
    this.#count++
    this.#admit(letter)
  }

  /** Lowers a place, per slot the next offset, to the first letter that is not dealt with. */
  lower(place: Float64Array): Float64Array {
    return this.#lines.lower(place)
  }

  /** When the oldest event was received that is not dealt with; undefined if there is none. */
  waitingSince(): Date | undefined {
    let oldest = this.#lines.oldestMs()
    for (const letter of this.#gap?.behind ?? []) oldest = Math.min(oldest, receivedMs(letter))
    return oldest === Number.POSITIVE_INFINITY ? undefined : new Date(oldest)
  }

  /** Sends nothing more; resolves when what is on its way has been answered, or was called off after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    await this.#sending.stop(graceMs)
  }

  #admit(letter: Letter): void {
    const { key, from } = letter
    if (this.#gap) {
      this.#gap.behind.push(letter)
      return
    }
    if (from.kind === 'gap') this.#gap = { from: from.from, behind: [] }
    if (from.kind !== 'stream') this.#line(letter)
    else if (this.#parking.isKnown(key, placeOf(from.record))) this.#fewer(1)
    else if (this.#parking.has(key)) this.#park(letter)
    else this.#line(letter)
  }

  #line(letter: Letter): void {
    if (this.#lines.push(letter)) this.#sending.ready(letter.key)
  }

  async #try(open: Open, signal: AbortSignal): Promise<void> {
    const { policy, random, send, taken, failed, bury, gone } = this.#needs
    open.takenBefore ??= this.#taken
    const outcome = await send(open.letter, signal)
    open.attempts++
    // It is another one if its key was blocked meanwhile.
    const { letter } = open
    const verdict = decide(outcome, { attempt: open.attempts, policy, random })
    switch (verdict.kind) {
      case 'taken':
        this.#taken++
        this.#parking.tookOne(letter.key)
        taken(letter)
        return this.#settle(open, letterLimits.takenOutMax)
      case 'again':
        failed(letter, verdict.failure)
        if (verdict.quietMs !== undefined) this.#sending.quiet(verdict.quietMs)
        open.isLate = open.attempts > 1 || (verdict.quietMs === undefined && verdict.delayMs > policy.maxMs)
        this.#makeWay(open)
        return this.#sending.readyAfter(letter.key, verdict.delayMs)
      case 'given_up':
        failed(letter, verdict.failure)
        await bury({ letter, failure: verdict.failure, attempts: open.attempts })
        return this.#settle(open, 1)
      case 'gone':
        this.#sending.halt()
        return gone()
      case 'left':
        this.#sending.halt()
    }
  }

  /** Keeps what waits behind a letter that failed out of this memory: in the database, where some of it may be still. */
  #makeWay(open: Open): void {
    const { from } = open.letter
    if (from.kind === 'parked') this.#putBack(open, from.row)
    else if (this.#isToBeBlocked(open)) this.#block(open)
    open.takenBefore = this.#taken
  }

  /** One sign says little: a first failure may be the beginning of an outage, or its end. Two of three do. */
  #isToBeBlocked(open: Open): boolean {
    const { key, from } = open.letter
    if (from.kind === 'gap' || this.#parking.has(key)) return false
    // It has not failed yet, or is becoming a dead letter.
    if (open.attempts === 0 || open.attempts >= this.#needs.policy.attemptsMax) return false
    const othersWereTaken = open.takenBefore !== undefined && open.takenBefore < this.#taken
    const signs = [open.isLate, othersWereTaken, this.#wasFull && this.#keepsOthersOut(open)]
    return signs.filter((sign) => sign).length >= 2
  }

  #keepsOthersOut(first: Open): boolean {
    const { openMax, spanMax } = letterLimits
    if (this.#lines.length(first.letter.key) > openMax / 2) return true
    return this.#lines.span > spanMax / 2 && this.#lines.holdsBack(first)
  }

  /**
   * What was taken out behind it. At the first failure, and in an outage too: with many such keys this may be all that
   * fills the memory, so that nothing else comes that could be taken.
   */
  #putBack(first: Open, row: ParkedRow): void {
    const count = this.#lines.takeBehind(first, 'parked').length
    if (count === 0) return
    this.#parking.putBack(first.letter.key, count, row)
    this.#fewer(count)
  }

  #block(first: Open): void {
    const { key } = first.letter
    let row: ParkedRow | undefined
    if (first.letter.from.kind === 'stream') {
      const parked = this.#needs.parked(first.letter)
      row = parked.from.row
      this.#keep(this.#needs.park(row), 0)
      first.letter = parked
      this.#lines.release(first)
    }
    this.#needs.blocked(first.letter)
    this.#parking.open(key, row, first.takenBefore ?? this.#taken)
    for (const letter of this.#lines.takeBehind(first, 'stream')) this.#park(letter)
  }

  /** The position passes it at once: where that is committed, it is kept too. It counts until then. */
  #park(letter: Letter): void {
    const isTooMuch = this.#parking.waiting >= letterLimits.parkedMax
    if (isTooMuch && this.#parking.othersWereTaken(letter.key, this.#taken)) {
      const message = `${letterLimits.parkedMax} events wait behind others of their keys`
      this.#keep(this.#needs.bury({ letter, failure: { errorClass: 'Blocked', message }, attempts: 0 }), 1)
      return
    }
    if (isTooMuch) this.#overflowing = letter.key
    this.#keep(this.#parking.add(this.#needs.parked(letter)), 1)
  }

  #keep(kept: Promise<void>, count: number): void {
    kept.then(
      () => this.#fewer(count),
      () => this.#sending.halt(),
    )
  }

  /** `countMax`: of its key, if it waits in the database, so many are taken out next. */
  #settle(open: Open, countMax: number): void {
    const { key, from } = open.letter
    if (this.#lines.shift(open)) this.#sending.ready(key)
    else this.#parking.load(key, countMax)
    if (from.kind === 'gap') this.#passGap()
    this.#fewer(1)
  }

  #passGap(): void {
    const behind = this.#gap?.behind ?? []
    this.#gap = undefined
    // There may be another gap among them.
    for (const letter of behind) this.#admit(letter)
  }

  #fewer(count: number): void {
    this.#count -= count
    if (!this.#wasFull || this.#lines.span > letterLimits.spanMax / 2 || this.#isOverflowing) return
    // Half of what blocked keys leave: hundreds of them would otherwise never let it go on.
    const roomMin = Math.max(1, (letterLimits.openMax - this.#parking.keys) / 2)
    if (letterLimits.openMax - this.#count < roomMin) return
    this.#wasFull = false
    this.#needs.drained()
  }
}

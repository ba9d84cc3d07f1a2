import { decide, type Failure, type Outcome, type RetryPolicy } from './attempts.ts'
import { fateOf, isRefusal, isRefusedOften, type Standing, standingOf, tooManyParked } from './blocking.ts'
import {
  type FoundKey,
  type GivenUp,
  type Letter,
  letterLimits,
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

/**
 * The letters of one webhook that are not dealt with. Of a key only the first is sent or waits for its next attempt; the
 * others wait behind it. Different keys are sent side by side, except that nothing overtakes the message of a gap.
 *
 * A key that the receiver does not take, while it takes others or may do so, is blocked: its letters are parked in the
 * database, where they neither fill this memory nor hold back the position. In an outage nothing is answered, and what
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
  /** A blocked key of which more came than may wait. */
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
    const isFull = this.#count >= letterLimits.openMax || this.#lines.span >= letterLimits.spanMax
    if ((isFull || this.#isOverflowing) && !this.#wasFull) {
      this.#wasFull = true
      // One that has failed before may not be tried again for long.
      for (const first of this.#lines.firsts()) this.#judge(first, false)
    }
    return !this.#wasFull
  }

  get #isOverflowing(): boolean {
    return this.#overflowing !== undefined && this.#fateOf(this.#overflowing) === 'wait'
  }

  /** Why no more is taken in, although the database keeps what the receiver does not take; undefined if that is not so. */
  get stalled(): string | undefined {
    if (!this.#isOverflowing) return undefined
    return `${this.#parking.waiting} events wait behind keys that it does not take, and all others until it takes some`
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
        taken(letter)
        return this.#settle(open, letterLimits.takenOutMax)
      case 'again':
        failed(letter, verdict.failure)
        if (verdict.quietMs !== undefined) this.#sending.quiet(verdict.quietMs)
        open.refusals = isRefusal(outcome) ? open.refusals + 1 : 0
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
    this.#judge(open, (open.takenBefore ?? this.#taken) < this.#taken)
    open.takenBefore = this.#taken
  }

  /** `othersWereTaken`: between two failures of it; others that were taken since the last one say nothing of it yet. */
  #judge(first: Open, othersWereTaken: boolean): void {
    const { attempts, refusals, isLate, letter } = first
    const { attemptsMax } = this.#needs.policy
    // It has not failed yet, or is becoming a dead letter.
    if (letter.from.kind === 'gap' || attempts === 0 || attempts >= attemptsMax) return
    const before = this.#parking.standing(letter.key)
    const standing = standingOf(before, {
      ...{ isLate, othersWereTaken },
      keepsOthersOut: this.#wasFull && this.#keepsOthersOut(first),
      isRefused: this.#wasFull && isRefusedOften(refusals, attemptsMax),
      mayDoubt: this.#parking.doubted < letterLimits.doubtedMax,
    })
    if (standing === undefined || standing === before) return
    if (before) {
      this.#parking.stand(letter.key, standing)
      // What was too much of it may be no more.
      this.#fewer(0)
    } else this.#block(first, standing)
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

  #block(first: Open, standing: Standing): void {
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
    this.#parking.open(key, row, standing)
    for (const letter of this.#lines.takeBehind(first, 'stream')) this.#park(letter)
  }

  /** The position passes it at once: where that is committed, it is kept too. It counts until then. */
  #park(letter: Letter): void {
    const fate = this.#fateOf(letter.key)
    if (fate === 'bury') {
      this.#keep(this.#needs.bury({ letter, failure: tooManyParked, attempts: 0 }), 1)
      return
    }
    if (fate === 'wait') this.#overflowing = letter.key
    this.#keep(this.#parking.add(this.#needs.parked(letter)), 1)
  }

  /** What becomes of one more of this key; undefined if it is not blocked. */
  #fateOf(key: string) {
    const standing = this.#parking.standing(key)
    return standing && fateOf(standing, { parked: this.#parking.waiting, doubted: this.#parking.doubted })
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

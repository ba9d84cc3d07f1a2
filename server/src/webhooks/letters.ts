import { decide, type Failure, type Outcome, type RetryPolicy } from './attempts.ts'
import {
  type FoundKey,
  type GivenUp,
  type Letter,
  type ParkedLetter,
  type ParkedRow,
  placeOf,
} from './letter.ts'
import { Parking, type ParkingNeeds } from './parking.ts'
import { Span } from './span.ts'

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

/** When the event was received, in milliseconds since 1970; infinite for what no stream brought. */
function receivedMs({ from }: Letter): number {
  if (from.kind === 'stream') return from.record.record.receivedAt / 1_000
  return from.kind === 'parked' ? Date.parse(from.row.received_at) : Number.POSITIVE_INFINITY
}

interface Open {
  letter: Letter
  attempts: number
  /** It failed twice, or is tried again only after longer than we would wait ourselves. */
  isLate: boolean
  /** How many letters the receiver had taken when this one failed last or, before that, was sent. */
  takenBefore: number | undefined
}

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
  /** By key its letters in order; only the first is sent. */
  readonly #keys = new Map<string, Open[]>()
  /** Keys whose first letter may be sent now. */
  readonly #ready: string[] = []
  readonly #span = new Span<Open>()
  readonly #parking: Parking
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #running = new Set<Promise<void>>()
  readonly #stop = new AbortController()
  /** A gap that the receiver has not been told of, and what came after it. */
  #gap: { readonly from: string; readonly behind: Letter[] } | undefined
  #count = 0
  #taken = 0
  #wasFull = false
  /** A key of which more came than may wait, while nothing else was taken. */
  #overflowing: string | undefined
  #quietUntil = 0
  /** A timer ends the quiet. */
  #isWaiting = false
  #isStopping = false

  constructor(needs: LettersNeeds) {
    this.#needs = needs
    this.#parking = new Parking({
      ...{ park: needs.park, next: needs.next, failed: needs.unread },
      loaded: (letters) => {
        this.#count += letters.length
        for (const letter of letters) this.#line(letter)
      },
      kept: (key) => {
        if (!this.#keys.has(key)) this.#parking.load(key, 1)
      },
    })
  }

  get hasRoom(): boolean {
    const { openMax, spanMax } = letterLimits
    const isFull = this.#count >= openMax || this.#span.length >= spanMax || this.#isOverflowing
    if (isFull && !this.#wasFull) {
      this.#wasFull = true
      // One that has failed before may not be tried again for long.
      for (const [first] of this.#keys.values())
        if (first && this.#keepsOthersOut(first) && this.#isToBeBlocked(first)) this.#block(first)
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
    return this.#span.lower(place)
  }

  /** When the oldest event was received that is not dealt with; undefined if there is none. */
  waitingSince(): Date | undefined {
    let oldest = Number.POSITIVE_INFINITY
    // The first of a key is not always its oldest: it may have been redriven.
    for (const line of this.#keys.values())
      for (const { letter } of line) oldest = Math.min(oldest, receivedMs(letter))
    for (const letter of this.#gap?.behind ?? []) oldest = Math.min(oldest, receivedMs(letter))
    return oldest === Number.POSITIVE_INFINITY ? undefined : new Date(oldest)
  }

  /** Sends nothing more; resolves when what is on its way has been answered, or was called off after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.#isStopping = true
    for (const timer of this.#timers) clearTimeout(timer)
    if (graceMs === 0) this.#stop.abort()
    const timer = setTimeout(() => this.#stop.abort(), graceMs)
    await Promise.all(this.#running)
    clearTimeout(timer)
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
    const open: Open = { letter, attempts: 0, isLate: false, takenBefore: undefined }
    const { key, from } = letter
    if (from.kind === 'stream') this.#span.add(open, from.record)
    const line = this.#keys.get(key)
    if (line) {
      line.push(open)
      return
    }
    this.#keys.set(key, [open])
    this.#ready.push(key)
    this.#pump()
  }

  #pump(): void {
    if (this.#isStopping) return
    const quietMs = this.#quietUntil - performance.now()
    if (quietMs > 0) this.#pumpAfter(quietMs)
    else this.#sendReady()
  }

  #sendReady(): void {
    while (this.#running.size < this.#needs.concurrencyMax) {
      const key = this.#ready.shift()
      if (key === undefined) return
      const open = this.#keys.get(key)?.[0]
      if (!open) continue
      const run = this.#try(open)
        // Only what keeps a letter rejects, when the webhook is another's by now.
        .catch(() => {
          this.#isStopping = true
        })
        .finally(() => {
          this.#running.delete(run)
          this.#pump()
        })
      this.#running.add(run)
    }
  }

  #pumpAfter(ms: number): void {
    if (this.#isWaiting) return
    this.#isWaiting = true
    this.#later(ms, () => {
      this.#isWaiting = false
      this.#pump()
    })
  }

  async #try(open: Open): Promise<void> {
    const { policy, random, send, taken, failed, bury, gone } = this.#needs
    open.takenBefore ??= this.#taken
    const outcome = await send(open.letter, this.#stop.signal)
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
        if (verdict.quietMs !== undefined)
          this.#quietUntil = Math.max(this.#quietUntil, performance.now() + verdict.quietMs)
        open.isLate = open.attempts > 1 || (verdict.quietMs === undefined && verdict.delayMs > policy.maxMs)
        this.#makeWay(open)
        return this.#later(verdict.delayMs, () => {
          this.#ready.push(letter.key)
          this.#pump()
        })
      case 'given_up':
        failed(letter, verdict.failure)
        await bury({ letter, failure: verdict.failure, attempts: open.attempts })
        return this.#settle(open, 1)
      case 'gone':
        this.#isStopping = true
        return gone()
      case 'left':
        this.#isStopping = true
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
    if ((this.#keys.get(first.letter.key)?.length ?? 0) > openMax / 2) return true
    return this.#span.length > spanMax / 2 && this.#span.isFirst(first)
  }

  /**
   * What was taken out behind it. At the first failure, and in an outage too: with many such keys this may be all that
   * fills the memory, so that nothing else comes that could be taken.
   */
  #putBack(first: Open, row: ParkedRow): void {
    const { key } = first.letter
    const line = this.#keys.get(key) ?? []
    const others = line.filter((open) => open === first || open.letter.from.kind !== 'parked')
    if (others.length === line.length) return
    this.#keys.set(key, others)
    this.#parking.putBack(key, line.length - others.length, row)
    this.#fewer(line.length - others.length)
  }

  #block(first: Open): void {
    const { key } = first.letter
    let row: ParkedRow | undefined
    if (first.letter.from.kind === 'stream') {
      const parked = this.#needs.parked(first.letter)
      row = parked.from.row
      this.#keep(this.#needs.park(row), 0)
      first.letter = parked
      this.#span.delete(first)
    }
    this.#needs.blocked(first.letter)
    this.#parking.open(key, row, first.takenBefore ?? this.#taken)
    const others = this.#keys.get(key)?.slice(1) ?? []
    this.#keys.set(key, [first, ...others.filter(({ letter }) => letter.from.kind !== 'stream')])
    for (const open of others) {
      if (open.letter.from.kind !== 'stream') continue
      this.#park(open.letter)
      this.#span.delete(open)
    }
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
      () => {
        this.#isStopping = true
      },
    )
  }

  /** `countMax`: of its key, if it waits in the database, so many are taken out next. */
  #settle(open: Open, countMax: number): void {
    const { key, from } = open.letter
    this.#span.delete(open)
    const line = this.#keys.get(key)
    line?.shift()
    if (line && line.length > 0) this.#ready.push(key)
    else {
      this.#keys.delete(key)
      this.#parking.load(key, countMax)
    }
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
    if (!this.#wasFull || this.#span.length > letterLimits.spanMax / 2 || this.#isOverflowing) return
    // Half of what blocked keys leave: hundreds of them would otherwise never let it go on.
    const roomMin = Math.max(1, (letterLimits.openMax - this.#parking.keys) / 2)
    if (letterLimits.openMax - this.#count < roomMin) return
    this.#wasFull = false
    this.#needs.drained()
  }

  #later(ms: number, work: () => void): void {
    if (this.#isStopping) return
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      if (!this.#isStopping) work()
    }, ms)
    this.#timers.add(timer)
  }
}

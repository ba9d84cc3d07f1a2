import { LogError } from '@pulse/log'
import type pg from 'pg'
import { inTransaction } from '../database/ask.ts'
import type { Failure } from './attempts.ts'
import type { Letter, ParkedRow } from './letter.ts'
import type { WebhookReport } from './report.ts'
import { type DeadAgain, type DeadRow, type Fence, type LastGap, storeProgress } from './webhook-store.ts'

/** What was dealt with is committed so long after it at the latest; a crash sends at most that much again. */
const commitMs = 200
const retryMs = 1_000
/** So many failures in a row make a webhook `failing`. */
const failingFrom = 3

export interface ProgressNeeds {
  readonly pool: pg.Pool
  readonly fence: Fence
  readonly failures: number
  /** Everything below is dealt with; undefined before the stream has begun. */
  readonly position: () => string | undefined
  /** When the oldest event was received that is not dealt with. */
  readonly waitingSince: () => Date | undefined
  /** Why no more is read, beside the last failure; undefined if more is. */
  readonly stalled: () => string | undefined
  /** The webhook is another's by now, or gone. */
  readonly fenced: () => void
  readonly report: WebhookReport
}

/** A dead letter to be kept: one that was given up, `isParked` if it waited in the database, or one that was again. */
export type Grave = { readonly first: DeadRow; readonly isParked: boolean } | { readonly again: DeadAgain }

interface Pending {
  taken: number
  takenAt: Date | undefined
  failedAt: Date | undefined
  gaps: number
  lastGap: LastGap | undefined
  readonly dead: DeadRow[]
  readonly deadAgain: DeadAgain[]
  readonly parked: ParkedRow[]
  readonly unparked: string[]
  readonly redriven: string[]
  readonly settled: ((error?: unknown) => void)[]
}

/** What the last commit has left in the database. */
export interface Stored {
  readonly position: string
  /** Undefined if none was met. */
  readonly lastGap: LastGap | undefined
}

const nothing = (): Pending => ({
  ...{ taken: 0, takenAt: undefined, failedAt: undefined, gaps: 0, lastGap: undefined },
  ...{ dead: [], deadAgain: [], parked: [], unparked: [], redriven: [], settled: [] },
})

class FencedError extends Error {
  override name = 'FencedError'
}

/** Gathers what became of letters and commits it, with the position, one transaction at a time. */
export class Progress {
  readonly #needs: ProgressNeeds
  #pending = nothing()
  #failures: number
  #lastFailure: Failure | undefined
  /** The position that was committed last, and since when the oldest event waited then. */
  #committed: string | undefined
  #stored: Stored | undefined
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  /** Something came while a commit was under way, which it does not hold. */
  #again = false
  #isOver = false

  constructor(needs: ProgressNeeds) {
    this.#needs = needs
    this.#failures = needs.failures
  }

  /**
   * What was committed last; undefined if nothing was. Only from there may somebody go on: what came behind it may be
   * parked or a dead letter in this memory alone.
   */
  get stored(): Stored | undefined {
    return this.#stored
  }

  taken({ from }: Letter): void {
    this.#pending.takenAt = new Date()
    this.#failures = 0
    if (from.kind !== 'gap') this.#pending.taken++
    if (from.kind === 'redriven') this.#pending.redriven.push(from.id)
    if (from.kind === 'parked') this.#pending.unparked.push(from.row.id)
    this.#soon(commitMs)
  }

  failed(failure: Failure): void {
    this.#pending.failedAt = new Date()
    this.#failures++
    this.#lastFailure = failure
    this.#soon(commitMs)
  }

  /** What is known of the last gap. `isNew`: it was not counted yet. */
  gap(gap: LastGap, isNew: boolean): void {
    this.#pending.lastGap = gap
    if (isNew) this.#pending.gaps++
    this.#soon(commitMs)
  }

  /** The stream has come further. */
  moved(): void {
    this.#soon(commitMs)
  }

  /** Keeps a dead letter; resolves when it is committed. Rejects if the webhook is another's by now. */
  bury(dead: Grave): Promise<void> {
    if ('first' in dead) {
      this.#pending.dead.push(dead.first)
      if (dead.isParked) this.#pending.unparked.push(dead.first.id)
    } else this.#pending.deadAgain.push(dead.again)
    return this.#settled()
  }

  /** Keeps an event that waits; the position may pass it from now on. Resolves and rejects as `bury` does. */
  park(row: ParkedRow): Promise<void> {
    this.#pending.parked.push(row)
    return this.#settled()
  }

  #settled(): Promise<void> {
    if (this.#isOver) return Promise.reject(new FencedError())
    const done = new Promise<void>((resolve, reject) => {
      this.#pending.settled.push((error) => (error === undefined ? resolve() : reject(error)))
    })
    this.#soon(0)
    return done
  }

  /** Commits what is left, once; what cannot be committed now is forgotten and will be sent again. */
  async end(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#running
    clearTimeout(this.#timer)
    if (!this.#isOver) {
      // What comes now is not committed beside it: of two commits the earlier position might be the one that stays.
      this.#running = this.#commit()
      await this.#running
    }
    this.#isOver = true
    clearTimeout(this.#timer)
    for (const settle of this.#pending.settled) settle(new FencedError())
  }

  #soon(ms: number): void {
    if (this.#running) this.#again = true
    if (this.#isOver || this.#running) return
    if (this.#timer && ms > 0) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#again = false
      this.#running = this.#commit().finally(() => {
        this.#running = undefined
        if (this.#again || this.#hasNews())
          this.#soon(this.#pending.settled.length > 0 ? retryMs / 10 : commitMs)
      })
    }, ms)
  }

  #hasNews(): boolean {
    const { takenAt, failedAt, lastGap, settled } = this.#pending
    return [takenAt, failedAt, lastGap].some((fact) => fact !== undefined) || settled.length > 0
  }

  async #commit(): Promise<void> {
    const { pool, fence, report } = this.#needs
    const position = this.#needs.position()
    if (position === undefined) return
    const waitingSince = this.#needs.waitingSince()
    const place = `${position} ${waitingSince?.toISOString()}`
    if (place === this.#committed && !this.#hasNews()) return
    const pending = this.#pending
    this.#pending = nothing()
    const isFailing = this.#failures >= failingFrom
    const reasons = [this.#lastFailure?.message, this.#needs.stalled()].filter((each) => each !== undefined)
    const reason = isFailing && reasons.length > 0 ? reasons.join('; ') : null
    try {
      await inTransaction(
        pool,
        async (tx) => {
          const { settled: _settled, ...facts } = pending
          const progress = { ...facts, position, waitingSince, failures: this.#failures, reason }
          const status = isFailing ? 'failing' : 'active'
          if (!(await storeProgress(tx, fence, { ...progress, status }))) throw new FencedError()
        },
        (error) => {
          throw error
        },
      )
      this.#committed = place
      this.#stored = { position, lastGap: pending.lastGap ?? this.#stored?.lastGap }
      for (const settle of pending.settled) settle()
    } catch (error) {
      if (error instanceof FencedError) return this.#fenced(pending, error)
      report.troubled(fence.id, error)
      this.#putBack(pending)
      if (error instanceof LogError || !this.#isOver) await new Promise((go) => setTimeout(go, retryMs))
    }
  }

  #fenced(pending: Pending, error: unknown): void {
    this.#isOver = true
    for (const settle of [...pending.settled, ...this.#pending.settled]) settle(error)
    this.#pending = nothing()
    this.#needs.fenced()
  }

  #putBack(before: Pending): void {
    const now = this.#pending
    this.#pending = {
      taken: before.taken + now.taken,
      takenAt: now.takenAt ?? before.takenAt,
      failedAt: now.failedAt ?? before.failedAt,
      gaps: before.gaps + now.gaps,
      lastGap: now.lastGap ?? before.lastGap,
      dead: [...before.dead, ...now.dead],
      deadAgain: [...before.deadAgain, ...now.deadAgain],
      parked: [...before.parked, ...now.parked],
      unparked: [...before.unparked, ...now.unparked],
      redriven: [...before.redriven, ...now.redriven],
      settled: [...before.settled, ...now.settled],
    }
  }
}

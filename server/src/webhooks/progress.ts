import { LogError } from '@pulse/log'
import type pg from 'pg'
import { inTransaction } from '../database/ask.ts'
import type { Failure } from './attempts.ts'
import type { WebhookReport } from './report.ts'
import { type DeadAgain, type DeadRow, type Fence, storeProgress } from './webhook-store.ts'

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
  /** The webhook is another's by now, or gone. */
  readonly fenced: () => void
  readonly report: WebhookReport
}

interface Pending {
  taken: number
  takenAt: Date | undefined
  failedAt: Date | undefined
  gaps: number
  readonly dead: DeadRow[]
  readonly deadAgain: DeadAgain[]
  readonly redriven: string[]
  readonly settled: ((error?: unknown) => void)[]
}

const nothing = (): Pending => ({
  ...{ taken: 0, takenAt: undefined, failedAt: undefined, gaps: 0 },
  ...{ dead: [], deadAgain: [], redriven: [], settled: [] },
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
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  #isOver = false

  constructor(needs: ProgressNeeds) {
    this.#needs = needs
    this.#failures = needs.failures
  }

  taken(redriven: string | undefined): void {
    this.#pending.taken++
    this.#pending.takenAt = new Date()
    this.#failures = 0
    if (redriven !== undefined) this.#pending.redriven.push(redriven)
    this.#soon(commitMs)
  }

  failed(failure: Failure): void {
    this.#pending.failedAt = new Date()
    this.#failures++
    this.#lastFailure = failure
    this.#soon(commitMs)
  }

  /** Events cannot be sent any more; the position passes them. */
  gap(): void {
    this.#pending.gaps++
    this.#soon(commitMs)
  }

  /** The stream has come further. */
  moved(): void {
    this.#soon(commitMs)
  }

  /** Keeps a dead letter; resolves when it is committed. Rejects if the webhook is another's by now. */
  bury(dead: { first: DeadRow } | { again: DeadAgain }): Promise<void> {
    if (this.#isOver) return Promise.reject(new FencedError())
    if ('first' in dead) this.#pending.dead.push(dead.first)
    else this.#pending.deadAgain.push(dead.again)
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
    if (!this.#isOver) await this.#commit()
    this.#isOver = true
    clearTimeout(this.#timer)
    for (const settle of this.#pending.settled) settle(new FencedError())
  }

  #soon(ms: number): void {
    if (this.#isOver || this.#running) return
    if (this.#timer && ms > 0) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#running = this.#commit().finally(() => {
        this.#running = undefined
        if (this.#hasNews()) this.#soon(this.#pending.settled.length > 0 ? retryMs / 10 : commitMs)
      })
    }, ms)
  }

  #hasNews(): boolean {
    const { takenAt, failedAt, gaps, dead, deadAgain } = this.#pending
    return takenAt !== undefined || failedAt !== undefined || gaps + dead.length + deadAgain.length > 0
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
    const reason = isFailing ? (this.#lastFailure?.message ?? null) : null
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
      dead: [...before.dead, ...now.dead],
      deadAgain: [...before.deadAgain, ...now.deadAgain],
      redriven: [...before.redriven, ...now.redriven],
      settled: [...before.settled, ...now.settled],
    }
  }
}

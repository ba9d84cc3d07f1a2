import type { DeliveryRecord } from '../delivery/delivery.ts'
import { decide, type Failure, type Outcome, type RetryPolicy } from './attempts.ts'

/** An event on its way to the receiver. */
export interface Letter {
  readonly eventId: string
  /** Events of one key are sent one after the other. */
  readonly key: string
  /** What is sent; made when it is asked for. */
  readonly body: () => string
  readonly from: FromStream | Redriven
}

/** It came with the stream. */
export interface FromStream {
  readonly kind: 'stream'
  readonly record: Pick<DeliveryRecord, 'slot' | 'offset' | 'slots' | 'position' | 'record'>
}

/** It is a dead letter that was redriven. */
export interface Redriven {
  readonly kind: 'redriven'
  readonly id: string
}

/** Why a letter was given up. */
export interface GivenUp {
  readonly letter: Letter
  readonly failure: Failure
  readonly attempts: number
}

export interface LettersNeeds {
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
}

/** Letters that have not been dealt with, beyond which no more are taken: a crash sends so many again. */
const openMax = 1_000

interface Open {
  readonly letter: Letter
  attempts: number
  done: boolean
}

/**
 * The letters of one webhook that are not dealt with. Of a key only the first is sent or waits for its next attempt; the
 * others wait behind it. Different keys are sent side by side.
 */
export class Letters {
  readonly #needs: LettersNeeds
  /** By key its letters in order; only the first is sent. */
  readonly #keys = new Map<string, Open[]>()
  /** Keys whose first letter may be sent now. */
  readonly #ready: string[] = []
  /** By slot what was taken in, in order of offsets, from the first that is open. */
  readonly #bySlot = new Map<number, { readonly open: Open; readonly offset: number }[]>()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #running = new Set<Promise<void>>()
  readonly #stop = new AbortController()
  #count = 0
  #wasFull = false
  #quietUntil = 0
  /** A timer ends the quiet. */
  #isWaiting = false
  #isStopping = false

  constructor(needs: LettersNeeds) {
    this.#needs = needs
  }

  get hasRoom(): boolean {
    if (this.#count >= openMax) this.#wasFull = true
    return !this.#wasFull
  }

  add(letter: Letter): void {
    const open: Open = { letter, attempts: 0, done: false }
    this.#count++
    const { key, from } = letter
    if (from.kind === 'stream') {
      const { slot, offset } = from.record
      const inSlot = this.#bySlot.get(slot)
      const placed = { open, offset }
      if (inSlot) inSlot.push(placed)
      else this.#bySlot.set(slot, [placed])
    }
    const line = this.#keys.get(key)
    if (line) {
      line.push(open)
      return
    }
    this.#keys.set(key, [open])
    this.#ready.push(key)
    this.#pump()
  }

  /** Lowers a place, per slot the next offset, to the first letter that is not dealt with. */
  lower(place: Float64Array): Float64Array {
    for (const [slot, line] of this.#bySlot) {
      const first = line[0]
      if (first) place[slot] = Math.min(place[slot] as number, first.offset)
    }
    return place
  }

  /** When the oldest event of the stream was received that is not dealt with; undefined if there is none. */
  waitingSince(): Date | undefined {
    let oldest = Number.POSITIVE_INFINITY
    for (const [first] of this.#bySlot.values()) {
      const from = first?.open.letter.from
      if (from?.kind === 'stream') oldest = Math.min(oldest, from.record.record.receivedAt)
    }
    return oldest === Number.POSITIVE_INFINITY ? undefined : new Date(oldest / 1_000)
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
        // Only what buries a letter rejects, when the webhook is another's by now.
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
    const { letter } = open
    const outcome = await send(letter, this.#stop.signal)
    open.attempts++
    const verdict = decide(outcome, { attempt: open.attempts, policy, random })
    switch (verdict.kind) {
      case 'taken':
        this.#settle(open)
        return taken(letter)
      case 'again':
        failed(letter, verdict.failure)
        if (verdict.quietMs !== undefined)
          this.#quietUntil = Math.max(this.#quietUntil, performance.now() + verdict.quietMs)
        return this.#later(verdict.delayMs, () => {
          this.#ready.push(letter.key)
          this.#pump()
        })
      case 'given_up':
        failed(letter, verdict.failure)
        await bury({ letter, failure: verdict.failure, attempts: open.attempts })
        return this.#settle(open)
      case 'gone':
        this.#isStopping = true
        return gone()
      case 'left':
        this.#isStopping = true
    }
  }

  #settle(open: Open): void {
    open.done = true
    this.#count--
    const { key, from } = open.letter
    const inSlot = from.kind === 'stream' ? this.#bySlot.get(from.record.slot) : undefined
    let done = 0
    while (inSlot?.[done]?.open.done) done++
    inSlot?.splice(0, done)
    const ofKey = this.#keys.get(key)
    ofKey?.shift()
    if (ofKey && ofKey.length > 0) this.#ready.push(key)
    else this.#keys.delete(key)
    if (!this.#wasFull || this.#count > openMax / 2) return
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

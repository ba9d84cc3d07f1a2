import type { GapReason } from '@pulse/protocol/frames'
import { atLeast, lower, reaches, type Vector } from './vector.ts'

/** Stretches that one stream remembers: a gap more makes it forget its oldest. */
const stretchesMax = 16

/** Why an event did not come: that of the gap it lies in, or a later one of its key took its place while it waited. */
export type MissedReason = GapReason | 'replaced'

/** Per slot the offsets from `from` to below `to`. */
interface Stretch {
  readonly reason: MissedReason
  readonly from: Vector
  readonly to: Vector
}

/** What one stream passed over without sending it, by stretches of the log: nothing is kept per event. */
export class Missed {
  /** Made when there is something to remember: hardly a stream has any. */
  #stretches: Stretch[] | undefined

  /** A gap was told. `from`: undefined: from the beginning of the log. */
  gap(from: Vector | undefined, to: Vector, reason: GapReason): void {
    const last = this.#stretches?.at(-1)
    // A reader that takes nothing loses its oldest again and again.
    if (from && last?.reason === reason && reaches(last.to, from)) atLeast(last.to, to)
    else this.#add({ reason, from: from?.slice() ?? to.map(() => 0), to: to.slice() })
  }

  /** A later event of its key has taken the place of a waiting one. `told`: next offsets that were not written yet. */
  replaced(slot: number, offset: number, told: Vector): void {
    let last = this.#stretches?.at(-1)
    // Behind what was written since, another stretch begins, or it would hold that too.
    if (last?.reason !== 'replaced' || isBeyond(told, last.to, slot)) {
      last = { reason: 'replaced', from: told.map(() => Number.POSITIVE_INFINITY), to: told.map(() => 0) }
      this.#add(last)
    }
    last.from[slot] = Math.min(last.from[slot] as number, offset)
    last.to[slot] = Math.max(last.to[slot] as number, offset + 1)
  }

  /** What lies at or beyond is read from the log again, so nothing has taken its place yet. */
  readAgain(place: Vector): void {
    for (const { reason, to } of this.#stretches ?? []) if (reason === 'replaced') lower(to, place)
  }

  /** Why an event did not come; undefined if it lies in none of the stretches. */
  at(slot: number, offset: number): MissedReason | undefined {
    return this.#stretches?.findLast(
      ({ from, to }) => offset >= (from[slot] as number) && offset < (to[slot] as number),
    )?.reason
  }

  /** Whether a gap of this reason was told. */
  has(reason: GapReason): boolean {
    return this.#stretches?.some((each) => each.reason === reason) === true
  }

  #add(stretch: Stretch): void {
    this.#stretches ??= []
    if (this.#stretches.push(stretch) > stretchesMax) this.#stretches.shift()
  }
}

/** Whether everything that a stretch holds of a slot was written, if it holds any. */
const isBeyond = (told: Vector, to: Vector, slot: number) =>
  to[slot] !== 0 && (told[slot] as number) >= (to[slot] as number)

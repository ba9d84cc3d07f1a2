import type { Stream } from '../delivery/delivery.ts'
import type { LastGap } from './webhook-store.ts'

/**
 * The gap that the receiver of a webhook still has to be told of, if the stored position stands before it; undefined if
 * there is none. Whoever goes on begins behind it: of another log or of damage it would by then be found to reach to the
 * end of the log, and so over events that are there.
 */
export function owedGap(stored: {
  readonly position: string
  readonly lastGap: LastGap | null
}): LastGap | undefined {
  const { position, lastGap } = stored
  return lastGap?.told === 'not_yet' && lastGap.from === position ? lastGap : undefined
}

/**
 * The gap of damage that was met last, wherever the position stands. It is met again if that stands before it, because of
 * events that were not taken yet, and found to reach to the end of the log of that time: over events that are there.
 */
export const metDamage = ({ lastGap }: { readonly lastGap: LastGap | null }): LastGap | undefined =>
  lastGap?.reason === 'corrupt' ? lastGap : undefined

/**
 * Whether damage that was met is that which was met before: in the same partition, from the same event to the same one.
 * Where a stream stands in the other partitions differs from run to run.
 */
export function isSameDamage(
  known: { readonly from: string; readonly to: string },
  met: { readonly from: string; readonly to: string },
  slots: Pick<Stream['session']['needs']['slots'], 'parse'>,
): boolean {
  const [from, to] = [slots.parse(met.from), slots.parse(met.to)]
  const [knownFrom, knownTo] = [slots.parse(known.from), slots.parse(known.to)]
  if (from.kind !== 'ok' || to.kind !== 'ok' || knownFrom.kind !== 'ok' || knownTo.kind !== 'ok') return false
  return from.vector.every((offset, slot) => {
    if (to.vector[slot] === offset) return knownTo.vector[slot] === knownFrom.vector[slot]
    return knownFrom.vector[slot] === offset && knownTo.vector[slot] === to.vector[slot]
  })
}

/**
 * The gaps of one run that the receiver has not been told of, in order. They are told one after the other, and the
 * webhook shows and counts the one whose turn it is: there its position stands, and a run after this one begins with it.
 */
export class Gaps {
  readonly #waiting: Omit<LastGap, 'told'>[] = []
  readonly #show: (gap: LastGap, isNew: boolean) => void
  #last: LastGap | null

  /** `last`: the one that was shown last; `show` shows one, and counts it if it is new. */
  constructor(last: LastGap | null, show: (gap: LastGap, isNew: boolean) => void) {
    this.#last = last
    this.#show = show
  }

  /** One more was met. */
  met(gap: Omit<LastGap, 'told'>): void {
    if (this.#waiting.push(gap) === 1) this.#showFirst()
  }

  /** The receiver was told of the first, or never will be. */
  told(told: LastGap['told']): void {
    const gap = this.#waiting.shift()
    if (!gap) return
    this.#last = { ...gap, told }
    this.#show(this.#last, false)
    this.#showFirst()
  }

  #showFirst(): void {
    const [gap] = this.#waiting
    if (!gap) return
    // A run before this one may have met it too, and not have told of it to the end.
    const isNew = this.#last?.from !== gap.from
    this.#last = { ...gap, told: 'not_yet' }
    this.#show(this.#last, isNew)
  }
}

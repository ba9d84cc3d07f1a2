import type { GapReason } from '@pulse/protocol/frames'
import type { Connection, DeliveryRecord, Encoding, Own } from '../delivery/delivery.ts'

export interface MailboxNeeds {
  /** Takes an event; the events of a partition come in order. */
  readonly take: (delivery: DeliveryRecord, own: Own) => void
  /** Whether more may come. */
  readonly hasRoom: () => boolean
  /** The stream has come further, by an event or without one. */
  readonly moved: () => void
  /** What lay between these places will not come. */
  readonly gap: (from: string, to: string, reason: GapReason) => void
}

const nothing = Buffer.alloc(0)

/**
 * A webhook's end of a stream: what other transports write as bytes is handed on as it is, because each event becomes a
 * request of its own. It is a way to a reader and the words spoken on it in one.
 */
export class Mailbox implements Connection, Encoding {
  readonly name = 'webhook'
  /** Resolves when the stream has ended, from either side. */
  readonly closed: Promise<void>
  /** Something was written: from then on the session knows where it stands. */
  hasBegun = false
  readonly #needs: MailboxNeeds
  /** Gaps that wait in the queue of the session, behind events which come before them. */
  readonly #gaps = new Map<Buffer, Parameters<MailboxNeeds['gap']>>()
  #close: () => void = () => {}
  #drained: () => void = () => {}

  constructor(needs: MailboxNeeds) {
    this.#needs = needs
    this.closed = new Promise((resolve) => {
      this.#close = resolve
    })
  }

  event(delivery: DeliveryRecord, own: Own): Buffer {
    this.#needs.take(delivery, own)
    this.#needs.moved()
    return nothing
  }

  checkpoint(): Buffer {
    this.#needs.moved()
    return nothing
  }

  gap(from: string, to: string, reason: GapReason): Buffer {
    const note = Buffer.alloc(0)
    this.#gaps.set(note, [from, to, reason])
    return note
  }

  matched(): Buffer {
    return nothing
  }

  join(): Buffer {
    return nothing
  }

  lagging(): undefined {
    return undefined
  }

  write(bytes: Buffer): boolean {
    this.hasBegun = true
    const gap = this.#gaps.get(bytes)
    this.#gaps.delete(bytes)
    if (gap) this.#needs.gap(...gap)
    return this.#needs.hasRoom()
  }

  onDrain(drained: () => void): void {
    this.#drained = drained
  }

  /** There is room again. */
  drained(): void {
    this.#drained()
  }

  heartbeat(): void {}

  close(): void {
    this.#close()
  }
}

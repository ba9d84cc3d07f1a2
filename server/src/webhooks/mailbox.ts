import type { Connection, DeliveryRecord, Encoding, Own } from '../delivery/delivery.ts'

export interface MailboxNeeds {
  /** Takes an event; the events of a partition come in order. */
  readonly take: (delivery: DeliveryRecord, own: Own) => void
  /** Whether more may come. */
  readonly hasRoom: () => boolean
  /** The stream has come further, by an event or without one. */
  readonly moved: () => void
  /** What lay between these places will not come. */
  readonly gap: (from: string, to: string, reason: string) => void
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
    return nothing
  }

  checkpoint(): Buffer {
    this.#needs.moved()
    return nothing
  }

  gap(from: string, to: string, reason: string): Buffer {
    this.#needs.gap(from, to, reason)
    return nothing
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

  write(): boolean {
    this.hasBegun = true
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

import type { GapReason } from '@pulse/protocol/frames'
import { LRUCache } from 'lru-cache'
import { type DeliveryRecord, v1Message } from './delivery-record.ts'
import type { Vector } from './vector.ts'
import { textMessage } from './web-socket-frame.ts'

/** What of a delivery is a session's own. */
export interface Own {
  /** Highest offset of the partition that was told before. */
  readonly previous: number
  /** JSON of the names of the filters that match. */
  readonly matched: Buffer
  /** Where the session stood when its scan began further back. */
  readonly ahead: Vector | undefined
}

/** How a transport writes a stream. What it has no words for is undefined, and not told. */
export interface Encoding {
  /** The names of the filters that match an event; the same bytes for the same names. */
  matched(names: readonly string[]): Buffer
  event(delivery: DeliveryRecord, own: Own): Buffer
  /** One write of what `event` made for one session. */
  join(parts: readonly Buffer[]): Buffer
  /** `previous`: where the session stood before, so that a lost event right before a checkpoint is missed too. */
  checkpoint(position: string, told?: { id?: string | undefined; previous?: string }): Buffer | undefined
  gap(from: string, to: string, reason: GapReason): Buffer | undefined
  lagging(position: string): Buffer | undefined
}

const message = (frame: object) => textMessage([Buffer.from(JSON.stringify(frame))])

/**
 * Joins parts and remembers the last result: sessions with one filter get one and the same list of parts, and
 * comparing references is cheaper than copying bytes.
 */
function createJoin(join: (parts: readonly Buffer[]) => Buffer) {
  let last: { readonly parts: readonly Buffer[]; readonly bytes: Buffer } | undefined
  return (parts: readonly Buffer[]): Buffer => {
    if (last && last.parts.length === parts.length && last.parts.every((part, n) => part === parts[n]))
      return last.bytes
    const bytes = join(parts)
    last = { parts, bytes }
    return bytes
  }
}

const namesMax = 10_000

/** Makes the JSON of names, each once: sessions whose filters are called alike then share what is encoded of an event. */
function createMatched() {
  const known = new LRUCache<string, Buffer>({ max: namesMax })
  return (names: readonly string[]): Buffer => {
    const text = JSON.stringify(names)
    let bytes = known.get(text)
    if (!bytes) {
      bytes = Buffer.from(text)
      known.set(text, bytes)
    }
    return bytes
  }
}

const nobody = Buffer.alloc(0)

/** Frames of `pulse.v1`. */
export function createV1Encoding(): Encoding {
  const join = createJoin(v1Message)
  return {
    matched: createMatched(),
    event: (delivery, own) => delivery.item(own.previous, own.matched),
    join,
    // A member that is undefined is not written.
    checkpoint: (position, told) => message({ type: 'checkpoint', position, ...told }),
    gap: (from, to, reason) => message({ type: 'gap', from, to, reason }),
    lagging: (position) => message({ type: 'lagging', position }),
  }
}

/** One event per message, as the original's sockets have it; nothing else is ever said. */
export function createPlainEncoding(): Encoding {
  const join = createJoin((parts) => (parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)))
  return {
    matched: () => nobody,
    event: (delivery, own) => delivery.plain(own.ahead),
    join,
    checkpoint: () => undefined,
    gap: () => undefined,
    lagging: () => undefined,
  }
}

/** Server-sent events: `id` is the position, so that `Last-Event-ID` resumes; news about the stream are named events. */
export function createEventStreamEncoding(): Encoding {
  const join = createJoin((parts) => (parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)))
  const named = (name: string, data: object, id?: string) =>
    Buffer.from(`event: ${name}\n${id ? `id: ${id}\n` : ''}data: ${JSON.stringify(data)}\n\n`)
  return {
    matched: () => nobody,
    event: (delivery, own) => delivery.eventStream(own.ahead),
    join,
    checkpoint: (position) => named('checkpoint', { position }, position),
    gap: (from, to, reason) => named('gap', { from, to, reason }, to),
    lagging: (position) => named('lagging', { position }),
  }
}

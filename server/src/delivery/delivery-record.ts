import type { LogRecord } from '@pulse/log'
import type { Slots, Vector } from './vector.ts'
import { textMessage } from './web-socket-frame.ts'

const comma = Buffer.from(',')
const end = Buffer.from('}')

/** One event on its way to everybody whom a scan found for it; what they share is encoded once, when first asked for. */
export class DeliveryRecord {
  readonly slots: Slots
  readonly record: LogRecord
  readonly slot: number
  /** The vector of the scan as its batch began: shared by the batch, never written to. */
  readonly #before: Vector
  #text: string | undefined
  #body: Buffer | undefined
  #head: Buffer | undefined
  #position: string | undefined
  #plain: Buffer | undefined
  #eventStream: Buffer | undefined
  /** What was encoded last for a v1 session, which most other sessions want just so. */
  #item: { readonly previous: number; readonly matched: Buffer; readonly bytes: Buffer } | undefined

  constructor(slots: Slots, record: LogRecord, at: { slot: number; before: Vector }) {
    this.slots = slots
    this.record = record
    this.slot = at.slot
    this.#before = at.before
  }

  get offset(): number {
    return this.record.offset
  }

  /** Bytes that one queue is charged for it. */
  get bytes(): number {
    return this.record.value.length + 128
  }

  /** Where the stream stands just before it: what a reader who did not get it must resume from. */
  placeBefore(): Vector {
    const vector = this.#before.slice()
    vector[this.slot] = this.offset
    return vector
  }

  /** Where the stream stands after it, for readers that the scan has nothing left to hide from. */
  get position(): string {
    this.#position ??= this.slots.format(this.#placeAfter())
    return this.#position
  }

  #placeAfter(): Vector {
    const vector = this.#before.slice()
    vector[this.slot] = this.offset + 1
    return vector
  }

  /**
   * The same for a reader that is ahead of the scan in some partitions: it was there before and is not told of them
   * again, so its position must not fall behind.
   */
  positionAhead(ahead: Vector): string {
    const vector = this.#placeAfter()
    for (let slot = 0; slot < vector.length; slot++)
      vector[slot] = Math.max(vector[slot] as number, ahead[slot] as number)
    return this.slots.format(vector)
  }

  /** One line that ends with the event's brace, as our own records do; on Kafka others may have laid theirs out. */
  get #line(): string {
    const { value } = this.record
    this.#text ??= value.endsWith('}') && !/[\r\n]/.test(value) ? value : JSON.stringify(this.record.event)
    return this.#text
  }

  /** The event as UTF-8. */
  get body(): Buffer {
    this.#body ??= Buffer.from(this.#line)
    return this.#body
  }

  /** A message of a plain socket: the event with its position. */
  plain(ahead?: Vector): Buffer {
    if (ahead) return this.#encodePlain(this.positionAhead(ahead))
    this.#plain ??= this.#encodePlain(this.position)
    return this.#plain
  }

  #encodePlain(position: string): Buffer {
    const { body } = this
    return textMessage([body.subarray(0, body.length - 1), Buffer.from(`,"position":"${position}"}`)])
  }

  /** The event with its position, as the JSON of one request. */
  withPosition(ahead?: Vector): string {
    return `${this.#line.slice(0, -1)},"position":"${ahead ? this.positionAhead(ahead) : this.position}"}`
  }

  /** A block of an event stream. */
  eventStream(ahead?: Vector): Buffer {
    if (ahead) return this.#encodeEventStream(this.positionAhead(ahead))
    this.#eventStream ??= this.#encodeEventStream(this.position)
    return this.#eventStream
  }

  #encodeEventStream(position: string): Buffer {
    return Buffer.concat([Buffer.from(`id: ${position}\ndata: `), this.body, Buffer.from('\n\n')])
  }

  /**
   * A member of a v1 frame without its braces' type. `matched` is the JSON of the names.
   */
  item(previous: number, matched: Buffer): Buffer {
    const last = this.#item
    if (last && last.previous === previous && last.matched === matched) return last.bytes
    if (!this.#head) {
      const { topic, partition } = this.slots.place(this.slot)
      this.#head = Buffer.from(
        `"topic":${JSON.stringify(topic)},"partition":${partition},"offset":${this.offset},"previous":`,
      )
    }
    const bytes = Buffer.concat([
      this.#head,
      Buffer.from(`${previous},"matched":`, 'latin1'),
      matched,
      Buffer.from(',"event":', 'latin1'),
      this.body,
      end,
    ])
    this.#item = { previous, matched, bytes }
    return bytes
  }
}

const eventOpen = Buffer.from('{"type":"event",')
const batchOpen = Buffer.from('{"type":"batch","events":[')
const memberOpen = Buffer.from('{')
const batchClose = Buffer.from(']}')

/** The v1 message of one or several members that `item` made. */
export function v1Message(items: readonly Buffer[]): Buffer {
  if (items.length === 1) return textMessage([eventOpen, items[0] as Buffer])
  const parts: Uint8Array[] = [batchOpen]
  for (const item of items) {
    if (parts.length > 1) parts.push(comma)
    parts.push(memberOpen, item)
  }
  parts.push(batchClose)
  return textMessage(parts)
}

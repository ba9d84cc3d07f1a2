import type { Event } from '@pulse/protocol/event'
import type pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'

/** One row of `events`. Instants are microseconds since 1970 or RFC 3339 text. */
export interface EventRow {
  readonly event: Event
  readonly receivedAt: number
  readonly epoch: number
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly attempts: number
  readonly status: 'processed' | 'dropped'
  readonly enriched: object | null
}

const columns =
  'received_at, event_id, event_type, user_id, "timestamp", log_epoch, record_offset, partition, schema_version, attempts, status, topic, source, properties, enriched'
const columnCount = 15
const signature = Buffer.from('PGCOPY\n\u00ff\r\n\0', 'latin1')
const postgresEpochMs = 946_684_800_000
/** A page of events holds up to a thousand of these, so they have to end somewhere. */
export const enrichedCharsMax = 1024 * 1024

/**
 * Writes encoded rows into `events` by binary COPY: of all ways into an indexed table the one that costs the server
 * least, because it parses no text and plans nothing. Rejects with PostgreSQL's error; the transaction is then lost.
 */
export async function copyEventRows(tx: pg.ClientBase, buffer: Buffer): Promise<void> {
  if (buffer.length === 0) return
  const stream = tx.query(copyFrom(`copy pulse.events (${columns}) from stdin (format binary)`))
  await new Promise<void>((resolve, reject) => {
    stream.on('finish', resolve)
    stream.on('error', reject)
    stream.end(buffer)
  })
}

/**
 * The bytes of a binary COPY; none for no rows. Throws TypeError for what cannot be written as JSON, RangeError for
 * `enriched` beyond its limit.
 */
export function encodeRows(rows: readonly EventRow[]): Buffer {
  if (rows.length === 0) return Buffer.alloc(0)
  const writer = new CopyWriter(rows.length * 400)
  writer.bytes(signature)
  writer.int32(0)
  writer.int32(0)
  for (const row of rows) {
    const { event } = row
    writer.int16(columnCount)
    writer.instantOfMicros(row.receivedAt)
    writer.uuid(event.event_id)
    writer.text(event.event_type)
    writer.text(event.user_id)
    writer.instantOfText(event.timestamp)
    writer.bigint(row.epoch)
    writer.bigint(row.offset)
    writer.smallint(row.partition)
    writer.integer(event.schema_version)
    writer.smallint(row.attempts)
    writer.text(row.status)
    writer.text(row.topic)
    writer.text(event.source)
    writer.jsonb(event.properties)
    if (row.enriched === null) writer.int32(-1)
    else writer.jsonb(row.enriched, enrichedCharsMax)
  }
  writer.int16(-1)
  return writer.done()
}

/** A buffer that grows, with PostgreSQL's binary forms: each value is its length in bytes and its bytes. */
class CopyWriter {
  #buffer: Buffer
  #at = 0
  constructor(bytes: number) {
    this.#buffer = Buffer.allocUnsafe(Math.max(1_024, bytes))
  }

  #reserve(bytes: number): number {
    const at = this.#at
    this.#at += bytes
    if (this.#at > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(this.#at * 2)
      this.#buffer.copy(larger, 0, 0, at)
      this.#buffer = larger
    }
    return at
  }

  bytes(value: Uint8Array): void {
    this.#buffer.set(value, this.#reserve(value.length))
  }
  int16(value: number): void {
    this.#buffer.writeInt16BE(value, this.#reserve(2))
  }
  int32(value: number): void {
    this.#buffer.writeInt32BE(value, this.#reserve(4))
  }
  smallint(value: number): void {
    this.int32(2)
    this.int16(value)
  }
  integer(value: number): void {
    this.int32(4)
    this.int32(value)
  }
  /** A whole number up to 2^53. */
  bigint(value: number): void {
    this.int32(8)
    const high = Math.floor(value / 0x1_0000_0000)
    this.int32(high)
    const at = this.#reserve(4)
    this.#buffer.writeUInt32BE(value - high * 0x1_0000_0000, at)
  }
  instantOfMicros(micros: number): void {
    this.bigint(micros - postgresEpochMs * 1000)
  }
  // Years far from ours do not fit into 53 bits of microseconds.
  instantOfText(instant: string): void {
    const ms = Date.parse(`${instant.slice(0, 19)}Z`) - postgresEpochMs
    const micros = BigInt(ms) * 1000n + BigInt(instant.slice(20, 26))
    this.int32(8)
    this.#buffer.writeBigInt64BE(micros, this.#reserve(8))
  }
  uuid(text: string): void {
    this.int32(16)
    const at = this.#reserve(16)
    this.#buffer.write(text.replaceAll('-', ''), at, 16, 'hex')
  }
  text(value: string | null): void {
    if (value === null) {
      this.int32(-1)
      return
    }
    const length = this.#reserve(4)
    this.#utf8(value, length)
  }
  jsonb(value: object, charsMax = Number.POSITIVE_INFINITY): void {
    const length = this.#reserve(4)
    const version = this.#reserve(1)
    this.#buffer[version] = 1
    const text = JSON.stringify(value)
    if (text.length > charsMax)
      throw new RangeError(`what the handler returned is longer than ${charsMax} characters of JSON`)
    this.#utf8(text, length)
  }
  // The length of the whole value, whatever was written of it before, goes to the place kept for it.
  #utf8(text: string, length: number): void {
    const at = this.#reserve(text.length * 3)
    const written = this.#buffer.write(text, at)
    this.#at = at + written
    this.#buffer.writeInt32BE(this.#at - length - 4, length)
  }

  done(): Buffer {
    return this.#buffer.subarray(0, this.#at)
  }
}

import { constants, crc32, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import type { Event } from '@pulse/protocol/event'
import { LogError, type LogRecord, type NewRecord } from './log.ts'

/**
 * A record batch as bytes: one format byte, then the records as text, plain or compressed.
 * The text is one line of head `{"topic","partition","received":[…]}` and one line of JSON per event, so that
 * a reader can hand on an event without parsing it.
 */
const plain = 1
const zstd = 2
const newline = 0x0a

// Below this many bytes compressing costs more than it saves: about 20 µs, for 300 bytes as for 8,000.
const compressFrom = 2_000
const params = { [constants.ZSTD_c_compressionLevel]: 1 }

// Memory for a result is taken in pieces of `chunkSize`, two at least. JSON of events shrinks to less than half, so
// one piece holds it: with the default of 16 KiB the pieces were half of all bytes that the server threw away under
// load, and a large batch was put together from a hundred of them.
const piece = (bytes: number) => Math.min(Math.max(512, bytes), 1024 * 1024)
const compressed = (text: Buffer) => zstdCompressSync(text, { params, chunkSize: piece(text.length >> 1) })
const decompressed = (bytes: Buffer) => zstdDecompressSync(bytes, { chunkSize: piece(bytes.length << 3) })

// One group's text is written and compressed before the next one's: reused, because new memory of that size comes from
// the kernel page by page, which took longer than the writing.
const scratch = Buffer.allocUnsafeSlow(4 * 1024 * 1024)

interface Head {
  readonly topic: string
  readonly partition: number
  /** Microseconds: the first one, then differences. */
  readonly received: readonly number[]
}

/** Encodes records of one partition; returns the bytes and their CRC-32 as a signed integer. */
export function encodeBatch(
  topic: string,
  partition: number,
  records: readonly NewRecord[],
): { bytes: Buffer; checksum: number } {
  const text = textOf(topic, partition, records)
  const bytes =
    text.length < compressFrom
      ? Buffer.concat([Buffer.of(plain), text])
      : Buffer.concat([Buffer.of(zstd), compressed(text)])
  return { bytes, checksum: crc32(bytes) | 0 }
}

// Each value is written where it belongs at once: joining them to one string first, only to encode it, took longer
// than compressing it.
function textOf(topic: string, partition: number, records: readonly NewRecord[]): Buffer {
  const received: number[] = []
  let before = 0
  let chars = 0
  for (const record of records) {
    received.push(record.receivedAt - before)
    before = record.receivedAt
    chars += 1 + record.value.length
  }
  const head: Head = { topic, partition, received }
  const headText = JSON.stringify(head)
  // A UTF-16 unit becomes three bytes of UTF-8 at most.
  const bytesMax = 3 * (headText.length + chars)
  const text = bytesMax <= scratch.length ? scratch : Buffer.allocUnsafe(bytesMax)
  let end = text.write(headText)
  for (const { value } of records) {
    text[end++] = newline
    end += text.write(value, end)
  }
  return text.subarray(0, end)
}

export interface StoredBatch {
  readonly topic: string
  readonly partition: number
  readonly baseOffset: number
  readonly count: number
  readonly checksum: number
  readonly bytes: Buffer
}

/** Decodes a stored batch. Throws LogError `corrupt` with partition and base offset if anything does not fit. */
export function decodeBatch(stored: StoredBatch): LogRecord[] {
  const { topic, partition, baseOffset, bytes } = stored
  const corrupt = (why: string, cause?: unknown) =>
    new LogError('corrupt', `batch ${topic}/${partition} at offset ${baseOffset} is damaged: ${why}`, {
      partition,
      offset: baseOffset,
      cause,
    })
  if ((crc32(bytes) | 0) !== stored.checksum) throw corrupt('its checksum does not match')
  let lines: string[]
  let head: Head
  try {
    const body = bytes.subarray(1)
    if (bytes[0] !== plain && bytes[0] !== zstd) throw new Error(`format ${bytes[0]} is not known`)
    lines = (bytes[0] === zstd ? decompressed(body) : body).toString('utf8').split('\n')
    head = JSON.parse(lines[0] ?? '') as Head
  } catch (cause) {
    throw corrupt('it cannot be decoded', cause)
  }
  if (head.topic !== topic || head.partition !== partition) throw corrupt('it belongs to another partition')
  if (head.received.length !== stored.count || lines.length !== stored.count + 1)
    throw corrupt(`it holds ${lines.length - 1} records instead of ${stored.count}`)
  let receivedAt = 0
  return head.received.map((delta, index) => {
    receivedAt += delta
    return new StoredRecord(baseOffset + index, receivedAt, lines[index + 1] as string)
  })
}

/** A record whose event is parsed when it is first asked for. */
export class StoredRecord implements LogRecord {
  readonly offset: number
  readonly receivedAt: number
  readonly value: string
  #event: Event | undefined
  constructor(offset: number, receivedAt: number, value: string) {
    this.offset = offset
    this.receivedAt = receivedAt
    this.value = value
  }
  get event(): Event {
    this.#event ??= JSON.parse(this.value) as Event
    return this.#event
  }
}

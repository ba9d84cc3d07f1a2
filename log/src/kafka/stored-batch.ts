import { crc32c, type KafkaRecord, Reader, readRecordsBatch } from '@platformatic/kafka'
import type { Event } from '@pulse/protocol/event'
import { type LogBatch, LogError, type LogRecord } from '../log.ts'

/** A record batch as the broker stored it, not yet decoded. Its checksum has not been looked at. */
export interface StoredBatch {
  readonly partition: number
  readonly baseOffset: number
  /** Offset after its last record. */
  readonly nextOffset: number
  readonly bytes: Buffer
}

// The frame of a record batch (format 2): base offset 8, length 4, leader epoch 4, magic 1, CRC 4, attributes 2,
// last offset delta 4, first timestamp 8, max timestamp 8, producer 14, count 4.
const lengthAt = 8
const frameBytes = 12
const magicAt = 16
const crcAt = 17
const checkedFrom = 21
const lastDeltaAt = 23
const maxTimestampAt = 35
const headBytes = 61
const controlBit = 0x20

/** What a fetch brought of one partition, cut. */
export interface Cut {
  /** Batches that hold offsets from the wanted one on, each following the one before. */
  readonly batches: readonly StoredBatch[]
  /** False if not even one batch was whole: the fetch's limit of bytes cut it off. */
  readonly whole: boolean
}

/**
 * Cuts what a fetch brought of one partition into batches. What lies before the wanted offset is left out, and so is a
 * last batch that is cut off, or anything behind that cannot be one: the next fetch begins there.
 * Throws LogError `corrupt` if the bytes at the wanted offset cannot be a batch.
 */
export function splitBatches(partition: number, wanted: number, bytes: Buffer): Cut {
  const batches: StoredBatch[] = []
  let next = wanted
  let whole = bytes.length === 0
  for (let at = 0; at + headBytes <= bytes.length; ) {
    const size = bytes.readInt32BE(at + lengthAt) + frameBytes
    const baseOffset = Number(bytes.readBigInt64BE(at))
    const nextOffset = baseOffset + bytes.readInt32BE(at + lastDeltaAt) + 1
    const isBatch = size >= headBytes && bytes[at + magicAt] === 2
    if (isBatch && at + size > bytes.length) break
    // Only the first one may begin before the wanted offset.
    const follows = batches.length === 0 ? baseOffset <= next : baseOffset === next
    if (!isBatch || !follows || nextOffset <= baseOffset) {
      if (batches.length === 0) throw corrupt(partition, next, 'its frame does not fit')
      break
    }
    whole = true
    if (nextOffset > next) {
      batches.push({ partition, baseOffset, nextOffset, bytes: bytes.subarray(at, at + size) })
      next = nextOffset
    }
    at += size
  }
  return { batches, whole }
}

/**
 * Checks and decodes a batch, cut at the front to begin at `from`. Brokers hand out bytes without looking at them, so
 * the checksum is ours to check. Throws LogError `corrupt`.
 */
export function decodeBatch(
  stored: StoredBatch,
  { topic, epoch, from }: { topic: string; epoch: number; from: number },
): LogBatch {
  const { partition, baseOffset, nextOffset, bytes } = stored
  const place = Math.max(from, baseOffset)
  if (crc32c(bytes.subarray(checkedFrom)) !== bytes.readUInt32BE(crcAt))
    throw corrupt(partition, place, 'its checksum does not match')
  const appendedAt = Number(bytes.readBigInt64BE(maxTimestampAt)) * 1000
  const isControl = (bytes.readUInt16BE(checkedFrom) & controlBit) !== 0
  const records: LogRecord[] = []
  try {
    // Markers of other people's transactions stand in the log, but are no events.
    for (const record of isControl ? [] : readRecordsBatch(Reader.from(bytes)).records) {
      const offset = baseOffset + record.offsetDelta
      if (offset >= from) records.push(new KafkaLogRecord(offset, record, appendedAt))
    }
  } catch (cause) {
    throw corrupt(partition, place, 'it cannot be decoded', cause)
  }
  return { epoch, topic, partition, records, nextOffset, appendedAt }
}

function corrupt(partition: number, offset: number, why: string, cause?: unknown): LogError {
  const message = `the batch of partition ${partition} at offset ${offset} is damaged: ${why}`
  return new LogError('corrupt', message, { partition, offset, cause })
}

class KafkaLogRecord implements LogRecord {
  readonly offset: number
  readonly receivedAt: number
  readonly value: string
  #event: Event | undefined

  constructor(offset: number, record: KafkaRecord, appendedAt: number) {
    this.offset = offset
    this.value = record.value?.toString() ?? ''
    const header = record.headers.find(([name]) => name?.toString() === 'received_at')?.[1]
    // A record that somebody else produced has no such header.
    this.receivedAt = header ? Number(header.toString()) : appendedAt
  }

  get event(): Event {
    this.#event ??= JSON.parse(this.value) as Event
    return this.#event
  }
}

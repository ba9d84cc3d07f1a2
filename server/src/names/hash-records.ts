import { randomUUID } from 'node:crypto'
import type { LogRecord, NewRecord } from '@pulse/log'
import type { Hash128 } from '@pulse/log/bloom-filter'
import { controlPrefix } from '@pulse/log/control-record'
import { instantOf } from '@pulse/protocol/instant'
import { hashBytes, type NameHasher } from './name-hash.ts'

/** The topic that carries the hashes of names to every process; one partition, so that one offset says how far. */
export const namesTopic = { name: 'pulse.names', partitions: 1 } as const

const type = `${controlPrefix}names`
/** Hashes in one record: 175 kB of text, well below what any log takes. */
const hashesMax = 8_192

/** The records that tell of keys, in their order. `nowMs` is Unix time. */
export function recordsOf(keys: readonly string[], hasher: NameHasher, nowMs: number): NewRecord[] {
  const records: NewRecord[] = []
  for (let from = 0; from < keys.length; from += hashesMax)
    records.push(recordOf(keys.slice(from, from + hashesMax), hasher, nowMs * 1_000))
  return records
}

function recordOf(keys: readonly string[], hasher: NameHasher, receivedAt: number): NewRecord {
  const bytes = Buffer.allocUnsafe(keys.length * hashBytes)
  keys.forEach((key, n) => {
    const hash = hasher.hash(key)
    for (let m = 0; m < 4; m++) bytes.writeUInt32LE(hash[m] as number, n * hashBytes + m * 4)
  })
  const id = randomUUID()
  const value = JSON.stringify({
    event_id: id,
    event_type: type,
    user_id: null,
    timestamp: instantOf(receivedAt),
    properties: { hashes: bytes.toString('base64') },
    source: null,
    schema_version: 1,
  })
  return { topic: namesTopic.name, key: type, type, value, receivedAt, id }
}

/** Calls back with each hash of a record; the array is reused. A record of another kind, or of another program, has none. */
export function eachHash(record: LogRecord, use: (hash: Hash128) => void): void {
  const hashes = hashesOf(record)
  if (hashes === undefined) return
  const bytes = Buffer.from(hashes, 'base64')
  const hash = new Uint32Array(4)
  for (let at = 0; at + hashBytes <= bytes.length; at += hashBytes) {
    for (let m = 0; m < 4; m++) hash[m] = bytes.readUInt32LE(at + m * 4)
    use(hash)
  }
}

function hashesOf(record: LogRecord): string | undefined {
  try {
    const { event_type, properties } = record.event
    const hashes = properties?.hashes
    return event_type === type && typeof hashes === 'string' ? hashes : undefined
  } catch {
    // Anybody may write into a topic of Kafka, and what is no event must not hold up everything behind it.
    return undefined
  }
}

import { createHash } from 'node:crypto'
import { type EventLog, LogError, type LogRecord } from '@pulse/log'
import { namesTopic } from './hash-records.ts'

/** A place that was reached in the topic of hashes. */
export interface Reached {
  readonly epoch: number
  /** Offset of the next record. */
  readonly offset: number
  /** Digest of the record before it; undefined where none was read. */
  readonly seam: string | undefined
}

/** Records that follow each other without a hole, and where they lead to. */
export interface HashBatch {
  readonly records: readonly LogRecord[]
  readonly reached: Reached
}

/**
 * Reads the topic from a place on, and makes sure that it is the topic that was read up to there: the record before the place
 * must still be the same, and no offset may be missing. A log that lost its end and has grown again, or that an operator has
 * set to be compacted, would else lead past hashes that nobody has applied. Throws LogError `out-of-range` for both, and what
 * the log throws; returns where the epoch is another one, or the signal aborts.
 */
export async function* hashBatches(
  log: EventLog,
  from: Reached,
  signal: AbortSignal,
): AsyncGenerator<HashBatch> {
  const isSewn = from.seam !== undefined && from.offset > 0
  let { offset } = from
  const first = isSewn ? offset - 1 : offset
  let next = first
  const asked = { topic: namesTopic.name, offsets: new Map([[0, first]]), epoch: from.epoch }
  for await (const batch of log.read(asked, signal)) {
    if (batch.epoch !== from.epoch) return
    refuseHoles(batch, next)
    next = batch.nextOffset
    if (isSewn && batch.records[0]?.offset === first && digestOf(batch.records[0]) !== from.seam)
      throw lost(first, `has another record at offset ${first} than it had`)
    const last = batch.records.at(-1)
    const records = batch.records.filter((record) => record.offset >= offset)
    offset = next
    if (records.length > 0)
      yield { records, reached: { epoch: from.epoch, offset, seam: last && digestOf(last) } }
  }
}

function refuseHoles(
  { records, nextOffset }: { readonly records: readonly LogRecord[]; readonly nextOffset: number },
  first: number,
): void {
  let expected = first
  for (const { offset } of records) {
    if (offset !== expected) throw lost(expected, `has no record at offset ${expected}: is it compacted?`)
    expected++
  }
  if (expected !== nextOffset) throw lost(expected, `has no record at offset ${expected}: is it compacted?`)
}

function lost(offset: number, what: string): LogError {
  return new LogError('out-of-range', `the topic ${namesTopic.name} ${what}`, { partition: 0, offset })
}

const digestOf = ({ value }: LogRecord) => createHash('sha256').update(value).digest('base64')

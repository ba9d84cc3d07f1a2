import { type Connection, createAPI, fetchV13, type Reader, readKnownTaggedFields } from '@platformatic/kafka'
import { LogError } from '../log.ts'

/** What a fetch brought of one partition: Kafka's error code (0 if none) and the bytes of whole or cut-off batches. */
export interface FetchedPartition {
  readonly partition: number
  readonly errorCode: number
  readonly bytes: Buffer
}

export const limits = {
  /** A fetch at the end waits this long for something new; appending ends the wait at once. */
  waitMs: 1_000,
  bytesMax: 4 * 1024 * 1024,
  partitionBytesMax: 1024 * 1024,
} as const

/**
 * Fetches from offsets of one topic, by Kafka's id of it. The first partition's first batch comes whole, however big.
 * Throws errors of the client.
 */
export async function fetchRecords(
  connection: Connection,
  topicId: string,
  offsets: readonly (readonly [partition: number, offset: number])[],
): Promise<readonly FetchedPartition[]> {
  const partitions = offsets.map(([partition, offset]) => ({
    partition,
    currentLeaderEpoch: -1,
    fetchOffset: BigInt(offset),
    lastFetchedEpoch: -1,
    partitionMaxBytes: limits.partitionBytesMax,
  }))
  // Read uncommitted, and no session: what we ask for is always all that we ask for.
  return fetchApi.async(
    connection,
    limits.waitMs,
    1,
    limits.bytesMax,
    0,
    0,
    -1,
    [{ topicId, partitions }],
    [],
    '',
  )
}

// The client's own parser decodes all records at once and does not look at their checksums, so we take the bytes.
const fetchApi = createAPI(1, 13, fetchV13.createRequest, readResponse)

function readResponse(
  _correlationId: number,
  _key: number,
  _version: number,
  reader: Reader,
): FetchedPartition[] {
  reader.readInt32() // throttle time
  const errorCode = reader.readInt16()
  reader.readInt32() // session
  const topics = reader.readArray((topic) => {
    topic.readUUID()
    return topic.readArray(readPartition, true, false)
  })
  if (errorCode !== 0)
    throw new LogError('unavailable', `the broker answered a fetch with error ${errorCode}`)
  return topics.flat()
}

function readPartition(reader: Reader): FetchedPartition {
  const partition = reader.readInt32()
  const errorCode = reader.readInt16()
  reader.readInt64() // high watermark
  reader.readInt64() // last stable offset
  reader.readInt64() // log start
  reader.readNullableArray((aborted) => [aborted.readInt64(), aborted.readInt64()])
  reader.readInt32() // preferred replica
  const size = Math.max(0, reader.readUnsignedVarInt() - 1)
  const bytes = reader.buffer.slice(reader.position, reader.position + size)
  reader.skip(size)
  readKnownTaggedFields(reader, {})
  return { partition, errorCode, bytes }
}

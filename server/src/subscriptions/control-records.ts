import { createHash } from 'node:crypto'
import type { LogRecord, NewRecord } from '@pulse/log'
import { controlPrefix } from '@pulse/log/control-record'
import { partitionOf } from '@pulse/log/murmur2'
import { microsOf } from '@pulse/protocol/instant'
import { uuidV5 } from '../intake/uuid-v5.ts'
import type { OpenAnnouncement } from './filter-store.ts'

/** Type of the records that tell of changed filters. */
const filtersType = `${controlPrefix}filters`

/** A namespace of our own, so that no name which a client chooses leads to the id of such a record. */
const namespace = '5b1c5a0e-8b0e-4a53-9d55-3f1b8a0f2f4d'

/** A topic as far as it matters where its records go. */
export interface TopicShape {
  readonly name: string
  readonly partitions: number
}

/** Where a record of an announcement was meant to stand. */
export interface Announced {
  readonly announcement: string
  readonly topic: string
  readonly partition: number
}

/** The id of an announcement's record in a partition: the same for whoever appends it, and however often. */
export function recordId({ announcement, topic, partition }: Announced): string {
  return uuidV5(namespace, `${announcement}\n${topic}\n${partition}`)
}

/** The records of an announcement, one for every partition of every topic; the same whoever makes them. */
export function recordsOf(announcement: OpenAnnouncement, topics: readonly TopicShape[]): NewRecord[] {
  return topics.flatMap(({ name, partitions }) =>
    keysOf(partitions).map((key, partition) => recordOf(announcement, { topic: name, partition, key })),
  )
}

function recordOf(
  { id: announcement, createdAt, changes }: OpenAnnouncement,
  { topic, partition, key }: { topic: string; partition: number; key: string },
): NewRecord {
  const id = recordId({ announcement, topic, partition })
  const value = JSON.stringify({
    event_id: id,
    event_type: filtersType,
    user_id: null,
    timestamp: createdAt,
    properties: { announcement, topic, partition, changes },
    source: null,
    schema_version: 1,
  })
  const fingerprint = createHash('sha256').update(id).digest('hex').slice(0, 32)
  return { topic, key, type: filtersType, value, receivedAt: microsOf(createdAt), id, fingerprint }
}

/** What a control record announces; undefined if it is another kind of control record. */
export function announcedIn(record: LogRecord): Announced | undefined {
  const { event_type, properties } = record.event
  // On Kafka others may write to the topic too, and a throw here would hold up everybody who follows it.
  if (typeof properties !== 'object' || properties === null) return undefined
  const { announcement, topic, partition } = properties
  if (event_type !== filtersType || typeof announcement !== 'string' || !uuid.test(announcement))
    return undefined
  if (typeof topic !== 'string' || typeof partition !== 'number') return undefined
  return { announcement, topic, partition }
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** A key for each partition that leads there. About n ln n are tried for n partitions: 8,000 for 1,024. */
export function keysOf(partitions: number): readonly string[] {
  const keys = new Array<string | undefined>(partitions)
  let missing = partitions
  for (let n = 0; missing > 0; n++) {
    const key = `${controlPrefix}${n}`
    const partition = partitionOf(key, partitions)
    if (keys[partition] !== undefined) continue
    keys[partition] = key
    missing--
  }
  return keys as string[]
}

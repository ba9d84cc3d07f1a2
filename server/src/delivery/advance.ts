import { setImmediate as nextTurn } from 'node:timers/promises'
import { type EventLog, type LogBatch, LogError } from '@pulse/log'
import { type Controls, type LiveFeed, takeEntry } from './live-feed.ts'
import type { Scan } from './scan.ts'
import { reaches, type Slots, type Vector } from './vector.ts'

const limits = {
  /** A replay lets others run after this long. */
  turnMsMax: 8,
  /**
   * Records that are read of one topic before some of the next one are. Every turn is a reading of its own, with a
   * connection that is opened for it: at this length that is lost in the time that the records take.
   */
  topicRecordsMax: 50_000,
} as const

export interface AdvanceNeeds {
  readonly log: EventLog
  readonly slots: Slots
  readonly controls: Controls
  readonly live: LiveFeed
  /** Ends the reading. */
  readonly signal: AbortSignal
  /** Told of so many records more. */
  readonly read: (records: number) => void
  /** Waits for readers that are behind. True if the scan then stands further ahead than what is being read. */
  readonly makeRoom: () => Promise<boolean>
}

type Topic = Slots['topics'][number]

/** What two vectors say of the partitions of one topic. */
const partsOf = ({ first, partitions }: Topic, a: Vector, b: Vector): [Vector, Vector] => [
  a.subarray(first, first + partitions),
  b.subarray(first, first + partitions),
]

/**
 * Takes a scan on towards where the live feed stands now, from the feed's memory if that reaches back, else from the log:
 * there some of each topic in turn. Were one read to its end first, who was away for an hour would see nothing of the
 * others for as long as that takes, while retention goes on. Reading all of them at once would take a connection and a
 * page in memory for each, and come to the end no earlier.
 *
 * Returns the slot of a damaged batch if it meets one; rejects with LogError for all else that is wrong with the log.
 */
export async function advance(scan: Scan, needs: AdvanceNeeds): Promise<number | undefined> {
  const { live, slots } = needs
  const target = live.scan.vector.slice()
  if (live.recent.seek(scan.vector) !== undefined) {
    await advanceInMemory(scan, target, needs)
    return undefined
  }
  const isBehind = (topic: Topic) => !reaches(...partsOf(topic, scan.vector, target))
  for (const topic of slots.topics.filter(isBehind)) {
    const isAlone = !slots.topics.some((other) => other !== topic && isBehind(other))
    const recordsMax = isAlone ? Number.POSITIVE_INFINITY : limits.topicRecordsMax
    try {
      await advanceTopic(scan, { topic, target, recordsMax }, needs)
    } catch (error) {
      if (!(error instanceof LogError) || error.code !== 'corrupt' || error.partition === undefined)
        throw error
      return topic.first + error.partition
    }
  }
  return undefined
}

async function advanceInMemory(scan: Scan, target: Vector, needs: AdvanceNeeds): Promise<void> {
  const { recent } = needs.live
  let turnFrom = performance.now()
  // Looked for once: from there on each entry is the next one, until the memory has forgotten it.
  let number = recent.seek(scan.vector) ?? recent.end
  while (!reaches(scan.vector, target)) {
    const entry = recent.at(number++)
    if (!entry || scan.size === 0) return
    takeEntry(scan, entry)
    needs.read(entry.batch.records.length)
    if (await needs.makeRoom()) return
    if (performance.now() - turnFrom < limits.turnMsMax) continue
    await nextTurn()
    turnFrom = performance.now()
  }
}

async function advanceTopic(
  scan: Scan,
  { topic, target, recordsMax }: { topic: Topic; target: Vector; recordsMax: number },
  needs: AdvanceNeeds,
): Promise<void> {
  const { slots, log } = needs
  const isThere = () => reaches(...partsOf(topic, scan.vector, target))
  // Its readers may have left, or passed over the rest of it, while another topic was read.
  if (isThere() || scan.size === 0) return
  const ended = new AbortController()
  const signal = AbortSignal.any([needs.signal, ended.signal])
  let left = recordsMax
  let turnFrom = performance.now()
  const from = { topic: topic.name, epoch: topic.epoch, offsets: slots.offsets(scan.vector, topic) }
  for await (const batch of log.read(from, signal)) {
    await take(scan, batch, needs)
    needs.read(batch.records.length)
    left -= batch.records.length
    if (isThere() || scan.size === 0 || (await needs.makeRoom()) || left <= 0) break
    if (performance.now() - turnFrom < limits.turnMsMax) continue
    await nextTurn()
    turnFrom = performance.now()
  }
  ended.abort()
}

async function take(scan: Scan, batch: LogBatch, { controls, slots }: AdvanceNeeds): Promise<void> {
  const slot = slots.of(batch.topic, batch.partition)
  for (const record of batch.records) {
    if (record.offset < (scan.vector[slot] as number) || !controls.isControl(record)) continue
    const changes = await controls.changesOf(record)
    takeEntry(scan, { slot, batch, end: record.offset + 1, changes })
  }
  scan.take(batch)
}

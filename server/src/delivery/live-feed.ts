import { setTimeout as delay } from 'node:timers/promises'
import { type EventLog, type LogBatch, LogError, type LogRecord } from '@pulse/log'
import type { FilterChange, Subscriptions } from '../subscriptions/subscriptions.ts'
import { type RecentBatch, RecentBatches } from './recent-batches.ts'
import { type Index, Scan } from './scan.ts'
import type { Session } from './session.ts'
import { TailTimes } from './tail-times.ts'
import { type Slots, type Vector, vectorOf } from './vector.ts'

const retryMs = 250

/** Which records are for servers only, and what they announce. */
export type Controls = Pick<Subscriptions, 'isControl' | 'changesOf'>

export interface LiveFeedNeeds {
  readonly log: EventLog
  readonly slots: Slots
  readonly createIndex: () => Index
  readonly controls: Controls
  /** Told of every failure to read; one that trying again cannot mend ends the feed. */
  readonly troubled: (error: unknown) => void
  /** The feed cannot go on: whoever is in it must come back later. */
  readonly ended: () => void
}

/**
 * Follows the tail of every topic, once per process, for all sessions that are up to date. What it has met it keeps for
 * a while, so that a session that was away for a moment can be brought up to it without reading the log.
 */
export class LiveFeed implements AsyncDisposable {
  readonly scan: Scan
  readonly recent: RecentBatches
  readonly times: TailTimes
  readonly #needs: LiveFeedNeeds
  readonly #stop = new AbortController()
  #following: Promise<unknown> = Promise.resolve()

  private constructor(needs: LiveFeedNeeds, from: Vector) {
    this.#needs = needs
    this.scan = new Scan({ slots: needs.slots, vector: from, index: needs.createIndex() })
    this.recent = new RecentBatches(from)
    this.times = new TailTimes(from)
  }

  /** Starts at the end of the log. Rejects with LogError `unavailable`. */
  static async open(needs: LiveFeedNeeds): Promise<LiveFeed> {
    const bounds = await Promise.all(needs.slots.topics.map(({ name }) => needs.log.bounds(name)))
    const feed = new LiveFeed(needs, vectorOf(needs.slots, bounds, 'end'))
    feed.#following = Promise.all(needs.slots.topics.map((topic) => feed.#follow(topic)))
    return feed
  }

  /**
   * Takes in a session that was offered everything below `place`, which is the feed's place, or lies beyond it where
   * another server was faster.
   */
  adopt(session: Session, place: Vector): void {
    session.state = { kind: 'read', live: true }
    this.scan.join(session, place)
  }

  /** First and next offsets of the log now. Rejects with LogError `unavailable`. */
  async range(): Promise<{ start: Vector; end: Vector }> {
    const { slots, log } = this.#needs
    const bounds = await Promise.all(slots.topics.map(({ name }) => log.bounds(name)))
    return { start: vectorOf(slots, bounds, 'start'), end: vectorOf(slots, bounds, 'end') }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#following
  }

  async #follow(topic: Slots['topics'][number]): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      try {
        const offsets = this.#needs.slots.offsets(this.scan.vector, topic)
        const from = { topic: topic.name, epoch: topic.epoch, offsets }
        for await (const batch of this.#needs.log.read(from, signal)) {
          if (batch.epoch !== topic.epoch)
            throw new LogError('out-of-range', `${topic.name} is another log now`)
          await this.#take(batch, signal)
        }
      } catch (error) {
        if (signal.aborted) return
        this.#needs.troubled(error)
        // A mistake of ours in the middle of a batch would offer its first half again with every try.
        if (!(error instanceof LogError && error.retryable)) {
          this.#stop.abort()
          return this.#needs.ended()
        }
        await delay(retryMs, undefined, { signal }).catch(() => {})
      }
    }
  }

  async #take(batch: LogBatch, signal: AbortSignal): Promise<void> {
    const slot = this.#needs.slots.of(batch.topic, batch.partition)
    for (const record of batch.records) {
      if (record.offset < (this.scan.vector[slot] as number) || !this.#needs.controls.isControl(record))
        continue
      const changes = await this.#changesOf(record, signal)
      if (signal.aborted) return
      this.#enter({ slot, batch, end: record.offset + 1, changes })
    }
    if ((this.scan.vector[slot] as number) < batch.nextOffset)
      this.#enter({ slot, batch, end: batch.nextOffset, changes: undefined })
  }

  #enter(entry: RecentBatch): void {
    const { slot, batch, end } = entry
    const first = this.scan.vector[slot] as number
    this.times.add(slot, { first, end, appendedAt: batch.appendedAt })
    takeEntry(this.scan, entry)
    this.recent.add(entry)
  }

  // What a control record announces must be known before anything behind it is matched.
  async #changesOf(record: LogRecord, signal: AbortSignal): Promise<readonly FilterChange[]> {
    for (;;) {
      try {
        return await this.#needs.controls.changesOf(record)
      } catch (error) {
        this.#needs.troubled(new LogError('unavailable', 'the filters cannot be read', { cause: error }))
        await delay(retryMs, undefined, { signal }).catch(() => {})
        if (signal.aborted) return []
      }
    }
  }
}

/** Gives a scan what the feed has met. */
export function takeEntry(scan: Scan, { slot, batch, end, changes }: RecentBatch): void {
  scan.take(batch, changes ? end - 1 : end)
  for (const change of changes ?? []) scan.change(change, slot, end - 1)
  scan.skip(slot, end)
}

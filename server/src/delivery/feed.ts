import type { EventLog } from '@pulse/log'
import { type Controls, LiveFeed } from './live-feed.ts'
import { Replays } from './replays.ts'
import type { DeliveryReport } from './report.ts'
import type { Index } from './scan.ts'
import type { Session } from './session.ts'
import { Slots } from './vector.ts'

/** Without a session the feed is kept this long, so that a page that is loaded anew does not open it anew. */
const idleMs = 30_000

export interface FeedNeeds {
  readonly log: EventLog
  readonly topics: readonly string[]
  readonly createIndex: () => Index
  readonly controls: Controls
  readonly report: DeliveryReport
  /** These sessions cannot go on and must come back; undefined: all that use the feed. */
  readonly lost: (sessions: readonly Session[] | undefined) => void
}

/** The live feed of this process and the replays that lead up to it. */
export interface Feed extends AsyncDisposable {
  readonly slots: Slots
  readonly live: LiveFeed
  readonly replays: Replays
}

/**
 * Opens the feed when the first session needs it and closes it when nobody did for a while: a server without
 * subscribers reads nothing. A feed that fails is forgotten; the next session opens another one.
 */
export class FeedOnDemand implements AsyncDisposable {
  readonly #needs: FeedNeeds
  #feed: Promise<Feed> | undefined
  #users = 0
  #idle: NodeJS.Timeout | undefined

  constructor(needs: FeedNeeds) {
    this.#needs = needs
  }

  /** The feed, for as long as `release` is not called. Rejects with LogError `unavailable`. */
  async acquire(): Promise<Feed> {
    this.#users++
    clearTimeout(this.#idle)
    const feed = this.#feed ?? this.#open()
    this.#feed = feed
    try {
      return await feed
    } catch (error) {
      // Somebody else who waited for it may have opened another one by now.
      if (this.#feed === feed) this.#feed = undefined
      this.release()
      throw error
    }
  }

  release(): void {
    this.#users--
    if (this.#users > 0) return
    this.#idle = setTimeout(() => this.#close(), idleMs)
    this.#idle.unref()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#idle)
    await this.#close()
  }

  async #close(): Promise<void> {
    const feed = this.#feed
    this.#feed = undefined
    await (await feed?.catch(() => undefined))?.[Symbol.asyncDispose]()
  }

  async #open(): Promise<Feed> {
    const { log, topics, createIndex, controls, report, lost } = this.#needs
    const bounds = await Promise.all(topics.map((name) => log.bounds(name)))
    const slots = new Slots(
      bounds.map(({ topic, epoch, partitions }) => ({ name: topic, epoch, partitions: partitions.length })),
    )
    const live = await LiveFeed.open({
      ...{ log, slots, createIndex, controls },
      troubled: (error) => report.troubled(error),
      ended: () => {
        // Forgotten first: who comes back finds another one, with the epochs of now.
        this.#feed = undefined
        lost(undefined)
        Promise.resolve(feed[Symbol.asyncDispose]()).catch((error: unknown) => report.troubled(error))
      },
    })
    const replays = new Replays({
      ...{ log, slots, createIndex, controls, live },
      replayed: (sessions, records, ms) => report.replayed(sessions, records, ms),
      failed: (sessions, error) => {
        report.troubled(error)
        lost(sessions)
      },
    })
    const feed: Feed = {
      ...{ slots, live, replays },
      [Symbol.asyncDispose]: async () => {
        await replays[Symbol.asyncDispose]()
        await live[Symbol.asyncDispose]()
      },
    }
    return feed
  }
}

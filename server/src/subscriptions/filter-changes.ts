import { setTimeout as delay, setImmediate as endOfTurn } from 'node:timers/promises'
import { type AppendOutcome, type EventLog, LogError, type TopicBounds } from '@pulse/log'
import type { Position } from '@pulse/protocol/position'
import { ProblemError } from '../http/problem-error.ts'
import { recordId, recordsOf } from './control-records.ts'
import type { Refusal, WantedChange } from './filter-decision.ts'
import type { FilterRow, FilterStore, OpenAnnouncement } from './filter-store.ts'
import type { SubscriptionsReport } from './report.ts'

const limits = {
  /** Changes that share one transaction and one set of records. */
  groupMax: 200,
  queueMax: 10_000,
  /** How long a change waits until it is known everywhere, before its answer says that this comes later. */
  waitMsMax: 10_000,
  /** An announcement that nobody has tried to make known for so long is taken up by whoever needs it known. */
  helpIdleMs: 500,
  /** The same by a server that only looks whether there are any: their own server may just be slow. */
  sweepIdleMs: 5_000,
  pollMs: 50,
  /** How long the log may be read for the first records of an announcement. */
  searchMsMax: 60_000,
  keptMax: 1_000,
} as const

export interface FilterChangesNeeds {
  readonly store: FilterStore
  readonly log: EventLog
  readonly topics: readonly string[]
  readonly report: SubscriptionsReport
  /** How long a change waits until it is known everywhere; default 10 s. */
  readonly waitMsMax?: number
}

interface Queued {
  readonly wanted: WantedChange
  readonly until: number
  resolve(row: FilterRow): void
  reject(error: unknown): void
}

type Written = readonly { readonly queued: Queued; readonly row: FilterRow }[]

/**
 * Makes changes of filters and makes them known through the log.
 *
 * A group of changes is committed first, then one control record is appended to every partition; the offsets after
 * these records are where the changes take effect. Changes that come meanwhile make up the next group. Between the commit
 * and the last append a process can end: then another one, or the same after its start, appends the records again.
 * They have the same ids, so a log that finds repeats answers with the first positions. In one that does not, the
 * record that was appended first counts, and it is looked for in the log whenever more than one process has tried.
 *
 * A filter is not changed again before its last change is known everywhere: so its records stand in the order of its
 * versions in every partition.
 */
export class FilterChanges implements AsyncDisposable {
  readonly #needs: FilterChangesNeeds
  readonly #queue: Queued[] = []
  readonly #stop = new AbortController()
  /** What is under way beside the groups. */
  readonly #beside = new Set<Promise<void>>()
  #topics: readonly TopicBounds[] = []
  #running: Promise<void> | undefined

  private constructor(needs: FilterChangesNeeds) {
    this.#needs = needs
  }

  /** Rejects with LogError `unavailable`. */
  static async open(needs: FilterChangesNeeds): Promise<FilterChanges> {
    const changes = new FilterChanges(needs)
    await changes.look()
    return changes
  }

  /** The topics as they were when last looked at. */
  get topics(): readonly TopicBounds[] {
    return this.#topics
  }

  /** Asks the log where its topics begin, which life they are in and how many partitions they have. */
  async look(): Promise<void> {
    const { log, topics } = this.#needs
    this.#topics = await Promise.all(topics.map((topic) => log.bounds(topic)))
  }

  /**
   * Makes one change; resolves with the new version when the whole log tells of it. Rejects with ProblemError:
   * `conflict`, `not_found`, `filter_too_wide`, `unavailable` (it is then made, or not, and if it is takes effect later),
   * `overloaded`, `shutting_down`.
   */
  async submit(wanted: WantedChange): Promise<FilterRow> {
    if (this.#stop.signal.aborted)
      throw new ProblemError('shutting_down', 'This server stops.', { retryAfter: 2 })
    if (this.#queue.length >= limits.queueMax)
      throw new ProblemError('overloaded', 'Too many changes of filters wait.', { retryAfter: 5 })
    return new Promise((resolve, reject) => {
      this.#enqueue({
        wanted,
        until: performance.now() + (this.#needs.waitMsMax ?? limits.waitMsMax),
        resolve,
        reject,
      })
    })
  }

  #enqueue(queued: Queued): void {
    this.#queue.push(queued)
    this.#running ??= this.#run()
  }

  async #run(): Promise<void> {
    // Requests that came in one packet are read in one turn of the event loop.
    await endOfTurn()
    while (this.#queue.length > 0) {
      const group = this.#queue.splice(0, limits.groupMax)
      try {
        await this.#make(group)
      } catch (error) {
        this.#needs.report.changesFailed(error)
        for (const { reject } of group) reject(unavailable(error))
      }
    }
    // In the turn of the last look: who comes a moment later must find that nobody is at it.
    this.#running = undefined
  }

  async #make(group: readonly Queued[]): Promise<void> {
    const { store, log } = this.#needs
    const searchedFrom = log.can.dedupe ? null : await this.#ends()
    const { changes, announcement } = await store.change(
      group.map(({ wanted }) => wanted),
      searchedFrom,
    )
    const written = group.flatMap((queued, n) => {
      const change = changes[n]
      if (change?.kind === 'written') return [{ queued, row: change.row }]
      if (change?.kind === 'pending') this.#besides(this.#retry(queued, change.announcement))
      else if (change) queued.reject(problemOf(change.kind, queued.wanted))
      return []
    })
    if (announcement) await this.#makeKnown(announcement, written)
  }

  async #makeKnown(announcement: OpenAnnouncement, written: Written): Promise<void> {
    const startedMs = performance.now()
    try {
      const effective = await this.#announce(announcement, true)
      this.#needs.report.announced(written.length, performance.now() - startedMs)
      settle(written, effective)
    } catch (error) {
      this.#needs.report.announceFailed(error)
      this.#besides(this.#settleLater(announcement.id, written, error))
    }
  }

  async #settleLater(id: string, written: Written, cause: unknown): Promise<void> {
    const until = Math.max(...written.map(({ queued }) => queued.until))
    const known = await this.#untilKnown([id], until)
    const effective = known ? (await this.#needs.store.announced(id))[0]?.effective : undefined
    if (effective) return settle(written, effective)
    for (const { queued } of written)
      queued.reject(unavailable(cause, 'The change is kept and takes effect later.'))
  }

  async #retry(queued: Queued, pending: string): Promise<void> {
    if (await this.#untilKnown([pending], queued.until)) this.#enqueue(queued)
    else queued.reject(unavailable(undefined, 'The change before this one is not known everywhere yet.'))
  }

  #besides(work: Promise<void>): void {
    const done = work.catch(this.#needs.report.changesFailed).finally(() => this.#beside.delete(done))
    this.#beside.add(done)
  }

  /** Waits until the log tells of these announcements, and helps; false if that does not come in time. */
  async known(ids: readonly string[], msMax: number): Promise<boolean> {
    return this.#untilKnown(ids, performance.now() + msMax)
  }

  async #untilKnown(ids: readonly string[], until: number): Promise<boolean> {
    for (;;) {
      const open = await this.#needs.store.open(ids).catch(() => ids)
      if (open.length === 0) return true
      if (performance.now() > until || this.#stop.signal.aborted) return false
      await this.sweep(limits.helpIdleMs, open).catch(this.#needs.report.announceFailed)
      await delay(limits.pollMs, undefined, { signal: this.#stop.signal }).catch(() => {})
    }
  }

  /**
   * Appends the records of announcements that nobody has tried for a while; of these ids if any are given. Returns how
   * many were made known. Rejects with PostgreSQL's error, or LogError.
   */
  async sweep(idleMs: number = limits.sweepIdleMs, ids?: readonly string[]): Promise<number> {
    const claimed = await this.#needs.store.claim(idleMs, ids)
    for (const announcement of claimed) {
      await this.#announce(announcement, false)
      this.#needs.report.swept(announcement.changes.length)
    }
    return claimed.length
  }

  /** Forgets versions that apply to nothing any more that the log holds; returns how many. */
  async prune(): Promise<number> {
    await this.look()
    let forgotten = 0
    for (;;) {
      const kept = await this.#needs.store.kept(limits.keptMax)
      const passed = kept.filter(({ effective }) => isPassed(effective, this.#topics)).map(({ id }) => id)
      if (passed.length > 0) forgotten += await this.#needs.store.pass(passed)
      if (passed.length < limits.keptMax) return forgotten
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#running
    await Promise.all(this.#beside)
  }

  /** Appends the records. `first`: this process wrote the announcement just now, so maybe nobody has tried before. */
  async #announce(announcement: OpenAnnouncement, first: boolean): Promise<readonly Position[]> {
    const { log, store } = this.#needs
    const shapes = this.#topics.map(({ topic, partitions }) => ({
      name: topic,
      partitions: partitions.length,
    }))
    const appended = positionsAfter(await log.append(recordsOf(announcement, shapes)))
    // Another life of a topic has begun: places of the one before mean nothing in it.
    if (
      appended.some(({ topic, epoch }) => this.#topics.find((each) => each.topic === topic)?.epoch !== epoch)
    )
      await this.look()
    if (log.can.dedupe || first) {
      const noted = await store.finish(announcement.id, appended, !log.can.dedupe)
      if (noted) return noted
    }
    const found = await this.#firstOf(announcement, appended)
    const noted = await store.finish(announcement.id, found, false)
    if (!noted) throw new Error(`announcement ${announcement.id} is not in the database`)
    return noted
  }

  /** Where the first records stand, in a log that may hold them twice; those at `appended` are there for certain. */
  async #firstOf(
    announcement: OpenAnnouncement,
    appended: readonly Position[],
  ): Promise<readonly Position[]> {
    return Promise.all(
      appended.map(async (position) => {
        const { topic } = position
        const bounds = await this.#needs.log.bounds(topic)
        const from = announcement.searchedFrom?.find(
          (each) => each.topic === topic && each.epoch === position.epoch,
        )
        const offsets = new Map(
          bounds.partitions.map(({ partition, start }) => [
            partition,
            Math.max(start, from?.offsets.get(partition) ?? start),
          ]),
        )
        return { ...position, offsets: await this.#search(announcement.id, topic, offsets) }
      }),
    )
  }

  async #search(announcement: string, topic: string, from: ReadonlyMap<number, number>) {
    const found = new Map<number, number>()
    const signal = AbortSignal.timeout(limits.searchMsMax)
    for await (const { partition, records } of this.#needs.log.read({ topic, offsets: from }, signal)) {
      const id = recordId({ announcement, topic, partition })
      const record = found.has(partition) ? undefined : records.find(({ value }) => value.includes(id))
      if (record) found.set(partition, record.offset + 1)
      if (found.size === from.size) return found
    }
    throw new LogError('unavailable', `the records of announcement ${announcement} were not read in time`)
  }

  async #ends(): Promise<readonly Position[]> {
    const { log, topics } = this.#needs
    const bounds = await Promise.all(topics.map((topic) => log.bounds(topic)))
    return bounds.map(({ topic, epoch, partitions }) => ({
      topic,
      epoch,
      offsets: new Map(partitions.map(({ partition, end }) => [partition, end])),
    }))
  }
}

function settle(written: Written, effective: readonly Position[]): void {
  for (const { queued, row } of written) queued.resolve({ ...row, effective })
}

/** By topic the offsets after the records. Throws what kept one of them from being appended. */
function positionsAfter(outcomes: readonly AppendOutcome[]): readonly Position[] {
  const topics = new Map<string, { topic: string; epoch: number; offsets: Map<number, number> }>()
  for (const outcome of outcomes) {
    if ('error' in outcome) throw outcome.error
    if (outcome.kind === 'conflict') throw new Error('the id of a control record stands for something else')
    const { topic, epoch, partition, offset } = outcome.position
    const known = topics.get(topic) ?? { topic, epoch, offsets: new Map<number, number>() }
    topics.set(topic, known)
    known.offsets.set(partition, offset + 1)
  }
  return [...topics.values()]
}

/** Whether nothing is left in the log that stands before these positions. A topic that we do not know may hold some. */
function isPassed(effective: readonly Position[], topics: readonly TopicBounds[]): boolean {
  return effective.every(({ topic, epoch, offsets }) => {
    const bounds = topics.find((each) => each.topic === topic)
    if (!bounds) return false
    // The topic's life before this one is gone as a whole.
    if (bounds.epoch !== epoch) return true
    return bounds.partitions.every(({ partition, start }) => (offsets.get(partition) ?? 0) <= start)
  })
}

function problemOf(
  kind: Exclude<Refusal['kind'], 'pending'>,
  { subscriber, name }: WantedChange,
): ProblemError {
  switch (kind) {
    case 'exists':
      return new ProblemError('conflict', `${subscriber} has a filter ${name} already; PUT changes it.`)
    case 'missing':
      return new ProblemError('not_found', 'Filter not found')
    case 'too-many':
      return new ProblemError('conflict', `${subscriber} has as many filters as one subscriber may have.`)
    case 'too-wide':
      return new ProblemError(
        'filter_too_wide',
        'The filter would be asked of every event, and as many such filters as this server allows are there.',
      )
  }
}

const unavailable = (cause: unknown, detail = 'The database or the log does not answer.') =>
  cause instanceof ProblemError ? cause : new ProblemError('unavailable', detail, { retryAfter: 2, cause })

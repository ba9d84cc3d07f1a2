import type { EventLog, LogRecord, TopicBounds } from '@pulse/log'
import type { Position } from '@pulse/protocol/position'
import { unlessAway } from '../database/unless-away.ts'
import { ProblemError } from '../http/problem-error.ts'
import { treeOf } from './condition.ts'
import { announcedIn } from './control-records.ts'
import type { FilterChanges } from './filter-changes.ts'
import type { FilterRow, FilterStore } from './filter-store.ts'
import type { Tree } from './tree.ts'

/** One version of a filter, and which part of the log it applies to. */
export interface FilterVersion {
  readonly name: string
  readonly version: number
  readonly tree: Tree
  /** Next offsets by topic from which on it applies; a topic that is not named is wholly its. Null: so are all. */
  readonly since: readonly Position[] | null
  /** From where on it does not; every topic is named. Null: it is the newest version. */
  readonly until: readonly Position[] | null
  /** Where it was stored, and where it was changed or deleted if it was: by topic, also in a life of the log before this one. */
  readonly stored: readonly Position[]
  readonly ended: readonly Position[] | null
}

/** What a control record says of one filter. */
export interface FilterChange {
  readonly subscriber: string
  readonly name: string
  readonly version: number
  /** Undefined: it was deleted. */
  readonly filter: Tree | undefined
}

const limits = {
  /** How long whoever asks for a subscriber's filters waits for one that is being made known. */
  waitMsMax: 5_000,
  /** Announcements whose changes are remembered: their records come one after the other, in every partition. */
  rememberedMax: 100,
} as const

interface Needs {
  readonly store: FilterStore
  readonly changes: FilterChanges
  readonly can: EventLog['can']
}

/** Questions for the versions of one subscriber that go to the database together. */
interface Asked {
  readonly subscribers: Set<string>
  readonly rows: Promise<ReadonlyMap<string, readonly FilterRow[]>>
}

/** Reads versions of filters for those who match events: all of a subscriber, and those that a control record announces. */
export class FilterVersions {
  readonly #needs: Needs
  readonly #remembered = new Map<string, Promise<readonly FilterRow[]>>()
  #asking: Promise<unknown> = Promise.resolve()
  #next: Asked | undefined

  constructor(needs: Needs) {
    this.#needs = needs
  }

  /**
   * Every version of a subscriber's filters that may still apply somewhere in the log, among them all whose control
   * record stands below any place that was taken from the log before the call. Waits up to 5 s for one that is being
   * made known. Throws ProblemError `unavailable` if that takes longer, or the database is away.
   */
  async of(subscriber: string): Promise<readonly FilterVersion[]> {
    const { changes } = this.#needs
    let rows = await this.#rows(subscriber)
    const open = [...new Set(rows.flatMap((row) => (row.effective ? [] : [row.announcement])))]
    if (open.length > 0) {
      if (!(await changes.known(open, limits.waitMsMax)))
        throw new ProblemError('unavailable', `A filter of ${subscriber} is still being made known.`, {
          retryAfter: 2,
        })
      rows = await this.#rows(subscriber)
    }
    // What is open now was not there when we were asked, so its records stand beyond the asker's place.
    const known = rows.filter(({ effective }) => effective !== null)
    return versionsOf(known, changes.topics)
  }

  /** The changes that a record announces, in their order; none for a repeat of an earlier record. */
  async announcedBy(record: LogRecord): Promise<readonly FilterChange[]> {
    const announced = announcedIn(record)
    if (!announced) return []
    const rows = await this.#announced(announced.announcement)
    if (!this.#needs.can.dedupe && isRepeat(rows[0], announced, record.offset)) return []
    return rows.map(({ subscriber, name, version, condition }) => ({
      subscriber,
      name,
      version,
      filter: condition === null ? undefined : treeOf(condition),
    }))
  }

  // Where a record may come twice, what is known of its announcement may have changed since it was read.
  #announced(announcement: string): Promise<readonly FilterRow[]> {
    if (!this.#needs.can.dedupe) return this.#needs.store.announced(announcement)
    const known = this.#remembered.get(announcement)
    if (known) return known
    const rows = this.#needs.store.announced(announcement)
    this.#remembered.set(announcement, rows)
    rows.catch(() => this.#remembered.delete(announcement))
    const oldest = this.#remembered.keys().next().value
    if (oldest !== undefined && this.#remembered.size > limits.rememberedMax) this.#remembered.delete(oldest)
    return rows
  }

  // When thousands come back at once, those who ask while a question is under way share the next one.
  async #rows(subscriber: string): Promise<readonly FilterRow[]> {
    this.#next ??= this.#ask()
    this.#next.subscribers.add(subscriber)
    return (await this.#next.rows).get(subscriber) ?? []
  }

  #ask(): Asked {
    const subscribers = new Set<string>()
    const rows = this.#asking.then(async () => {
      this.#next = undefined
      const found = await unlessAway(this.#needs.store.versions([...subscribers]))
      return Map.groupBy(found, (row) => row.subscriber)
    })
    this.#asking = rows.catch(() => {})
    return { subscribers, rows }
  }
}

/** A record that was appended again stands behind the place from which its changes apply. */
function isRepeat(
  row: FilterRow | undefined,
  { topic, partition }: { topic: string; partition: number },
  offset: number,
): boolean {
  const effective = row?.effective?.find((each) => each.topic === topic)
  return effective !== undefined && offset >= (effective.offsets.get(partition) ?? Number.POSITIVE_INFINITY)
}

/**
 * Which part of the log each version applies to: from its own change to that of the next version of its filter. Rows
 * are sorted by name and version, and what they change is known everywhere. A place in an earlier life of a topic is before all of it.
 */
export function versionsOf(rows: readonly FilterRow[], topics: readonly TopicBounds[]): FilterVersion[] {
  return rows.flatMap((row, n) => {
    const next = rows[n + 1]?.name === row.name ? rows[n + 1] : undefined
    if (row.condition === null || next?.passed) return []
    const { name, version } = row
    const stored = row.effective ?? []
    const ended = next ? (next.effective ?? []) : null
    const since = row.passed ? null : sinceOf(stored, topics)
    const until = ended && untilOf(ended, topics)
    return [{ name, version, tree: treeOf(row.condition), since, until, stored, ended }]
  })
}

function sinceOf(effective: readonly Position[], topics: readonly TopicBounds[]): readonly Position[] | null {
  const now = effective.filter((position) =>
    topics.some(({ topic, epoch }) => topic === position.topic && epoch === position.epoch),
  )
  return now.length === 0 ? null : now
}

function untilOf(effective: readonly Position[], topics: readonly TopicBounds[]): readonly Position[] {
  return topics.map(({ topic, epoch, partitions }) => {
    const known = effective.find((position) => position.topic === topic && position.epoch === epoch)
    return known ?? { topic, epoch, offsets: new Map(partitions.map(({ partition }) => [partition, 0])) }
  })
}

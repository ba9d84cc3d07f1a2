import { type EventLog, LogError, type LogRecord } from '@pulse/log'
import { isControl } from '@pulse/log/control-record'
import { OneAtATime } from '@pulse/log/one-at-a-time'
import type { Event } from '@pulse/protocol/event'
import { formatEventPosition } from '@pulse/protocol/position'
import { ProblemError } from '../http/problem-error.ts'
import { needlesOf } from './clauses.ts'
import { matches } from './matches.ts'
import type { Tree } from './tree.ts'

const defaults = {
  msMax: 5_000,
  recordsMax: 200_000,
  /** Records of one partition that are read at a time, the newest first. */
  stepRecords: 5_000,
  /** Trials are run one at a time; so many may wait. */
  waitingMax: 3,
}

export interface TrialNeeds {
  readonly log: EventLog
  readonly topics: readonly string[]
  /** Limits other than those of the product. */
  readonly limits?: Partial<typeof defaults>
}

/** What to look for, and where. Times are microseconds since 1970, by the log's clock. */
export interface Trial {
  readonly tree: Tree
  readonly from: number
  readonly to: number
  /** Only events of these types; undefined: of any. */
  readonly eventTypes: ReadonlySet<string> | undefined
  readonly sampleMax: number
}

/** An event that would have matched. */
export interface Found {
  readonly event: Event
  readonly position: string
  /** Microseconds since 1970. */
  readonly receivedAt: number
}

/** What a filter would have found. */
export interface TrialResult {
  readonly matched: number
  /** The newest of them, newest first. */
  readonly sample: readonly Found[]
  /** Records that were looked at. */
  readonly records: number
  /**
   * From where on everything was looked at, at the earliest the first event that there is, and why that is not all; `log`:
   * a part of it cannot be read.
   */
  readonly lookedFrom: number
  readonly stoppedBy: 'time' | 'records' | 'log' | null
  /** Length of what was looked at; it begins with the first event if the log does not reach back further. */
  readonly spanMicros: number
}

/** How far one partition is looked at: from `low` to `high`, backwards. */
interface Stretch {
  readonly topic: string
  readonly epoch: number
  readonly partition: number
  readonly low: number
  high: number
  readable: boolean
  /** When the oldest record that was looked at was appended. */
  at: number
}

/** Runs filters over what the log holds of the recent past, the newest first, within bounds of time and records. */
export class FilterTrials {
  readonly #needs: TrialNeeds
  readonly #limits: typeof defaults
  readonly #turns = new OneAtATime()
  #waiting = 0

  constructor(needs: TrialNeeds) {
    this.#needs = needs
    this.#limits = { ...defaults, ...needs.limits }
  }

  /** Throws ProblemError `query_timeout` if too many wait, `unavailable` if the log does not answer. */
  async run(trial: Trial): Promise<TrialResult> {
    if (this.#waiting > this.#limits.waitingMax)
      throw new ProblemError('query_timeout', 'Other filters are being tried.', { retryAfter: 5 })
    this.#waiting++
    try {
      return await this.#turns.run(() => this.#run(trial))
    } catch (cause) {
      if (!(cause instanceof LogError)) throw cause
      throw new ProblemError('unavailable', 'The log does not answer.', { retryAfter: 2, cause })
    } finally {
      this.#waiting--
    }
  }

  async #run(trial: Trial): Promise<TrialResult> {
    const signal = AbortSignal.timeout(this.#limits.msMax)
    const { stretches, reachesBack } = await this.#stretches(trial)
    const tally = new Tally(trial)
    let stoppedBy: TrialResult['stoppedBy'] = null
    for (;;) {
      // The one that was looked at least far back, so that all come back together.
      const next = stretches.filter(isOpen).sort((a, b) => b.at - a.at)[0]
      if (!next) break
      if (signal.aborted) stoppedBy = 'time'
      else if (tally.records >= this.#limits.recordsMax) stoppedBy = 'records'
      else await this.#step(next, tally, signal)
      if (stoppedBy) break
    }
    const open = stretches.filter(({ low, high }) => low < high)
    if (open.some(({ readable }) => !readable)) stoppedBy ??= 'log'
    const lookedFrom = Math.min(trial.to, Math.max(trial.from, ...open.map(({ at }) => at)))
    const begin = open.length > 0 || reachesBack ? lookedFrom : Math.min(tally.oldest, trial.to)
    return {
      ...{ matched: tally.matched, sample: tally.sample(), records: tally.records },
      ...{ lookedFrom: tally.records > 0 ? begin : lookedFrom, stoppedBy, spanMicros: trial.to - begin },
    }
  }

  /** The parts of the log that lie in the time asked for, and whether it has older events as well. */
  async #stretches({ from, to }: Trial): Promise<{ stretches: Stretch[]; reachesBack: boolean }> {
    const { log, topics } = this.#needs
    const stretches: Stretch[] = []
    let reachesBack = false
    for (const topic of topics) {
      const lows = await log.bounds(topic, from)
      const highs = await log.bounds(topic, to)
      for (const { partition, start, since: low } of lows.partitions) {
        const high = Math.max(low, highs.partitions[partition]?.since ?? low)
        stretches.push({ topic, epoch: lows.epoch, partition, low, high, at: to, readable: true })
        reachesBack ||= low > start
      }
    }
    return { stretches, reachesBack }
  }

  /** Looks at the newest records of a stretch. What could not be read to its end is as if it had not been read. */
  async #step(stretch: Stretch, tally: Tally, signal: AbortSignal): Promise<void> {
    const { topic, partition, high } = stretch
    const from = Math.max(stretch.low, high - this.#limits.stepRecords)
    const records: LogRecord[] = []
    let at = stretch.at
    const offsets = new Map([[partition, from]])
    try {
      for await (const batch of this.#needs.log.read({ topic, offsets }, signal)) {
        at = Math.min(at, batch.appendedAt)
        for (const record of batch.records) if (record.offset < high) records.push(record)
        if (batch.nextOffset >= high) break
      }
    } catch (error) {
      // Trimmed meanwhile, or damaged: what can be read is looked at, and the answer says how far that was.
      if (!(error instanceof LogError) || error.retryable) throw error
      stretch.readable = false
      return
    }
    if ((records.at(-1)?.offset ?? -1) !== high - 1) return
    for (const record of records) tally.look(record, stretch)
    tally.oldest = Math.min(tally.oldest, at)
    stretch.high = from
    stretch.at = at
  }
}

const isOpen = ({ low, high, readable }: Stretch) => readable && low < high

/** Others may write to a topic of Kafka what is no event. */
function eventOf(record: LogRecord): Event | undefined {
  try {
    return typeof record.event.event_type === 'string' ? record.event : undefined
  } catch {
    return undefined
  }
}

/** What was found so far. */
class Tally {
  matched = 0
  records = 0
  /** When the oldest of all that was looked at was appended. */
  oldest = Number.POSITIVE_INFINITY
  readonly #trial: Trial
  /** Strings one of which stands in the text of every event that matches; a text with none of them is not parsed. */
  readonly #needles: readonly string[] | undefined
  #newest: Found[] = []

  constructor(trial: Trial) {
    this.#trial = trial
    this.#needles = needlesOf(trial.tree)
  }

  look(record: LogRecord, { epoch, topic, partition }: Stretch): void {
    if (isControl(record)) return
    this.records++
    if (this.#needles && !this.#needles.some((needle) => record.value.includes(needle))) return
    const { receivedAt, offset } = record
    const event = eventOf(record)
    if (!event) return
    if (this.#trial.eventTypes?.has(event.event_type) === false || !matches(this.#trial.tree, event)) return
    this.matched++
    this.#newest.push({ event, receivedAt, position: formatEventPosition(epoch, topic, partition, offset) })
    if (this.#newest.length > this.#trial.sampleMax * 2 + 100) this.#newest = this.sample()
  }

  sample(): Found[] {
    return this.#newest.sort((a, b) => b.receivedAt - a.receivedAt).slice(0, this.#trial.sampleMax)
  }
}

import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { answered } from '@pulse/log/answered'
import pg from 'pg'
import { databaseSql } from './name-set.ts'

export const leaseLimits = {
  /** How long a process may answer from memory after it began to send a beat that was taken. */
  validMs: 2_000,
  /** How long the beat of another process must stand still before it counts as gone: longer than its lease, by our clock. */
  goneMs: 2_300,
  beatMs: 500,
  /** Beats are brought forward when something was applied and somebody may wait for it, but not more often than this. */
  hurryMs: 10,
  answerMsMax: 1_500,
  /** Who stays behind the others for so long leaves, so that claims do not wait for it. */
  behindMsMax: 1_500,
  /** And comes back no sooner than this. */
  awayMs: 1_000,
  /** A row of a process that has been gone for so long is removed. */
  forgetMs: 60_000,
  /** A claim that other processes hold up for so long is not acknowledged. */
  everyoneMsMax: 8_000,
} as const

/** A place in the topic of hashes. Offsets of different epochs say nothing to each other. */
export interface HashPlace {
  readonly epoch: number
  readonly offset: number
}

const nowhere: HashPlace = { epoch: Number.NaN, offset: Number.POSITIVE_INFINITY }

interface LeaseRow {
  readonly process: string
  readonly epoch: string
  readonly applied: string
  readonly beat: string
}

interface LeaseNeeds {
  readonly connection: () => pg.ClientConfig
  /** Place below which every hash is in our filter. */
  readonly applied: () => HashPlace
  /** The end of the topic of hashes now. */
  readonly end: () => Promise<HashPlace>
  /** Whether the filter is there and follows the topic; while not, there is nothing to hold a lease for. */
  readonly follows: () => boolean
  readonly changed: (holds: boolean) => void
  /** The profile that makes our keys: while the names are bound to another one no lease is to be had. */
  readonly profile: string
  /** Somebody who is there has the topic in another epoch. */
  readonly heard: () => void
  /** Which database this is, asked with each connection. */
  readonly connected: (database: string) => void
}

/** What we saw of another process. */
interface Other {
  readonly beat: string
  readonly epoch: number
  readonly applied: number
  /** When we first saw this beat, by our monotonic clock. */
  readonly since: number
  /** For how long it surely stood still: until we began to look last. */
  readonly stoodMs: number
}

/** Two clocks, because each can stand still or jump: the monotonic one while a machine sleeps, the other when it is set. */
const clocks = () => ({ monotonic: performance.now(), wall: Date.now() })

/**
 * The right to answer "free" without asking the database. A process inserts a row, applies every hash that the topic holds
 * after that, and from then on raises its beat twice a second with the offset that it has applied. A claim is acknowledged
 * when every row has the offset of its hash, or its beat has stood still for longer than a lease lasts.
 *
 * | state | row | may answer | on |
 * |---|---|---|---|
 * | outside | none | no | follows -> joining |
 * | joining | holds up claims | no | applied what was there after the insert -> inside |
 * | inside | holds up claims | for 2 s from when a beat that was taken was begun | row gone, lease run out, too far behind -> outside |
 *
 * No clock of the database takes part: the holder counts from before it sent the beat, the claimant from when it first saw
 * it, which is later.
 */
export class Lease {
  readonly #needs: LeaseNeeds
  readonly #process = randomUUID()
  readonly #others = new Map<string, Other>()
  #client: pg.Client | undefined
  #state: 'outside' | 'joining' | 'inside' = 'outside'
  /** The end of the topic when our row was there. */
  #joined = nowhere
  /** What others believe that we have applied. */
  #published = nowhere
  #behindSince: number | undefined
  #awayUntil = Number.NEGATIVE_INFINITY
  #begun = { monotonic: Number.NEGATIVE_INFINITY, wall: Number.NEGATIVE_INFINITY }
  #beating: Promise<void> | undefined
  #next: Promise<void> | undefined
  #closed = new AbortController()
  #loop: Promise<void> | undefined
  #wake: (() => void) | undefined
  #told = false

  constructor(needs: LeaseNeeds) {
    this.#needs = needs
  }

  /** Begins to beat. */
  start(): void {
    this.#loop = this.#run()
  }

  /** Whether "free" may be answered from memory at this instant. */
  holds(): boolean {
    if (this.#state !== 'inside' || !isFresh(this.#begun)) return false
    // A filter that was loaded anew may be older than what others believe of it.
    const { epoch, offset } = this.#needs.applied()
    return epoch === this.#published.epoch && offset >= this.#published.offset
  }

  /** Other processes whose beat has not stood still for too long. */
  get others(): number {
    return [...this.#others.values()].filter((other) => !isGone(other)).length
  }

  /** The offset that others who are there have applied, and that we should have. */
  get wanted(): number {
    const { epoch } = this.#needs.applied()
    const has = (other: Other) => (other.epoch === epoch && !isGone(other) ? other.applied : 0)
    return Math.max(0, ...[...this.#others.values()].map(has))
  }

  /** Something was applied: whoever waits for it should hear soon. */
  moved(): void {
    if (this.#others.size > 0 || this.#state !== 'inside') this.#wake?.()
  }

  /**
   * Waits until every process that may answer "free" has applied what lies below the offset. Call it after the commit. False if it
   * took too long; rejects with the database's error.
   */
  async everyoneHas(place: HashPlace): Promise<boolean> {
    const deadline = performance.now() + leaseLimits.everyoneMsMax
    const has = ({ epoch, applied }: Other) => epoch === place.epoch && applied >= place.offset
    for (;;) {
      // Begun after the commit, so that it sees every process that may have missed the hash.
      await answered(this.#look(), Math.max(1, deadline - performance.now()))
      if ([...this.#others.values()].every((other) => has(other) || isGone(other))) return true
      if (performance.now() > deadline || this.#closed.signal.aborted) return false
      await delay(leaseLimits.hurryMs)
    }
  }

  async close(): Promise<void> {
    this.#closed.abort()
    this.#wake?.()
    await this.#loop
    await this.#leave()
    await this.#client?.end().catch(() => {})
  }

  async #run(): Promise<void> {
    while (!this.#closed.signal.aborted) {
      const hasLooked = await this.#look().then(
        () => true,
        () => false,
      )
      this.#tell()
      await this.#pause(hasLooked)
    }
  }

  async #pause(hasLooked: boolean): Promise<void> {
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    const ended = new AbortController()
    const mayJoin = hasLooked && this.#needs.follows() && performance.now() > this.#awayUntil
    const waitMs = this.#state === 'inside' || !mayJoin ? leaseLimits.beatMs : leaseLimits.hurryMs
    const waited = delay(waitMs, undefined, { signal: ended.signal }).catch(() => {})
    await Promise.race([woken, waited])
    ended.abort()
    this.#wake = undefined
    await delay(leaseLimits.hurryMs)
  }

  /** A beat that begins after this call; callers share it. */
  #look(): Promise<void> {
    if (!this.#beating) {
      this.#beating = this.#beat().finally(() => {
        this.#beating = undefined
      })
      return this.#beating
    }
    this.#next ??= this.#beating
      .catch(() => {})
      .then(() => {
        this.#next = undefined
        return this.#look()
      })
    return this.#next
  }

  async #beat(): Promise<void> {
    // One that cannot follow lets its lease run out: what it has applied is true until then. It looks all the same.
    const follows = this.#needs.follows()
    if (follows) await this.#keepPlace()
    const begun = clocks()
    const { epoch, offset } = this.#needs.applied()
    const rows = await this.#ask<LeaseRow>(
      `with mine as (update name_leases set beat = beat + 1, epoch = $2, applied = $3
         where process = $1 and $4 and exists (select 1 from name_set where profile = $5) returning process)
       select process, epoch, applied, beat from name_leases where process <> $1
       union all select process, '0', '0', '0' from mine`,
      [this.#process, epoch, offset, follows && this.#state !== 'outside', this.#needs.profile],
    )
    this.#see(rows, begun.monotonic)
    if (!follows || this.#state === 'outside') return
    // Somebody took us for gone, or may have: then claims were acknowledged that we have not heard of.
    if (!rows.some((row) => row.process === this.#process) || !isFresh(this.#begun)) this.#forgetPlace()
    else {
      this.#begun = begun
      this.#published = { epoch, offset }
      // As far as others too: a log may have told us an end that it had a moment ago.
      if (this.#state === 'joining' && this.#hasReached(this.wanted)) this.#state = 'inside'
    }
  }

  /** Leaves where it is too late or the log is another one, and joins where it may. */
  async #keepPlace(): Promise<void> {
    const { epoch } = this.#needs.applied()
    const isOther = this.#state === 'inside' && this.#published.epoch !== epoch
    if (this.#state !== 'outside' && (isOther || this.#isLate())) await this.#leave()
    if (this.#state === 'outside' && performance.now() > this.#awayUntil) await this.#join()
  }

  #forgetPlace(): void {
    this.#state = 'outside'
    this.#joined = nowhere
    this.#published = nowhere
    this.#behindSince = undefined
  }

  /** Whether we have not come to where others are, or to where we have to be before we answer, for too long. */
  #isLate(): boolean {
    if (this.#hasReached(this.wanted)) this.#behindSince = undefined
    else this.#behindSince ??= performance.now()
    return performance.now() - (this.#behindSince ?? Number.POSITIVE_INFINITY) > leaseLimits.behindMsMax
  }

  /** Whether we have applied what lies below the offset, and what was there when we joined. */
  #hasReached(wanted: number): boolean {
    const { epoch, offset } = this.#needs.applied()
    if (offset < wanted) return false
    return this.#state === 'inside' || (epoch === this.#joined.epoch && offset >= this.#joined.offset)
  }

  async #join(): Promise<void> {
    this.#forgetPlace()
    const begun = clocks()
    // Durable, unlike the beats: a database that comes back from a crash must still know who answers from memory.
    await this.#ask('begin', [])
    await this.#ask('set local synchronous_commit = on', [])
    // A row of ours from before may count as gone: the new beat tells that claims have to wait for us again.
    const ours = await this.#ask(
      `insert into name_leases (process, epoch, applied) select $1, 0, -1 from name_set where profile = $2
       on conflict (process) do update set beat = name_leases.beat + 1 returning process`,
      [this.#process, this.#needs.profile],
    )
    await this.#ask('commit', [])
    if (ours.length === 0) return this.#leave()
    try {
      // Only now, so that it covers every claim that has not waited for this row.
      this.#joined = await answered(this.#needs.end(), leaseLimits.answerMsMax)
    } catch (error) {
      // Where the log is away for us alone, the row would hold up the claims of others.
      await this.#leave()
      throw error
    }
    this.#begun = begun
    this.#state = 'joining'
  }

  async #leave(): Promise<void> {
    this.#forgetPlace()
    this.#awayUntil = performance.now() + leaseLimits.awayMs
    await this.#ask('delete from name_leases where process = $1', [this.#process]).catch(() => {})
  }

  #see(rows: readonly LeaseRow[], begun: number): void {
    const now = performance.now()
    const seen = new Set<string>()
    for (const { process, epoch, applied, beat } of rows) {
      if (process === this.#process) continue
      seen.add(process)
      const before = this.#others.get(process)
      const since = before?.beat === beat ? before.since : now
      const stoodMs = begun - since
      this.#others.set(process, { beat, epoch: Number(epoch), applied: Number(applied), since, stoodMs })
      if (stoodMs > leaseLimits.forgetMs) this.#forget(process, beat)
    }
    const { epoch } = this.#needs.applied()
    // A row that is just joining has none.
    const isElsewhere = (other: Other) => other.epoch !== 0 && other.epoch !== epoch && !isGone(other)
    if ([...this.#others.values()].some(isElsewhere)) this.#needs.heard()
    for (const process of this.#others.keys()) if (!seen.has(process)) this.#others.delete(process)
  }

  #forget(process: string, beat: string): void {
    this.#ask('delete from name_leases where process = $1 and beat = $2', [process, beat]).catch(() => {})
  }

  async #ask<Row extends pg.QueryResultRow>(
    text: string,
    values: readonly unknown[],
  ): Promise<readonly Row[]> {
    const client = await this.#connected()
    try {
      return (await answered(client.query<Row>(text, [...values]), leaseLimits.answerMsMax)).rows
    } catch (error) {
      if (this.#client === client) this.#client = undefined
      client.end().catch(() => {})
      throw error
    }
  }

  async #connected(): Promise<pg.Client> {
    if (this.#client) return this.#client
    const client = new pg.Client({
      ...this.#needs.connection(),
      connectionTimeoutMillis: leaseLimits.answerMsMax,
    })
    client.on('error', () => {})
    client.on('end', () => {
      if (this.#client === client) this.#client = undefined
    })
    try {
      await client.connect()
      await answered(client.query('set synchronous_commit = off'), leaseLimits.answerMsMax)
      const asked = client.query<{ database: string }>(`select ${databaseSql} as database`)
      const { rows } = await answered(asked, leaseLimits.answerMsMax)
      if (rows[0]) this.#needs.connected(rows[0].database)
    } catch (error) {
      client.end().catch(() => {})
      throw error
    }
    this.#client = client
    return client
  }

  #tell(): void {
    const holds = this.holds()
    if (holds === this.#told) return
    this.#told = holds
    this.#needs.changed(holds)
  }
}

const isGone = (other: Other) => other.stoodMs > leaseLimits.goneMs

function isFresh(begun: ReturnType<typeof clocks>): boolean {
  const now = clocks()
  return now.monotonic - begun.monotonic < leaseLimits.validMs && now.wall - begun.wall < leaseLimits.validMs
}

import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { answered } from './answered.ts'
import { type EventLog, type LogBatch, LogError } from './log.ts'
import { OneAtATime } from './one-at-a-time.ts'
import { asLogError, type Connection, connect, drop } from './postgres/connection.ts'

const limits = {
  /** A partition of a silent member is taken over after this; a member whose session ended loses it at once. */
  leaseMs: 6_000,
  heartbeatMs: 2_000,
  /** Pause before work on a partition that failed is taken up again; it doubles with each failure in a row. */
  retryMs: 250,
  retryMsMax: 8_000,
  stoppedRetryMs: 30_000,
  answerMsMax: 10_000,
} as const

/** What became of the offsets that a commit passes: their sum must be the number of offsets. */
export interface Verdicts {
  readonly processed?: number
  readonly repeated?: number
  readonly dead?: number
  readonly parked?: number
  readonly dropped?: number
  readonly control?: number
}

/** A partition that this member owns until its signal aborts. */
export interface HeldPartition {
  readonly topic: string
  readonly partition: number
  /** First offset without a verdict. */
  readonly nextOffset: number
  /** False if the owner before ended without letting go: it may have crashed on an event. */
  readonly clean: boolean
  /** The offset that an owner had marked when it crashed, and how often that happened. */
  readonly trying: number | undefined
  readonly crashes: number
  /** Aborts when the partition must be given up. Finish what is in hand (its commit is fenced), then return. */
  readonly signal: AbortSignal
  /** Batches from `nextOffset` on; ends when the signal aborts, which is that of the partition unless told otherwise. */
  batches(signal?: AbortSignal): AsyncIterable<LogBatch>
  /**
   * Moves the stored offset inside the caller's transaction, which also holds what the events produced.
   * Throws LogError `fenced` if another member owns the partition by now: the transaction must roll back.
   */
  commit(tx: pg.ClientBase, next: number, verdicts: Verdicts): Promise<void>
  /** To be called after the transaction of `commit` has ended well. */
  committed(next: number): void
  /**
   * Commits, by itself, that the event at this offset is being tried, so that a crash of this process can be put
   * down to it. The mark survives the process, not a power loss, which blames nobody. Undefined takes it away.
   */
  mark(offset: number | undefined): Promise<void>
  /**
   * Locks the right to write for this partition until the transaction ends, without moving the offset.
   * Throws LogError `fenced` like `commit`.
   */
  fence(tx: pg.ClientBase): Promise<void>
}

export interface GroupOptions {
  readonly name: string
  readonly log: EventLog
  readonly connection: Connection
  readonly topics: readonly string[]
  /** Where a group that was never here starts; default `start`. */
  readonly from?: 'start' | 'end'
  /** Does the work on one partition; returning early or throwing (not `fenced`) is taken up again after a pause. */
  readonly work: (held: HeldPartition) => Promise<void>
  /** Told of every failure, and of partitions that are stopped because their offset is not in the log. */
  readonly troubled?: (error: LogError, place?: { topic: string; partition: number }) => void
  readonly leaseMs?: number
  readonly heartbeatMs?: number
}

/** A running member of a group. */
export interface Group extends AsyncDisposable {
  readonly member: string
  /** The partitions held now. */
  held(): { topic: string; partition: number }[]
  /** Partitions that are stopped, with the reason. */
  stopped(): { topic: string; partition: number; reason: string }[]
}

/**
 * Joins a group of readers of one log. Partitions are shared evenly among the living members; one that stops
 * answering loses its partitions within `leaseMs` plus a heartbeat. Taking over raises the partition's epoch, and
 * every commit names the epoch it was taken with, so a member that only seemed dead cannot move the offset.
 * Offsets live in PostgreSQL whatever the log's driver, in the transaction of what they stand for.
 * Throws LogError `unavailable` or `unknown-topic`.
 */
export async function joinGroup(options: GroupOptions): Promise<Group> {
  const group = new GroupMember(options)
  try {
    await group.open()
    return group
  } catch (error) {
    await group[Symbol.asyncDispose]()
    throw asLogError(error)
  }
}

/** One query on the member's connection. */
type Ask = <Row extends pg.QueryResultRow>(
  text: string,
  values: readonly unknown[],
) => Promise<pg.QueryResult<Row>>

interface TakenRow {
  readonly topic: string
  readonly partition: number
  readonly log_epoch: string
  readonly next_offset: string
  readonly epoch: string
  readonly was_clean: boolean
  readonly trying: string | null
  readonly crashes: number
}

const lockKey = (member: string) => `hashtextextended('pulse.member.' || ${member}, 0)`

/** True in SQL if row `l` of pg_locks is the advisory lock of the member. */
const isLockOf = (member: string) => `l.locktype = 'advisory' and l.objsubid = 1 and l.granted
    and l.database = (select oid from pg_database where datname = current_database())
    and ((l.classid::int8 << 32) | l.objid::int8) = ${lockKey(member)}`

/** True in SQL if the session that holds the owner's advisory lock is alive. */
const ownerAlive = `exists (select 1 from pg_locks l where ${isLockOf('p.owner::text')})`

class GroupMember implements Group {
  readonly member = randomUUID()
  readonly #options: GroupOptions
  readonly #held = new Map<string, Holding>()
  readonly #stopped = new Map<string, { topic: string; partition: number; reason: string; until: number }>()
  readonly #leaseMs: number
  readonly #turns = new OneAtATime()
  #client: pg.Client | undefined
  #timer: NodeJS.Timeout | undefined
  #beating: Promise<void> | undefined
  #renewedAt = 0
  #closed = false

  constructor(options: GroupOptions) {
    this.#options = options
    this.#leaseMs = options.leaseMs ?? limits.leaseMs
  }

  held(): { topic: string; partition: number }[] {
    return [...this.#held.values()].map(({ topic, partition }) => ({ topic, partition }))
  }

  stopped(): { topic: string; partition: number; reason: string }[] {
    return [...this.#stopped.values()].map(({ topic, partition, reason }) => ({ topic, partition, reason }))
  }

  async open(): Promise<void> {
    await this.#createRows()
    await this.#heartbeat()
    const every = this.#options.heartbeatMs ?? limits.heartbeatMs
    this.#timer = setInterval(() => {
      this.#beating ??= this.#beat().finally(() => {
        this.#beating = undefined
      })
    }, every)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#timer)
    await this.#beating
    await Promise.all([...this.#held.values()].map((holding) => this.#release(holding)))
    await this.#client
      ?.query('delete from log_group_members where group_name = $1 and member = $2', [
        this.#options.name,
        this.member,
      ])
      .catch(() => {})
    await this.#client?.end().catch(() => {})
  }

  /** Everything that a member asks of its own connection goes through here, one query at a time. */
  readonly #ask: Ask = (text, values) =>
    this.#turns.run(async () => {
      const client = await this.#connected()
      return answered(client.query(text, [...values]), limits.answerMsMax).catch((error: unknown) => {
        if (error instanceof LogError) this.#lose(client)
        throw error
      })
    })

  async #connected(): Promise<pg.Client> {
    if (this.#client) return this.#client
    const client = await connect(this.#options.connection, `pulse group ${this.#options.name}`)
    client.on('end', () => {
      if (this.#client === client) this.#client = undefined
    })
    try {
      await answered(this.#enter(client), limits.answerMsMax)
    } catch (error) {
      drop(client)
      throw error
    }
    this.#client = client
    return client
  }

  async #enter(client: pg.Client): Promise<void> {
    // Membership and marks are hints that a lost machine takes with it; what must last is committed by its own writer.
    await client.query('set synchronous_commit = off')
    // Behind a cut cable the session before may live on for hours, and it holds the lock.
    await client.query(
      `select pg_terminate_backend(l.pid, 1000) from pg_locks l
       where ${isLockOf('$1::text')} and l.pid <> pg_backend_pid()`,
      [this.member],
    )
    await client.query(`select pg_advisory_lock(${lockKey('$1::text')})`, [this.member])
  }

  #lose(client: pg.Client): void {
    if (this.#client === client) this.#client = undefined
    drop(client)
  }

  async #createRows(): Promise<void> {
    for (const topic of this.#options.topics) {
      const { epoch, partitions } = await this.#options.log.bounds(topic)
      for (const { partition, start, end } of partitions)
        await this.#ask(
          `insert into log_group_partitions (group_name, topic, partition, log_epoch, first_offset, next_offset)
           values ($1, $2, $3, $4, $5, $5) on conflict do nothing`,
          [this.#options.name, topic, partition, epoch, this.#options.from === 'end' ? end : start],
        )
    }
  }

  async #beat(): Promise<void> {
    try {
      await this.#heartbeat()
    } catch (error) {
      this.#options.troubled?.(asLogError(error))
      if (this.#client) drop(this.#client)
      this.#client = undefined
      // Others may own these partitions by now. Commits are fenced; stopping here only saves the work.
      if (performance.now() - this.#renewedAt > this.#leaseMs)
        for (const holding of this.#held.values()) holding.abort.abort()
    }
  }

  async #heartbeat(): Promise<void> {
    const { name } = this.#options
    await this.#ask(
      `insert into log_group_members (group_name, member) values ($1, $2)
       on conflict (group_name, member) do update set seen_at = now()`,
      [name, this.member],
    )
    await this.#renew()
    const share = await this.#share()
    // Not waited for: work that takes long to end must not keep the leases of the others from being renewed.
    for (const holding of [...this.#held.values()].slice(share)) void this.#release(holding)
    if (this.#held.size < share && !this.#closed) await this.#take(share - this.#held.size)
  }

  async #renew(): Promise<void> {
    const { rows } = await this.#ask<{ topic: string; partition: number; epoch: string }>(
      `update log_group_partitions set lease_until = now() + make_interval(secs => $3)
       where group_name = $1 and owner = $2 returning topic, partition, epoch`,
      [this.#options.name, this.member, this.#leaseMs / 1000],
    )
    this.#renewedAt = performance.now()
    const mine = new Set(rows.map((row) => `${row.topic}/${row.partition}/${row.epoch}`))
    for (const holding of this.#held.values())
      if (!mine.has(`${holding.topic}/${holding.partition}/${holding.epoch}`)) holding.abort.abort()
  }

  /** How many partitions are this member's: all members rank themselves alike, so the shares add up. */
  async #share(): Promise<number> {
    const { rows } = await this.#ask<{ rank: number; members: number; partitions: number }>(
      `with alive as (
         select member, row_number() over (order by member) - 1 as rank, count(*) over () as members
         from log_group_members p
         where group_name = $1 and seen_at > now() - make_interval(secs => $3)
           and (member = $2 or ${ownerAlive.replaceAll('p.owner', 'p.member')})
       )
       select rank::int, members::int,
         (select count(*)::int from log_group_partitions where group_name = $1) as partitions
       from alive where member = $2`,
      [this.#options.name, this.member, this.#leaseMs / 1000],
    )
    const { rank = 0, members = 1, partitions = 0 } = rows[0] ?? {}
    return Math.floor(partitions / members) + (rank < partitions % members ? 1 : 0)
  }

  async #take(count: number): Promise<void> {
    const now = Date.now()
    const held = [
      ...this.#held.keys(),
      ...[...this.#stopped].filter(([, s]) => s.until > now).map(([key]) => key),
    ]
    const { rows } = await this.#ask<TakenRow>(
      `with free as (
         select group_name, topic, partition, clean, owner from log_group_partitions p
         where group_name = $1 and (owner is null or lease_until < now() or owner = $2 or not ${ownerAlive})
           and topic || '/' || partition <> all ($3)
         order by topic, partition limit $4
         for update skip locked
       )
       update log_group_partitions p
       set epoch = p.epoch + 1, owner = $2, lease_until = now() + make_interval(secs => $5), clean = false,
         crashes = case when free.clean or p.trying is null then 0 when free.owner = $2 then p.crashes else p.crashes + 1 end
       from free
       where p.group_name = free.group_name and p.topic = free.topic and p.partition = free.partition
       returning p.topic, p.partition, p.log_epoch, p.next_offset, p.epoch, free.clean or free.owner is not distinct from $2 as was_clean, p.trying, p.crashes`,
      [this.#options.name, this.member, held, count, this.#leaseMs / 1000],
    )
    for (const row of rows) this.#start(row)
  }

  #start(row: TakenRow): void {
    const holding = new Holding(this.#options, row, this.#ask)
    const key = `${row.topic}/${row.partition}`
    this.#held.set(key, holding)
    this.#stopped.delete(key)
    holding.done = this.#runUntilLost(holding).finally(() => {
      // One that is being released stays until it is, else it would be taken again meanwhile.
      if (!holding.released) this.#forget(holding)
    })
  }

  async #runUntilLost(holding: Holding): Promise<void> {
    let failures = 0
    while (!holding.signal.aborted) {
      const before = holding.nextOffset
      try {
        await holding.refresh()
        if (holding.signal.aborted) return
        await this.#options.work(holding)
        return
      } catch (thrown) {
        const error = asLogError(thrown)
        if (error.code === 'fenced' || holding.signal.aborted) return
        this.#options.troubled?.(error, holding)
        if (error.code === 'corrupt' || error.code === 'out-of-range') return this.#stop(holding, error)
        failures = holding.nextOffset > before ? 1 : failures + 1
        const pauseMs = Math.min(limits.retryMs * 2 ** (failures - 1), limits.retryMsMax)
        await delay(pauseMs, undefined, { signal: holding.signal }).catch(() => {})
      }
    }
  }

  /** A partition whose offset the log cannot serve is never skipped: it stops, loudly, until that is mended. */
  async #stop(holding: Holding, error: LogError): Promise<void> {
    const { topic, partition } = holding
    const until = Date.now() + limits.stoppedRetryMs
    this.#stopped.set(`${topic}/${partition}`, { topic, partition, reason: error.message, until })
    await this.#letGo(holding, error.message).catch(() => {})
  }

  #release(holding: Holding): Promise<void> {
    holding.released ??= this.#releaseNow(holding)
    return holding.released
  }

  async #releaseNow(holding: Holding): Promise<void> {
    holding.abort.abort()
    await holding.done
    await this.#letGo(holding, null).catch(() => {}) // else the lease runs out
    this.#forget(holding)
  }

  #forget(holding: Holding): void {
    const key = `${holding.topic}/${holding.partition}`
    if (this.#held.get(key) === holding) this.#held.delete(key)
  }

  async #letGo(holding: Holding, stopped: string | null): Promise<void> {
    await this.#ask(
      `update log_group_partitions set owner = null, lease_until = null, clean = true, stopped = $5
       where group_name = $1 and topic = $2 and partition = $3 and epoch = $4`,
      [this.#options.name, holding.topic, holding.partition, holding.epoch, stopped],
    )
  }
}

class Holding implements HeldPartition {
  readonly topic: string
  readonly partition: number
  readonly epoch: number
  readonly clean: boolean
  readonly trying: number | undefined
  readonly crashes: number
  readonly abort = new AbortController()
  nextOffset: number
  done: Promise<void> = Promise.resolve()
  released: Promise<void> | undefined
  readonly #options: GroupOptions
  #logEpoch: number
  readonly #ask: Ask

  constructor(options: GroupOptions, row: TakenRow, ask: Ask) {
    this.#options = options
    this.#ask = ask
    this.#logEpoch = Number(row.log_epoch)
    this.topic = row.topic
    this.partition = row.partition
    this.epoch = Number(row.epoch)
    this.nextOffset = Number(row.next_offset)
    this.clean = row.was_clean
    this.trying = row.trying === null ? undefined : Number(row.trying)
    this.crashes = row.crashes
  }

  get signal(): AbortSignal {
    return this.abort.signal
  }

  /**
   * Reads the stored offset again (a commit whose answer was lost may have happened). Throws `fenced` if the
   * partition is another's, `out-of-range` if the log has begun another life and the offset means other events now.
   */
  async refresh(): Promise<void> {
    // Asked first: it moves the offsets that still mean the same into the epoch of a database that was promoted.
    const { epoch } = await this.#options.log.bounds(this.topic)
    const { rows } = await this.#ask<{ next_offset: string; log_epoch: string }>(
      `select next_offset, log_epoch from log_group_partitions
       where group_name = $1 and topic = $2 and partition = $3 and epoch = $4`,
      [this.#options.name, this.topic, this.partition, this.epoch],
    )
    if (!rows[0]) throw this.#fenced()
    this.nextOffset = Number(rows[0].next_offset)
    this.#logEpoch = Number(rows[0].log_epoch)
    if (epoch === this.#logEpoch) return
    throw new LogError(
      'out-of-range',
      `the log of ${this.topic} was replaced: epoch ${epoch}, not ${this.#logEpoch}`,
      { partition: this.partition, offset: this.nextOffset },
    )
  }

  batches(signal = this.signal): AsyncIterable<LogBatch> {
    const offsets = new Map([[this.partition, this.nextOffset]])
    return this.#options.log.read({ topic: this.topic, epoch: this.#logEpoch, offsets }, signal)
  }

  async commit(tx: pg.ClientBase, next: number, verdicts: Verdicts): Promise<void> {
    const { processed = 0, repeated = 0, dead = 0, parked = 0, dropped = 0, control = 0 } = verdicts
    const { rowCount } = await tx.query({
      name: 'commit_offset',
      text: `update pulse.log_group_partitions
       set next_offset = $6, trying = null, crashes = 0, stopped = null, processed = processed + $7,
         repeated = repeated + $8, dead = dead + $9, parked = parked + $10, dropped = dropped + $11, control = control + $12
       where group_name = $1 and topic = $2 and partition = $3 and epoch = $4 and next_offset = $5 and log_epoch = $13
         and not exists (select 1 from pulse.log_topics t join pulse.log_heads h on h.topic = t.id
           where t.name = $2 and t.epoch = $13 and h.partition = $3 and h.next_offset < $6)`,
      values: [
        ...[this.#options.name, this.topic, this.partition, this.epoch, this.nextOffset, next],
        ...[processed, repeated, dead, parked, dropped, control, this.#logEpoch],
      ],
    })
    if (rowCount === 0) throw this.#fenced()
  }

  committed(next: number): void {
    this.nextOffset = next
  }

  async mark(offset: number | undefined): Promise<void> {
    // The count belongs to the offset on which the last owner crashed; marks of others in between do not lose it.
    const crashes = offset !== undefined && offset === this.trying ? this.crashes : 0
    const { rowCount } = await this.#ask(
      `update log_group_partitions set trying = $5, crashes = $6
       where group_name = $1 and topic = $2 and partition = $3 and epoch = $4`,
      [this.#options.name, this.topic, this.partition, this.epoch, offset ?? null, crashes],
    )
    if (rowCount === 0) throw this.#fenced()
  }

  async fence(tx: pg.ClientBase): Promise<void> {
    const { rowCount } = await tx.query(
      `select 1 from pulse.log_group_partitions
       where group_name = $1 and topic = $2 and partition = $3 and epoch = $4 for share`,
      [this.#options.name, this.topic, this.partition, this.epoch],
    )
    if (rowCount === 0) throw this.#fenced()
  }

  #fenced(): LogError {
    this.abort.abort()
    return new LogError('fenced', `${this.topic}/${this.partition} is owned by another member now`, {
      partition: this.partition,
      offset: this.nextOffset,
    })
  }
}

import type pg from 'pg'
import { answered } from '../answered.ts'
import {
  type AppendOutcome,
  type Capabilities,
  type EventLog,
  type LogBatch,
  LogError,
  type NewRecord,
  type ReadFrom,
  type RecordPosition,
  type TopicBounds,
  type TopicDeclaration,
} from '../log.ts'
import { partitionOf } from '../murmur2.ts'
import { OneAtATime } from '../one-at-a-time.ts'
import { decodeBatch } from '../record-batch.ts'
import { AppendLane } from './append-lane.ts'
import { AppendCall, Pending, RecentIds } from './append-queue.ts'
import { intArray } from './binary.ts'
import { asLogError, type Connection, connect, drop } from './connection.ts'
import { daysBefore, dropPartition, ensureDays } from './day-partitions.ts'
import { FilterBuilder, missingFilter } from './id-filters.ts'
import { type Entered, Lives, type Topic, unknownTopic } from './lives.ts'
import { ensureFirstGeneration, maintainGenerations } from './remembered-ids.ts'
import { readBatches, readBounds } from './statements.ts'
import { Tail } from './tail.ts'
import { createTopics, offsetAt } from './topics.ts'

const limits = {
  /**
   * Ids kept in this process to answer a repeat without the database. A few thousand cover a client that sends again
   * at once; 30,000 lived long enough to be copied by every collection of garbage, which cost a tenth of intake.
   */
  recentIds: 2_000,
  idsPerGeneration: 2_000_000,
  readBatchesMax: 200,
  readBytesMax: 2 * 1024 * 1024,
  /** Slack for a database clock that steps back between two appends. */
  clockSlackMs: 600_000,
  forgetTimesMs: 10_000,
  /** A day may still be written for so long after its end: an append under way, a clock that differs. */
  writtenMs: 3_600_000,
  answerMsMax: 30_000,
  /** Building a filter or dropping a day takes longer than a question. */
  maintenanceMsMax: 600_000,
} as const

export interface PostgresLogOptions {
  readonly connection: Connection
  readonly durability: Capabilities['durability']
  /** How long an id is remembered; default 7 days. */
  readonly idWindowMs?: number
  /** Ids per generation; default 2 million, see `RememberedIds`. */
  readonly idsPerGeneration?: number
  /** Connections that append; partition p uses lane p mod lanes. Default 1. */
  readonly lanes?: number
  /** How often generations and days are looked after; default 1 s. */
  readonly maintenanceMs?: number
  /** Told after each commit: records in the group, milliseconds from sending to commit. */
  readonly committed?: (records: number, ms: number) => void
  /** Told of a failure of the background work; the next round tries again. */
  readonly troubled?: (error: unknown) => void
}

/**
 * Opens the event log on PostgreSQL. The schema must be there (log/migrations); the port's comment is the
 * contract. Throws LogError `unavailable` if the database does not answer.
 */
export async function openPostgresLog(options: PostgresLogOptions): Promise<EventLog> {
  const log = new PostgresLog(options)
  try {
    await log.open()
    return log
  } catch (error) {
    await log[Symbol.asyncDispose]()
    throw asLogError(error)
  }
}

class PostgresLog implements EventLog {
  readonly can: Capabilities
  readonly #options: PostgresLogOptions
  readonly #lanes: readonly AppendLane[]
  readonly #recent: RecentIds
  readonly #lives: Lives
  readonly #filters: FilterBuilder
  readonly #tail: Tail
  readonly #turns = new OneAtATime()
  #control: Entered | undefined
  #maintenance: NodeJS.Timeout | undefined
  #maintaining: Promise<void> | undefined
  #daysEnsuredAt = 0

  constructor(options: PostgresLogOptions) {
    this.#options = options
    this.#lives = new Lives(options.idsPerGeneration ?? limits.idsPerGeneration)
    this.#recent = new RecentIds(limits.recentIds, (position) => this.#isThere(position))
    this.can = { driver: 'postgres', dedupe: true, trim: true, durability: options.durability }
    this.#filters = new FilterBuilder({
      connect: () => connect(options.connection, 'pulse log filters'),
      msMax: limits.maintenanceMsMax,
      built: () => this.#controlled(({ client, life }) => life.ids.load(client)),
      troubled: (error) => options.troubled?.(error),
    })
    this.#tail = new Tail(() => connect(options.connection, 'pulse log tail'))
    this.#lanes = Array.from({ length: options.lanes ?? 1 }, (_, n) => this.#createLane(n))
  }

  async open(): Promise<void> {
    const { client, life } = await this.#controlConnection()
    await ensureFirstGeneration(client)
    await ensureDays(client, 'log_batches')
    this.#daysEnsuredAt = Date.now()
    await life.ids.load(client)
    await this.#tail.listen()
    const every = this.#options.maintenanceMs ?? 1_000
    this.#maintenance = setInterval(() => {
      this.#maintaining ??= this.#maintain().finally(() => {
        this.#maintaining = undefined
      })
    }, every)
    this.#maintenance.unref()
  }

  async append(records: readonly NewRecord[]): Promise<readonly AppendOutcome[]> {
    const names = new Set(records.map((r) => r.topic))
    // No pause where all are known: calls keep their order.
    for (const name of names) if (!this.#lives.current.topic(name)) await this.#findTopic(name)
    if (records.length === 0) return []
    // Nor from here on: what is pushed stands in the newest life that is known.
    const life = this.#lives.current
    for (const name of names) if (!life.topic(name)) throw unknownTopic(name)
    return new Promise((resolve) => {
      const call = new AppendCall(records.length, resolve)
      for (let index = 0; index < records.length; index++) {
        const record = records[index] as NewRecord
        const topic = life.topic(record.topic) as Topic
        const partition = partitionOf(record.key, topic.partitions)
        const pending = new Pending(record, { topic: topic.id, partition }, { call, index })
        if (!this.#recent.answered(pending)) this.#lanes[partition % this.#lanes.length]?.push(pending)
      }
    })
  }

  async *read(from: ReadFrom, signal: AbortSignal): AsyncGenerator<LogBatch> {
    const { client, life } = await this.#enter('pulse log reader')
    const next = new Map(from.offsets)
    // Each partition has its own place in time; forgotten now and then, for a clock that was set back by more.
    const since = new Map<number, string>()
    let forgottenAt = performance.now()
    try {
      const topic = await this.#lives.topicBy(client, from.topic)
      await answered(checkRange(client, topic, from), limits.answerMsMax)
      while (!signal.aborted) {
        if (life !== this.#lives.current) throw replaced(topic)
        const grown = this.#tail.wait(signal)
        const rows = await this.#page(client, topic, next, since)
        const isAll = rows.length < limits.readBatchesMax && bytesOf(rows) < limits.readBytesMax / 2
        for (const [n, row] of rows.entries()) {
          if (signal.aborted) return
          const batch = toBatch(topic, row, next.get(row.partition) ?? 0, isAll && n === rows.length - 1)
          if (batch.records[0]?.offset !== next.get(row.partition)) throw missing(topic, row.partition, next)
          next.set(row.partition, batch.nextOffset)
          since.set(row.partition, new Date(batch.appendedAt / 1000 - limits.clockSlackMs).toISOString())
          yield batch
        }
        if (rows.length > 0) continue
        await grown
        if (performance.now() - forgottenAt < limits.forgetTimesMs) continue
        forgottenAt = performance.now()
        since.clear()
      }
    } catch (error) {
      throw asLogError(error)
    } finally {
      await client.end().catch(() => {})
    }
  }

  async bounds(name: string, since?: number): Promise<TopicBounds> {
    return this.#controlled(async ({ client }) => {
      const { rows } = await client.query(readBounds, [name])
      const first = rows[0]
      if (!first) throw unknownTopic(name)
      // Another server may have found out first that the database was restored or promoted.
      if (this.#lives.current.topic(name)?.epoch !== Number(first.epoch)) await this.#lives.enter(client)
      const partitions = []
      for (const row of rows) {
        const start = Number(row.start_offset)
        const end = Number(row.next_offset)
        const place = { topic: first.id, partition: row.partition }
        const at = since === undefined ? start : await offsetAt(client, place, { start, end }, since)
        partitions.push({ partition: row.partition as number, start, end, since: at })
      }
      return { topic: name, epoch: Number(first.epoch), partitions }
    })
  }

  async declare(topics: readonly TopicDeclaration[]): Promise<void> {
    await this.#controlled(async ({ client }) => {
      await createTopics(client, topics)
      await this.#lives.enter(client)
    })
  }

  async trim(name: string, below: ReadonlyMap<number, number>): Promise<ReadonlyMap<number, number>> {
    return this.#controlled(async ({ client }) => {
      const topic = await this.#lives.topicBy(client, name)
      for (const [partition, offset] of below)
        await client.query(
          `update log_heads set start_offset = greatest(start_offset, least($3, next_offset))
           where topic = $1 and partition = $2`,
          [topic.id, partition, offset],
        )
      await dropTrimmedDays(client)
      const { rows } = await client.query('select partition, start_offset from log_heads where topic = $1', [
        topic.id,
      ])
      return new Map(rows.map((row) => [row.partition as number, Number(row.start_offset)]))
    }, limits.maintenanceMsMax)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#maintenance)
    await this.#maintaining
    await this.#filters.close()
    await Promise.all(this.#lanes.map((lane) => lane.close()))
    await this.#tail.close()
    await this.#turns.run(async () => this.#control?.client.end().catch(() => {}))
  }

  #createLane(n: number): AppendLane {
    return new AppendLane({
      connect: () => this.#enter(`pulse log append ${n}`),
      isCurrent: (life) => life === this.#lives.current,
      recent: this.#recent,
      prepareDays: (client) => ensureDays(client, 'log_batches'),
      appended: (topic) => this.#tail.grew(topic),
      committed: (records, ms) => this.#options.committed?.(records, ms),
    })
  }

  /** A new connection, which is known to lead to the database in its newest life. */
  async #enter(name: string): Promise<Entered> {
    const client = await connect(this.#options.connection, name)
    try {
      return { client, life: await answered(this.#lives.enter(client), limits.answerMsMax) }
    } catch (error) {
      drop(client)
      throw asLogError(error)
    }
  }

  /** Whether what was appended there by this process is there still, as far as it knows. */
  #isThere({ topic, epoch, partition }: RecordPosition): boolean {
    if (this.#lives.current.topic(topic)?.epoch !== epoch) return false
    return this.#lanes[partition % this.#lanes.length]?.isLost === false
  }

  async #findTopic(name: string): Promise<void> {
    await this.#controlled(({ client }) => this.#lives.topicBy(client, name))
  }

  // One connection for everything that is not appending or reading; opened again after it was lost.
  async #controlConnection(): Promise<Entered> {
    if (this.#control && this.#control.life === this.#lives.current) return this.#control
    if (this.#control) this.#dropControl(this.#control)
    const entered = await this.#enter('pulse log')
    entered.client.on('end', () => {
      if (this.#control === entered) this.#control = undefined
    })
    this.#control = entered
    return entered
  }

  async #controlled<T>(
    work: (entered: Entered) => Promise<T>,
    msMax: number = limits.answerMsMax,
  ): Promise<T> {
    try {
      return await this.#turns.run(async () => {
        const entered = await this.#controlConnection()
        return answered(work(entered), msMax).catch((error: unknown) => {
          if (error instanceof LogError && error.retryable) this.#dropControl(entered)
          throw error
        })
      })
    } catch (error) {
      throw asLogError(error)
    }
  }

  #dropControl(entered: Entered): void {
    if (this.#control === entered) this.#control = undefined
    drop(entered.client)
  }

  async #page(
    client: pg.Client,
    topic: Topic,
    next: ReadonlyMap<number, number>,
    since: ReadonlyMap<number, string>,
  ): Promise<readonly BatchRow[]> {
    const asked = client.query<BatchRow>({
      name: 'read_batches',
      text: readBatches,
      values: [
        topic.id,
        intArray('int2', [...next.keys()]),
        intArray('int8', [...next.values()]),
        limits.readBatchesMax,
        limits.readBytesMax,
        [...next.keys()].map((partition) => since.get(partition) ?? '-infinity'),
      ],
    })
    return (await answered(asked, limits.answerMsMax)).rows
  }

  async #maintain(): Promise<void> {
    try {
      await this.#controlled((entered) => this.#maintainWith(entered), limits.maintenanceMsMax)
    } catch (error) {
      this.#options.troubled?.(error)
    }
  }

  async #maintainWith({ client, life }: Entered): Promise<void> {
    if (Date.now() - this.#daysEnsuredAt > 3_600_000) {
      await ensureDays(client, 'log_batches')
      this.#daysEnsuredAt = Date.now()
    }
    await maintainGenerations(client, {
      idsPerGeneration: this.#options.idsPerGeneration ?? limits.idsPerGeneration,
      idWindowMs: this.#options.idWindowMs ?? 7 * 86_400_000,
    })
    await life.ids.load(client)
    if (await missingFilter(client)) this.#filters.start()
  }
}

interface BatchRow {
  readonly partition: number
  readonly base_offset: string
  readonly last_offset: string
  readonly appended_at: string
  readonly checksum: number
  readonly bytes: Buffer
}

const bytesOf = (rows: readonly BatchRow[]) => rows.reduce((sum, { bytes }) => sum + bytes.length, 0)

function toBatch(topic: Topic, row: BatchRow, wanted: number, caughtUp: boolean): LogBatch {
  const baseOffset = Number(row.base_offset)
  const nextOffset = Number(row.last_offset) + 1
  const all = decodeBatch({
    topic: topic.name,
    partition: row.partition,
    baseOffset,
    count: nextOffset - baseOffset,
    checksum: row.checksum,
    bytes: row.bytes,
  })
  return {
    epoch: topic.epoch,
    topic: topic.name,
    partition: row.partition,
    records: wanted > baseOffset ? all.slice(wanted - baseOffset) : all,
    nextOffset,
    appendedAt: Number(row.appended_at),
    ...(caughtUp && { caughtUp }),
  }
}

const replaced = ({ name }: Topic) =>
  new LogError('unavailable', `the database of ${name} has begun another life`)

async function checkRange(client: pg.Client, topic: Topic, from: ReadFrom): Promise<void> {
  if (from.epoch !== undefined && from.epoch !== topic.epoch)
    throw new LogError('out-of-range', `${topic.name} is of epoch ${topic.epoch} now, not ${from.epoch}`)
  const { rows } = await client.query(readBounds, [topic.name])
  for (const [partition, offset] of from.offsets) {
    const bounds = rows.find((each) => each.partition === partition)
    const { start, end } = {
      start: Number(bounds?.start_offset ?? 0),
      end: Number(bounds?.next_offset ?? -1),
    }
    if (offset >= start && offset <= end) continue
    throw new LogError(
      'out-of-range',
      `${topic.name}/${partition} holds offsets ${start} to ${Math.max(0, end)}, not ${offset}`,
      { partition, offset },
    )
  }
}

function missing(topic: Topic, partition: number, next: ReadonlyMap<number, number>): LogError {
  const offset = next.get(partition) ?? 0
  return new LogError('out-of-range', `${topic.name}/${partition} no longer holds offset ${offset}`, {
    partition,
    offset,
  })
}

// A day is dropped when no partition needs any of its batches; the day that is being written stays.
async function dropTrimmedDays(client: pg.Client): Promise<void> {
  for (const name of await daysBefore(client, 'log_batches', Date.now() - limits.writtenMs)) {
    const { rowCount } = await client.query(
      `select 1 from ${name} b join log_heads h on h.topic = b.topic and h.partition = b.partition
       where b.last_offset >= h.start_offset limit 1`,
    )
    if (rowCount === 0) await dropPartition(client, 'log_batches', name)
  }
}

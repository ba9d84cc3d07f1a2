import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freshDatabase } from '@pulse/dev/services/postgres'
import type { EventLog, LogRecord, NewRecord, TopicDeclaration } from '@pulse/log'
import { migrate } from '@pulse/log/migrate'
import { openPostgresLog } from '@pulse/log/postgres'
import { nowMicros } from '@pulse/log/suite-records'
import type { Condition } from '@pulse/protocol/filter'
import { instantOf } from '@pulse/protocol/instant'
import type { Position } from '@pulse/protocol/position'
import pg from 'pg'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { FilterChanges } from './filter-changes.ts'
import { FilterStore } from './filter-store.ts'
import { FilterVersions } from './filter-versions.ts'
import { createSubscriptionsReport } from './report.ts'

const folder = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** One server's view of the filters of a world. */
export interface FiltersServer {
  readonly store: FilterStore
  readonly changes: FilterChanges
  readonly versions: FilterVersions
  readonly metrics: Registry
  /** Makes a change of the filter of this subscriber. */
  create(subscriber: string, condition?: Condition, name?: string): ReturnType<FilterChanges['submit']>
  update(subscriber: string, condition?: Condition, name?: string): ReturnType<FilterChanges['submit']>
  remove(subscriber: string, name?: string): ReturnType<FilterChanges['submit']>
}

export const purchases: Condition = { event_types: ['purchase'] }
export const clicks: Condition = { event_types: ['click'] }

/** A database of its own, a log with two topics (its own on PostgreSQL unless told otherwise), and servers on both. */
export class FiltersWorld implements AsyncDisposable {
  readonly #opened = new AsyncDisposableStack()
  readonly topics: readonly TopicDeclaration[]
  readonly pool: pg.Pool
  readonly connection: pg.ClientConfig
  #log: EventLog | undefined
  private constructor(connection: pg.ClientConfig, topics: readonly TopicDeclaration[]) {
    this.connection = connection
    this.topics = topics
    this.pool = new pg.Pool({ ...connection, max: 8 })
    this.pool.on('error', () => {})
  }

  static async open(postgres: string, openLog?: () => Promise<EventLog>): Promise<FiltersWorld> {
    const database = await freshDatabase(postgres)
    const connection = {
      connectionString: database.url,
      options: '-c search_path=pulse,public -c timezone=UTC',
    }
    const prefix = openLog ? `${randomUUID()}-` : ''
    const world = new FiltersWorld(connection, [
      { name: `${prefix}events`, partitions: 3 },
      { name: `${prefix}orders`, partitions: 2 },
    ])
    world.#opened.use(database)
    world.#opened.defer(() => world.pool.end())
    const client = await world.pool.connect()
    await migrate(client as unknown as pg.Client, [
      { namespace: 'log', folders: [folder('../../../log/migrations')], schema: 'pulse' },
      { namespace: 'server', folders: [folder('../../migrations')], schema: 'pulse' },
    ])
    client.release()
    world.#log = world.#opened.use(await (openLog?.() ?? openPostgresLog({ connection, durability: 'disk' })))
    await world.log.declare(world.topics)
    return world
  }

  get log(): EventLog {
    return this.#log ?? assert.fail('not open')
  }

  /** One more server; on a log that is not as the others' if one is given. */
  async server(log = this.log, waitMsMax = 10_000): Promise<FiltersServer> {
    const metrics = new Registry()
    const report = createSubscriptionsReport({ log: pino({ level: 'silent' }), metrics })
    const store = new FilterStore(this.pool, { perSubscriberMax: 3, unselectiveMax: 2 })
    const topics = this.topics.map(({ name }) => name)
    const changes = await FilterChanges.open({ store, log, topics, report, waitMsMax })
    this.#opened.use(changes)
    const versions = new FilterVersions({ store, changes, can: log.can })
    const change =
      (kind: 'create' | 'update') =>
      (subscriber: string, condition = purchases, name = 'default') =>
        changes.submit({
          kind,
          subscriber,
          name,
          condition,
          selective: !('expression' in condition),
        })
    return {
      ...{ store, changes, versions, metrics, create: change('create'), update: change('update') },
      remove: (subscriber, name = 'default') => changes.submit({ kind: 'delete', subscriber, name }),
    }
  }

  /** Appends an event to a partition; resolves with its offset. */
  async send(topic: string, key: string): Promise<number> {
    const [outcome] = await this.log.append([aRecord(topic, key)])
    assert.ok(outcome && 'position' in outcome)
    return outcome.position.offset
  }

  /** Everything in the log, by `topic/partition`. */
  async records(): Promise<Map<string, LogRecord[]>> {
    const found = new Map<string, LogRecord[]>()
    for (const { name } of this.topics) {
      const { partitions } = await this.log.bounds(name)
      for (const { partition, start, end } of partitions) {
        const records: LogRecord[] = []
        found.set(`${name}/${partition}`, records)
        if (start === end) continue
        const offsets = new Map([[partition, start]])
        for await (const batch of this.log.read({ topic: name, offsets }, AbortSignal.timeout(10_000))) {
          records.push(...batch.records)
          if (batch.nextOffset >= end) break
        }
        assert.equal((records.at(-1)?.offset ?? -1) + 1, end)
      }
    }
    return found
  }

  async rows(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
    return (await this.pool.query(text, values)).rows
  }

  /** Waits until `look` gives something; fails after ten seconds. */
  async until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
    const deadline = performance.now() + 10_000
    for (;;) {
      const found = await look()
      if (found !== undefined) return found
      if (performance.now() > deadline) assert.fail(`not within 10 s: ${what}`)
      await pause(20)
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#opened.disposeAsync()
  }
}

function aRecord(topic: string, key: string): NewRecord {
  const id = randomUUID()
  const receivedAt = nowMicros()
  const event = {
    ...{ event_id: id, event_type: 'purchase', user_id: key, timestamp: instantOf(receivedAt) },
    ...{ properties: {}, source: null, schema_version: 1 },
  }
  return { topic, key, type: 'purchase', value: JSON.stringify(event), receivedAt, id }
}

/** The same log, but what it answers to appends is this: a network that fails where tests want it to. */
export function withAppend(log: EventLog, append: EventLog['append']): EventLog {
  return {
    can: log.can,
    append,
    read: (from, signal) => log.read(from, signal),
    bounds: (topic, since) => log.bounds(topic, since),
    declare: (topics) => log.declare(topics),
    trim: (topic, below) => log.trim(topic, below),
    [Symbol.asyncDispose]: async () => {},
  }
}

/** Offsets as plain objects, by topic. */
export const offsetsOf = (positions: readonly Position[] | null | undefined) =>
  positions && Object.fromEntries(positions.map(({ topic, offsets }) => [topic, [...offsets.values()]]))

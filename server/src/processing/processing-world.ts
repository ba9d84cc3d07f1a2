import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freshDatabase } from '@pulse/dev/services/postgres'
import type { EventLog, NewRecord } from '@pulse/log'
import { migrate } from '@pulse/log/migrate'
import { openPostgresLog } from '@pulse/log/postgres'
import { ensureDays } from '@pulse/log/postgres/day-partitions'
import { instantOf } from '@pulse/protocol/instant'
import pg from 'pg'
import { pino } from 'pino'
import type { EventTypeConfig, Handler } from '../config/define-config.ts'
import { createObservations } from '../operations/observations.ts'
import { createSchemas, type Schemas } from '../schemas/schemas.ts'
import { openProcessing, type Processing, type ProcessingNeeds } from './processing.ts'
import { createProcessingReport } from './report.ts'

const folder = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** A log, its tables and running handlers on a database of its own. */
export class World implements AsyncDisposable {
  readonly #opened = new AsyncDisposableStack()
  readonly connection: pg.ClientConfig
  readonly pool: pg.Pool
  /** The connections of what is tested. */
  readonly workPool: pg.Pool
  #log: EventLog | undefined
  private constructor(connection: pg.ClientConfig) {
    this.connection = connection
    this.pool = new pg.Pool({ ...connection, max: 8 })
    this.pool.on('error', () => {})
    this.workPool = new pg.Pool({
      ...connection,
      max: 4,
      application_name: 'work',
      connectionTimeoutMillis: 5_000,
    })
    this.workPool.on('connect', (client) => client.on('error', () => {}))
    this.workPool.on('error', () => {})
  }

  /** On a database of its own in this PostgreSQL. */
  static async open(postgres: string): Promise<World> {
    const database = await freshDatabase(postgres)
    const world = new World({
      connectionString: database.url,
      options: '-c search_path=pulse,public -c timezone=UTC',
    })
    world.#opened.use(database)
    world.#opened.defer(() => world.pool.end())
    world.#opened.defer(() => world.workPool.end())
    const client = await world.pool.connect()
    await migrate(client as unknown as pg.Client, [
      { namespace: 'log', folders: [folder('../../../log/migrations')], schema: 'pulse' },
      { namespace: 'server', folders: [folder('../../migrations')], schema: 'pulse' },
    ])
    await ensureDays(client, 'events')
    client.release()
    world.#log = world.#opened.use(
      await openPostgresLog({ connection: world.connection, durability: 'disk' }),
    )
    await world.log.declare([{ name: 'events', partitions: 1 }])
    return world
  }

  get log(): EventLog {
    return this.#log ?? assert.fail('not open')
  }

  schemas(eventTypes: Record<string, EventTypeConfig> = {}): Schemas {
    return createSchemas({ eventTypes, topics: {}, handled: [], partitions: 1, strict: false })
  }

  async process(
    handlers: Record<string, Handler>,
    settings: Partial<ProcessingNeeds['settings']> = {},
    eventTypes: Record<string, EventTypeConfig> = {},
  ): Promise<Processing> {
    const logger = pino({ level: 'silent' })
    return this.#opened.use(
      await openProcessing({
        log: this.log,
        connection: this.connection,
        pool: this.workPool,
        schemas: this.schemas(eventTypes),
        handlers,
        settings: {
          retryAttempts: 3,
          retryBaseMs: 1,
          retryMaxMs: 1,
          handlerTimeoutMs: 5_000,
          handlerConcurrency: 100,
          orderPerKey: true,
          ...settings,
        },
        idWindowMs: 3_600_000,
        report: createProcessingReport({ observations: createObservations(), log: logger }),
      }),
    )
  }

  /** Appends one event; returns its id. */
  async send(type: string, user: string | null = null, properties: object = {}): Promise<string> {
    const record = aRecord(type, user, properties)
    const [outcome] = await this.log.append([record])
    assert.equal(outcome?.kind, 'appended')
    return record.id
  }

  async rows(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
    return (await this.pool.query(text, values)).rows
  }

  rowsOf(id: string): Promise<Record<string, unknown>[]> {
    return this.rows('select * from events where event_id = $1', [id])
  }

  /** Waits until the event has a row; fails after twenty seconds. */
  async untilProcessed(id: string): Promise<void> {
    await this.until('processed', 'select 1 from events where event_id = $1', [id])
  }

  async until(what: string, text: string, values: unknown[] = []): Promise<Record<string, unknown>> {
    const deadline = performance.now() + 20_000
    for (;;) {
      const row = (await this.rows(text, values))[0]
      if (row) return row
      if (performance.now() > deadline) assert.fail(`not within 20 s: ${what}`)
      await pause(20)
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#opened.disposeAsync()
  }
}

/** A record of one event with an id of its own; without a fingerprint, so the log does not know it again. */
export function aRecord(type: string, user: string | null, properties: object): NewRecord {
  const id = randomUUID()
  const receivedAt = Date.now() * 1000
  const timestamp = instantOf(receivedAt)
  const event = { event_id: id, event_type: type, user_id: user, timestamp, properties, source: null }
  const value = JSON.stringify({ ...event, schema_version: 1 })
  return { topic: 'events', key: user ?? id, type, value, receivedAt, id }
}

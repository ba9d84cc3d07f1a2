import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, describe, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openServices } from '@pulse/dev/services'
import { freshDatabase } from '@pulse/dev/services/postgres'
import type { EventLog, NewRecord } from '@pulse/log'
import { migrate } from '@pulse/log/migrate'
import { openPostgresLog } from '@pulse/log/postgres'
import { ensureDays } from '@pulse/log/postgres/day-partitions'
import { holdsFor } from '@pulse/log/suite-records'
import { instantOf } from '@pulse/protocol/instant'
import pg from 'pg'
import { pino } from 'pino'
import type { EventTypeConfig, Handler } from '../config/define-config.ts'
import { createObservations } from '../operations/observations.ts'
import { createSchemas } from '../schemas/schemas.ts'
import { openProcessing, type Processing, type ProcessingNeeds } from './processing.ts'
import { createProcessingReport } from './report.ts'

const services = await openServices(['postgres'])
after(() => services[Symbol.asyncDispose]())
const folder = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** A log, its tables and running handlers on a database of its own. */
class World implements AsyncDisposable {
  readonly #opened = new AsyncDisposableStack()
  readonly connection: pg.ClientConfig
  readonly pool: pg.Pool
  #log: EventLog | undefined
  private constructor(connection: pg.ClientConfig) {
    this.connection = connection
    this.pool = new pg.Pool({ ...connection, max: 8 })
    this.pool.on('error', () => {})
  }

  static async open(): Promise<World> {
    const database = await freshDatabase(services.address('postgres'))
    const world = new World({
      connectionString: database.url,
      options: '-c search_path=pulse,public -c timezone=UTC',
    })
    world.#opened.use(database)
    world.#opened.defer(() => world.pool.end())
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
        pool: this.pool,
        schemas: createSchemas({ eventTypes, topics: {}, handled: [], partitions: 1, strict: false }),
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

  /** Waits until the event has a row; fails after ten seconds. */
  async untilProcessed(id: string): Promise<void> {
    await this.until('processed', 'select 1 from events where event_id = $1', [id])
  }

  async until(what: string, text: string, values: unknown[] = []): Promise<Record<string, unknown>> {
    const deadline = performance.now() + 10_000
    for (;;) {
      const row = (await this.rows(text, values))[0]
      if (row) return row
      if (performance.now() > deadline) assert.fail(`not within 10 s: ${what}`)
      await pause(20)
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#opened.disposeAsync()
  }
}

function aRecord(type: string, user: string | null, properties: object): NewRecord {
  const id = randomUUID()
  const receivedAt = Date.now() * 1000
  const timestamp = instantOf(receivedAt)
  const event = { event_id: id, event_type: type, user_id: user, timestamp, properties, source: null }
  const value = JSON.stringify({ ...event, schema_version: 1 })
  return { topic: 'events', key: user ?? id, type, value, receivedAt, id }
}

/** A trigger on a table of the team that fails the first time with this SQLSTATE; its sequence is not rolled back. */
const failingOnce = (state: string) => `
  create table public.ledger (n int);
  create sequence public.tries;
  create function public.fail_once() returns trigger language plpgsql as $$ begin
    if nextval('public.tries') = 1 then raise exception 'once' using errcode = '${state}'; end if;
    return new;
  end $$;
  create trigger fail_once before insert on public.ledger for each row execute function public.fail_once()`

describe('processing when something fails', { skip: services.skip('postgres') }, () => {
  test('a round whose transaction fails for a passing reason is tried again although no other event comes', async () => {
    await using world = await World.open()
    await world.pool.query(failingOnce('40001'))
    await world.process({ booked: () => ({ rows: { 'public.ledger': [{ n: 1 }] } }) })
    await world.untilProcessed(await world.send('booked'))
  })

  test('retries that fail again and again leave one reader at work, and nothing is run twice', async () => {
    await using world = await World.open()
    await world.process({
      odd: (_event, ctx) => {
        if (ctx.attempt === 1) throw new Error('later')
        return { rows: { 'public.ledger': [{ n: 1 }] } }
      },
    })
    await world.pool.query(`${failingOnce('40001').replace('= 1 then', '< 6 then')}`)
    await world.untilProcessed(await world.send('odd'))
    const readers = await world.rows(
      `select 1 from pg_stat_activity where application_name = 'pulse log reader' and datname = current_database()`,
    )
    assert.equal(readers.length, 1)
  })

  for (const [what, enriched] of [
    ['a BigInt', { n: 1n }],
    ['a circle', circular()],
  ] as const)
    test(`a handler that returns ${what}, which is no JSON, harms its own event only`, async () => {
      await using world = await World.open()
      await world.process({ bad: () => ({ enriched }), good: () => undefined })
      const bad = await world.send('bad')
      await world.untilProcessed(await world.send('good'))
      await world.until('a dead letter', 'select 1 from dead_letters where event_id = $1', [bad])
    })

  test('whatever a handler throws, its event alone is put aside', async () => {
    const thrown: unknown[] = [
      Object.create(null),
      Object.assign(new Error('x'), { message: { code: 7 } }),
      Object.assign(new Error('x'), { name: 'Na\0me' }),
      new Error(`${'x'.repeat(1_999)}\u{1f600}`),
      `${'x'.repeat(1_999)}\u{1f600}`,
      'a\0b',
    ]
    await using world = await World.open()
    await world.process({
      throws: ({ properties }) => {
        throw thrown[properties.n as number]
      },
      rejects: async ({ properties }) => {
        throw thrown[properties.n as number]
      },
    })
    for (let n = 0; n < thrown.length; n++)
      for (const type of ['throws', 'rejects']) {
        const id = await world.send(type, null, { n })
        await world.until(`dead letter ${n} of ${type}`, 'select 1 from dead_letters where event_id = $1', [
          id,
        ])
      }
  })

  test('tables of our own that are missing or refused blame no event: it waits until they are mended', async () => {
    await using world = await World.open()
    await world.pool.query('alter table events rename column enriched to elsewhere')
    await world.process({ good: () => undefined })
    const id = await world.send('good')
    // Time enough to be blamed: three attempts of 1 ms pass in a fraction of it.
    const blamed = () => world.rows('select 1 from dead_letters union all select 1 from retries')
    await holdsFor(1_500, 'nobody is blamed', async () => (await blamed()).length === 0)
    await world.pool.query('alter table events rename column elsewhere to enriched')
    await world.untilProcessed(id)
  })

  test('an event whose day has no partition of rows yet gets one', async () => {
    await using world = await World.open()
    const days = await world.rows(`select inhrelid::regclass::text as name from pg_inherits
      where inhparent = 'events'::regclass`)
    for (const { name } of days) await world.pool.query(`drop table ${name}`)
    await world.process({ good: () => undefined })
    await world.untilProcessed(await world.send('good'))
    assert.deepEqual(await world.rows('select 1 from dead_letters'), [])
  })

  test('a value that is too long for an index of its property harms its own event only', async () => {
    await using world = await World.open()
    await world.pool.query(`create index on events ((properties ->> 'url'), received_at)`)
    await world.process({ good: () => undefined })
    const url = Array.from({ length: 300 }, () => randomUUID()).join('')
    const bad = await world.send('good', null, { url })
    await world.untilProcessed(await world.send('good'))
    await world.until('a dead letter', 'select 1 from dead_letters where event_id = $1', [bad])
  })

  test('a key as long as an event may be does not keep its event from being parked', async () => {
    await using world = await World.open()
    const fail: Handler = () => {
      throw new Error('always')
    }
    await world.process({ long: fail, good: () => undefined }, {}, { long: { key: '/properties/key' } })
    const key = Array.from({ length: 300 }, () => randomUUID()).join('')
    const bad = await world.send('long', null, { key })
    await world.untilProcessed(await world.send('good'))
    await world.until('a dead letter', 'select 1 from dead_letters where event_id = $1', [bad])
  })

  test('events that waited behind a parked one of their key follow without a pause between them', async () => {
    await using world = await World.open()
    let failed = false
    const seen: unknown[] = []
    await world.process({
      step: ({ properties }) => {
        if (properties.n === 0 && !failed) {
          failed = true
          throw new Error('once')
        }
        seen.push(properties.n)
        return undefined
      },
    })
    const records = Array.from({ length: 100 }, (_, n) => aRecord('step', 'one-key', { n }))
    await world.log.append(records)
    await world.untilProcessed(records.at(-1)?.id ?? '')
    assert.deepEqual(seen, [...records.keys()])
  })

  test('what fails because the server stops gets no verdict: the events before it are committed, it is tried again by the next', async () => {
    await using world = await World.open()
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
    const attempts: number[] = []
    const handlers: Record<string, Handler> = {
      good: () => undefined,
      stopped: async (_event, ctx) => {
        attempts.push(ctx.attempt)
        if (attempts.length > 1) return undefined
        begin()
        return new Promise((_, reject) => {
          ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason))
        })
      },
    }
    // A single attempt: were it counted, the event would be dead.
    const first = await world.process(handlers, { retryAttempts: 1 })
    const [before, stopped, behind, after] = ['good', 'stopped', 'stopped', 'good'].map((type) =>
      aRecord(type, type, {}),
    )
    assert.ok(before && stopped && behind && after)
    await world.log.append([before, stopped, behind, after])
    await begun
    await first[Symbol.asyncDispose]()
    const rows = await world.rows('select event_id from events')
    assert.deepEqual(rows, [{ event_id: before.id }])
    assert.deepEqual(await world.rows('select event_id from retries'), [])
    assert.deepEqual(await world.rows('select event_id from dead_letters'), [])
    assert.equal(attempts.length, 1, 'one that waited behind it was begun after the stop')
    await world.process(handlers, { retryAttempts: 1 })
    for (const { id } of [stopped, behind, after]) await world.untilProcessed(id)
    assert.deepEqual(attempts, [1, 1, 1])
  })

  test('a retry that fails because the server stops keeps its attempts', async () => {
    await using world = await World.open()
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
    const first = await world.process({
      odd: (_event, ctx) => {
        if (ctx.attempt === 1) throw new Error('later')
        begin()
        return new Promise((_, reject) => {
          ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason))
        })
      },
    })
    const id = await world.send('odd')
    await begun
    await first[Symbol.asyncDispose]()
    assert.deepEqual(await world.rows('select event_id, attempts from retries'), [
      { event_id: id, attempts: 1 },
    ])
  })

  test('whatever is thenable is awaited, as await would', async () => {
    await using world = await World.open()
    await world.process({
      later: () => {
        const value = { enriched: { n: 1 } }
        const later = Object.assign(Object.create(null), {
          // biome-ignore lint/suspicious/noThenProperty: that is what the test is about.
          then: (done: (result: object) => void) => setTimeout(done, 20, value),
        })
        return later
      },
    })
    const id = await world.send('later')
    await world.untilProcessed(id)
    assert.deepEqual(await world.rows('select enriched from events'), [{ enriched: { n: 1 } }])
  })

  test('what a handler does to its event, or hides in its result, harms no row and no other event', async () => {
    await using world = await World.open()
    await world.process({
      good: () => undefined,
      spoils: (event) => {
        const open = event as unknown as Record<string, unknown>
        for (const name of Object.keys(open)) delete open[name]
        throw new Error('spoilt')
      },
      hides: async () => ({
        get rows(): never {
          throw new Error('hidden')
        },
      }),
    })
    const [spoilt, hidden] = [await world.send('spoils'), await world.send('hides')]
    await world.untilProcessed(await world.send('good'))
    for (const id of [spoilt, hidden])
      await world.until('a dead letter', `select 1 from dead_letters where event ->> 'event_id' = $1`, [id])
  })

  test('a handler may return more rows than fit on the stack', async () => {
    await using world = await World.open()
    await world.pool.query('create table public.many (n int)')
    const rows = Array.from({ length: 200_000 }, (_, n) => ({ n }))
    await world.process({ many: () => ({ rows: { 'public.many': rows } }) })
    await world.untilProcessed(await world.send('many'))
    assert.deepEqual(await world.rows('select count(*)::int from public.many'), [{ count: 200_000 }])
  })

  test('a retry that takes long does not hold up the other events of its partition', async () => {
    await using world = await World.open()
    const { promise: released, resolve: release } = Promise.withResolvers<void>()
    await world.process(
      {
        slow: async (_event, ctx) => {
          if (ctx.attempt === 1) throw new Error('later')
          await released
          return undefined
        },
        good: () => undefined,
      },
      { handlerTimeoutMs: 60_000 },
    )
    const slow = await world.send('slow')
    await world.until('its retry', 'select 1 from retries where event_id = $1', [slow])
    // Longer than the pause between two looks at what is due.
    const waiting = () => world.rows('select 1 from retries')
    await holdsFor(400, 'the slow one is still being tried', async () => (await waiting()).length === 1)
    await world.untilProcessed(await world.send('good'))
    release()
    await world.untilProcessed(slow)
  })
})

function circular(): Record<string, unknown> {
  const circle: Record<string, unknown> = {}
  circle.self = circle
  return circle
}

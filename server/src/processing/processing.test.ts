import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, describe, test } from 'node:test'
import { openServices } from '@pulse/dev/services'
import { findPostgres, startPostgres } from '@pulse/dev/services/postgres'
import { holdsFor } from '@pulse/log/suite-records'
import type { Handler } from '../config/define-config.ts'
import { readBacklog } from './backlog.ts'
import { aRecord, World } from './processing-world.ts'

const services = await openServices(['postgres'])
after(() => services[Symbol.asyncDispose]())

/** A trigger on a table of the team that fails the first time with this SQLSTATE; its sequence is not rolled back. */
const failingOnce = (state: string) => `
  create table public.ledger (n int);
  create sequence public.tries;
  create function public.fail_once() returns trigger language plpgsql as $$ begin
    if nextval('public.tries') = 1 then raise exception 'once' using errcode = '${state}'; end if;
    return new;
  end $$;
  create trigger fail_once before insert on public.ledger for each row execute function public.fail_once()`

const failsFirst: Handler = (_event, ctx) => {
  if (ctx.attempt === 1) throw new Error('later')
}

/** Stops the database's side of connections, as a cut cable would for this side; disposing lets them go on. */
async function stopBackends(world: World, application: string): Promise<AsyncDisposable> {
  const rows = await world.rows(
    'select pid from pg_stat_activity where application_name = $1 and datname = current_database()',
    [application],
  )
  assert.ok(rows.length > 0)
  for (const { pid } of rows) process.kill(pid as number, 'SIGSTOP')
  return {
    [Symbol.asyncDispose]: async () => {
      for (const { pid } of rows) process.kill(pid as number, 'SIGCONT')
    },
  }
}

// Each of them has a database of its own, and most of them mostly wait for the clocks of what they break.
const alongside = { skip: services.skip('postgres'), concurrency: 4 }

describe('processing when something fails', alongside, () => {
  test('a round whose transaction fails for a passing reason is tried again although no other event comes', async () => {
    await using world = await World.open(services.address('postgres'))
    await world.pool.query(failingOnce('40001'))
    await world.process({ booked: () => ({ rows: { 'public.ledger': [{ n: 1 }] } }) })
    await world.untilProcessed(await world.send('booked'))
  })

  test('retries that fail again and again leave one reader at work, and nothing is run twice', async () => {
    await using world = await World.open(services.address('postgres'))
    await world.process({
      odd: (_event, ctx) => {
        if (ctx.attempt === 1) throw new Error('later')
        return { rows: { 'public.ledger': [{ n: 1 }] } }
      },
    })
    await world.pool.query(`${failingOnce('40001').replace('= 1 then', '< 6 then')}`)
    await world.untilProcessed(await world.send('odd'))
    // Those of the rounds that failed let go of their connections, and the next one opens its own.
    await world.until(
      'one reader',
      `select 1 from pg_stat_activity where application_name = 'pulse log reader' and datname = current_database()
       having count(*) = 1`,
    )
  })

  for (const [what, enriched] of [
    ['a BigInt', { n: 1n }],
    ['a circle', circular()],
    ['more than a mebibyte', { text: 'x'.repeat(1024 * 1024) }],
  ] as const)
    test(`a handler that returns ${what}, which cannot be a row, harms its own event only`, async () => {
      await using world = await World.open(services.address('postgres'))
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
    await using world = await World.open(services.address('postgres'))
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
    await using world = await World.open(services.address('postgres'))
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
    await using world = await World.open(services.address('postgres'))
    const days = await world.rows(`select inhrelid::regclass::text as name from pg_inherits
      where inhparent = 'events'::regclass`)
    for (const { name } of days) await world.pool.query(`drop table ${name}`)
    await world.process({ good: () => undefined })
    await world.untilProcessed(await world.send('good'))
    assert.deepEqual(await world.rows('select 1 from dead_letters'), [])
  })

  test('a value that is too long for an index of its property harms its own event only', async () => {
    await using world = await World.open(services.address('postgres'))
    await world.pool.query(`create index on events ((properties ->> 'url'), received_at)`)
    await world.process({ good: () => undefined })
    const url = Array.from({ length: 300 }, () => randomUUID()).join('')
    const bad = await world.send('good', null, { url })
    await world.untilProcessed(await world.send('good'))
    await world.until('a dead letter', 'select 1 from dead_letters where event_id = $1', [bad])
  })

  test('a key as long as an event may be does not keep its event from being parked', async () => {
    await using world = await World.open(services.address('postgres'))
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
    await using world = await World.open(services.address('postgres'))
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
    await using world = await World.open(services.address('postgres'))
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
    await using world = await World.open(services.address('postgres'))
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
    await using world = await World.open(services.address('postgres'))
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
    await using world = await World.open(services.address('postgres'))
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
    await using world = await World.open(services.address('postgres'))
    await world.pool.query('create table public.many (n int)')
    const rows = Array.from({ length: 200_000 }, (_, n) => ({ n }))
    await world.process({ many: () => ({ rows: { 'public.many': rows } }) })
    await world.untilProcessed(await world.send('many'))
    assert.deepEqual(await world.rows('select count(*)::int from public.many'), [{ count: 200_000 }])
  })

  test('connections that hang are given up: what waits is processed over new ones, and the backlog says that it is not known', async () => {
    // A PostgreSQL of its own: while one of its connections hangs, no database of it can be dropped.
    const bin = await findPostgres()
    assert.ok(bin, 'npm’s PostgreSQL is not installed')
    await using postgres = await startPostgres(bin)
    await using world = await World.open(postgres.address)
    await world.process({ odd: failsFirst, good: () => undefined })
    await world.untilProcessed(await world.send('good'))
    const retried = await world.send('odd')
    await world.untilProcessed(retried)
    await using _ = await stopBackends(world, 'work')
    const asked = readBacklog({ pool: world.workPool, log: world.log, topics: ['events'] })
    const ids = [await world.send('good'), await world.send('odd')]
    await assert.rejects(asked, { code: 'unavailable' })
    for (const id of ids) await world.until('processed', 'select 1 from events where event_id = $1', [id])
  })

  test('a retry whose commit did happen although its answer was lost is not done again', async () => {
    await using world = await World.open(services.address('postgres'))
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
    const { promise: released, resolve: release } = Promise.withResolvers<void>()
    await world.process({
      odd: async (_event, ctx) => {
        if (ctx.attempt === 1) throw new Error('later')
        begin()
        await released
        return undefined
      },
    })
    const id = await world.send('odd')
    await begun
    // As that commit would have left it.
    await world.pool.query('delete from retries where event_id = $1', [id])
    release()
    await world.untilProcessed(await world.send('good'))
    await holdsFor(300, 'no row', async () => (await world.rowsOf(id)).length === 0)
  })

  test('an event that has to wait while another one of its id waits already does not vanish: it becomes a dead letter', async () => {
    await using world = await World.open(services.address('postgres'))
    const fail: Handler = () => {
      throw new Error('always')
    }
    await world.process({ odd: fail }, { retryBaseMs: 60_000, retryMaxMs: 60_000 })
    const record = aRecord('odd', null, {})
    // Without fingerprints the log does not know them again, as after the id window.
    await world.log.append([record])
    await world.until('it waits', 'select 1 from retries where event_id = $1', [record.id])
    await world.log.append([record])
    const letter = await world.until('a dead letter', 'select error_class from dead_letters')
    assert.equal(letter.error_class, 'EventIdConflict')
    assert.equal((await world.rows('select 1 from retries')).length, 1)
  })

  test('a record that is no event stops its partition, which says where; what is before it is processed', async () => {
    await using world = await World.open(services.address('postgres'))
    const good = aRecord('good', null, {})
    await world.log.append([good, { ...aRecord('good', null, {}), value: '{"hello":"world"}' }])
    const { group } = await world.process({ good: () => undefined })
    await world.untilProcessed(good.id)
    const row = await world.until(
      'it has stopped',
      'select stopped, next_offset::int from log_group_partitions where stopped is not null',
    )
    assert.deepEqual(row, { stopped: 'events/0 holds no event at offset 1', next_offset: 1 })
    assert.equal(group.stopped().length, 1)
  })

  test('retries of different keys run side by side up to the limit, those of one key one after the other', async () => {
    await using world = await World.open(services.address('postgres'))
    const running: (string | null)[] = []
    const { promise: full, resolve: fill } = Promise.withResolvers<void>()
    let most = 0
    await world.process(
      {
        odd: async ({ user_id }, ctx) => {
          if (ctx.attempt === 1) throw new Error('later')
          assert.ok(!running.includes(user_id), 'two of one key at a time')
          most = Math.max(most, running.push(user_id))
          if (most === 8) fill()
          await full
          running.splice(running.indexOf(user_id), 1)
          return undefined
        },
      },
      { handlerConcurrency: 8, retryBaseMs: 1 },
    )
    const records = Array.from({ length: 40 }, (_, n) => aRecord('odd', `user-${n % 20}`, {}))
    await world.log.append(records)
    for (const { id } of records) await world.untilProcessed(id)
    assert.equal(most, 8)
    assert.deepEqual(await world.rows('select 1 from dead_letters'), [])
  })

  test('a retry that takes long does not hold up the other events of its partition', async () => {
    await using world = await World.open(services.address('postgres'))
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

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { type Group, type GroupOptions, type HeldPartition, joinGroup } from './groups.ts'
import { type EventLog, type LogBatch, LogError } from './log.ts'
import { appendAll, aRecord, freshTopic, inTime, promisedWithinMs } from './suite-records.ts'

/** What groups need: a log, and a database with the log's schema for the offsets, whatever the log's driver. */
export interface GroupWorld extends AsyncDisposable {
  readonly log: EventLog
  readonly connection: pg.ClientConfig
}

/** Short times, so that a lease that runs out is a test and not a break. */
const times = { leaseMs: 1_500, heartbeatMs: 100 } as const

/** The suite of groups on one driver of the log: who owns what, where offsets stand, what a crash leaves behind. */
export function groupSuite(
  name: string,
  open: () => Promise<GroupWorld>,
  { skip }: { skip: string | false },
): void {
  describe(`groups on the ${name} log`, { skip }, () => {
    let world: GroupWorld | undefined
    before(async () => {
      world = await open()
      await inTransaction(world.connection, (tx) => tx.query(createEffects))
    })
    after(() => world?.[Symbol.asyncDispose]())
    const bench = () => new Bench(world ?? assert.fail('the world did not open')).open()
    sharingTests(bench)
    takingOverTests(bench)
    failingTests(bench)
    stoppingTests(bench)
  })
}

type NewBench = () => Promise<Bench>

function sharingTests(bench: NewBench): void {
  test('one member gives every event one effect, and the stored offset equals the verdicts', async () => {
    await using on = await bench()
    await on.append(120)
    await on.join()
    await on.append(80)
    await on.untilEffects(200)
    await on.checkOnce(200)
    await on.checkVerdicts()
  })

  test('members share the partitions evenly, each partition has one owner, and one that leaves hands its own over', async () => {
    await using on = await bench()
    const members = [await on.join(), await on.join(), await on.join()]
    await on.append(150)
    const sizes = () => members.map((member) => member.held().length).sort()
    await on.until('two partitions each', async () => `${sizes()}` === '2,2,2')
    const owned = members.flatMap((member) => member.held().map(({ partition }) => partition))
    assert.deepEqual(owned.sort(), [0, 1, 2, 3, 4, 5])
    await members.shift()?.[Symbol.asyncDispose]()
    await on.until('three partitions each', async () => `${sizes()}` === '3,3')
    await on.append(150)
    await on.untilEffects(300)
    await on.checkOnce(300)
  })

  test('two groups do not touch each other, and a group may begin at the end', async () => {
    await using on = await bench()
    await using other = await bench()
    await on.append(30)
    await on.join({ from: 'end' })
    await other.join({ topics: [on.topic] })
    await on.append(20)
    await on.untilEffects(20)
    await other.untilEffects(50)
    await on.checkOnce(20)
  })

  test('members that come and go in any order leave no event out and do none twice', async () => {
    await using on = await bench()
    const members: Group[] = []
    let appended = 0
    for (let round = 0; round < 12; round++) {
      if (round % 3 !== 2) members.push(await on.join())
      else await members.splice(round % members.length, 1)[0]?.[Symbol.asyncDispose]()
      await on.append(25)
      appended += 25
      await sleep(60)
    }
    await on.untilEffects(appended)
    await on.checkOnce(appended)
    await on.checkVerdicts()
  })
}

function takingOverTests(bench: NewBench): void {
  test('a member that only seemed dead is fenced: its commit throws, and the events have the effect of the next owner', async () => {
    await using on = await bench()
    await on.append(40)
    const stuck = Promise.withResolvers<void>()
    const fenced: unknown[] = []
    // Its heart does not beat again, and its work hangs in the middle of its transactions.
    const zombie = await on.join({
      heartbeatMs: 3_600_000,
      work: (held) =>
        on.effect(held, { hold: stuck.promise }).catch((error: unknown) => {
          fenced.push(error)
          throw error
        }),
    })
    assert.equal(zombie.held().length, 6)
    await on.until('the zombie at work', async () => on.atCommit > 0)
    await on.join()
    await on.untilEffects(40)
    stuck.resolve()
    await on.until('the fenced commits', async () => fenced.length > 0)
    for (const error of fenced) assert.ok(error instanceof LogError && error.code === 'fenced', String(error))
    await on.checkOnce(40)
    await on.checkVerdicts()
  })

  test('after an unclean end the next owner learns it, with the offset on trial and the number of crashes', async () => {
    await using on = await bench()
    await on.append(1, 'a')
    const stuck = Promise.withResolvers<void>()
    const seen: Pick<HeldPartition, 'clean' | 'trying' | 'crashes'>[] = []
    const crash = (held: HeldPartition) => async () => {
      seen.push({ clean: held.clean, trying: held.trying, crashes: held.crashes })
      await held.mark(0)
      await stuck.promise
    }
    const busy = async (held: HeldPartition) => {
      for await (const _ of held.batches()) await crash(held)()
    }
    for (let round = 0; round < 3; round++) {
      await on.join({ heartbeatMs: 3_600_000, work: busy })
      await on.until('the crash', async () => seen.length === round + 1)
      await sleep(times.leaseMs) // the lease of a member whose heart has stopped
    }
    stuck.resolve()
    assert.deepEqual(seen, [
      { clean: true, trying: undefined, crashes: 0 },
      { clean: false, trying: 0, crashes: 1 },
      { clean: false, trying: 0, crashes: 2 },
    ])
  })
}

function failingTests(bench: NewBench): void {
  test('a member that loses its database session goes on by itself, and nothing is done twice', async () => {
    await using on = await bench()
    await on.join()
    await on.append(30)
    await on.untilEffects(30)
    await on.endSessions()
    await on.append(30)
    await on.untilEffects(60)
    await on.checkOnce(60)
  })

  test('work that throws is taken up again from the stored offset, and the failure is told', async () => {
    await using on = await bench()
    await on.append(10, 'a')
    const told: LogError[] = []
    let failures = 1
    await on.join({
      troubled: (error) => told.push(error),
      work: async (held) => {
        for await (const batch of held.batches()) {
          if (failures-- > 0) throw new Error('the handler’s database went away')
          await on.commit(held, batch)
        }
      },
    })
    await on.untilEffects(10)
    assert.match(told[0]?.message ?? '', /went away/)
    await on.checkOnce(10)
  })
}

function stoppingTests(bench: NewBench): void {
  test('an offset that the log no longer holds stops the partition loudly, and is never skipped', async (t) => {
    await using on = await bench()
    if (!on.log.can.trim) return t.skip('this log does not trim')
    await on.append(12, 'a')
    const leaver = await on.join()
    await on.untilEffects(12)
    await leaver[Symbol.asyncDispose]()
    await on.append(12, 'a')
    const { partition } = on.last
    await on.log.trim(on.topic, new Map([[partition, 20]]))
    const told: LogError[] = []
    const member = await on.join({ troubled: (error) => told.push(error) })
    await on.until('the stop', async () => member.stopped().length > 0)
    assert.deepEqual(
      member.stopped().map(({ topic, partition: stopped }) => ({ topic, partition: stopped })),
      [{ topic: on.topic, partition }],
    )
    assert.ok(member.stopped()[0]?.reason)
    assert.ok(told.some(({ code }) => code === 'out-of-range'))
    await on.checkOnce(12)
  })
}

const createEffects = `create table public.suite_effects
  (run uuid not null, partition int not null, "offset" bigint not null, event_id uuid not null)`

async function inTransaction<Result>(
  connection: pg.ClientConfig,
  work: (tx: pg.Client) => Promise<Result>,
): Promise<Result> {
  const client = new pg.Client({ ...connection, options: '-c search_path=pulse,public' })
  client.on('error', () => undefined)
  await client.connect()
  try {
    await client.query('begin')
    const result = await work(client)
    await client.query('commit')
    return result
  } finally {
    await client.end()
  }
}

/** One group on a topic of its own with six partitions, whose work writes a row per event. */
class Bench implements AsyncDisposable {
  readonly log: EventLog
  readonly topic = freshTopic()
  /** Batches that have come as far as their commit. */
  atCommit = 0
  /** Where the last appended event stands. */
  last = { partition: -1, offset: -1 }
  readonly #run = randomUUID()
  readonly #connection: pg.ClientConfig
  readonly #members: Group[] = []

  constructor({ log, connection }: GroupWorld) {
    this.log = log
    this.#connection = connection
  }

  async open(): Promise<this> {
    await this.log.declare([{ name: this.topic, partitions: 6 }])
    return this
  }

  async append(count: number, key?: string): Promise<void> {
    const records = Array.from({ length: count }, (_, index) =>
      aRecord(this.topic, key ?? `user ${index % 37}`),
    )
    this.last = (await appendAll(this.log, records)).at(-1) ?? this.last
  }

  async join(more: Partial<GroupOptions> = {}): Promise<Group> {
    const { log, topic } = this
    const work = (held: HeldPartition) => this.effect(held)
    const needs = { name: this.#run, log, connection: this.#connection, topics: [topic], work }
    const group = await joinGroup({ ...needs, ...times, ...more })
    this.#members.push(group)
    return group
  }

  /** The usual work: the rows of a batch and its offset in one transaction, which may be held up before the offset. */
  async effect(held: HeldPartition, { hold }: { hold?: Promise<void> } = {}): Promise<void> {
    for await (const batch of held.batches()) await this.commit(held, batch, hold)
  }

  async commit(held: HeldPartition, batch: LogBatch, hold?: Promise<void>): Promise<void> {
    await inTransaction(this.#connection, async (tx) => {
      for (const { offset, event } of batch.records)
        await tx.query('insert into public.suite_effects values ($1, $2, $3, $4)', [
          ...[this.#run, held.partition],
          ...[offset, event.event_id],
        ])
      this.atCommit += 1
      await hold
      await held.commit(tx, batch.nextOffset, { processed: batch.records.length })
    })
    held.committed(batch.nextOffset)
  }

  async effects(): Promise<{ partition: number; offset: string; event_id: string }[]> {
    const text = 'select partition, "offset", event_id from public.suite_effects where run = $1'
    return inTransaction(this.#connection, async (tx) => (await tx.query(text, [this.#run])).rows)
  }

  async until(what: string, reached: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + promisedWithinMs
    while (!(await reached())) {
      assert.ok(Date.now() < deadline, `${what} did not come within ${promisedWithinMs} ms`)
      await sleep(20)
    }
  }

  async untilEffects(count: number): Promise<void> {
    await this.until(`${count} effects`, async () => (await this.effects()).length >= count)
  }

  async checkOnce(count: number): Promise<void> {
    const rows = await this.effects()
    assert.equal(rows.length, count)
    assert.equal(new Set(rows.map(({ partition, offset }) => `${partition}.${offset}`)).size, count)
    assert.equal(new Set(rows.map(({ event_id }) => event_id)).size, count)
  }

  /** Every offset below the stored one has exactly one verdict, and an effect. */
  async checkVerdicts(): Promise<void> {
    const text = `select sum(next_offset - first_offset)::int as passed,
        sum(processed + repeated + dead + parked + dropped + control)::int as verdicts
      from log_group_partitions where group_name = $1`
    const { rows } = await inTransaction(this.#connection, (tx) => tx.query(text, [this.#run]))
    const effects = (await this.effects()).length
    assert.deepEqual(rows, [{ passed: effects, verdicts: effects }])
  }

  /** Ends the sessions of this group's members, as a restart of the database would. */
  async endSessions(): Promise<void> {
    const text = 'select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1'
    const { rowCount } = await inTransaction(this.#connection, (tx) =>
      tx.query(text, [`pulse group ${this.#run}`.slice(0, 63)]),
    )
    assert.ok(rowCount, 'the group has no session of that name')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await inTime(
      Promise.all(this.#members.map((member) => member[Symbol.asyncDispose]())),
      'the end of the members',
    )
  }
}

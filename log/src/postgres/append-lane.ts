import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { LogError, type RecordPosition } from '../log.ts'
import { encodeBatch } from '../record-batch.ts'
import { outcomeOfRepeat, type Pending, type RecentIds } from './append-queue.ts'
import { byteaArray, intArray, uuidArray } from './binary.ts'
import { asLogError, drop, hadNoEffect, sqlState } from './connection.ts'
import type { Entered, Life, Topic } from './lives.ts'
import { appendGroup, findAppend, findIds } from './statements.ts'

const limits = {
  /** A group's size bounds how long the next one waits: 5,000 events encode in about 20 ms. */
  groupRecordsMax: 5_000,
  groupCharsMax: 4 * 1024 * 1024,
  /** An append that takes longer is treated as a lost connection: its fate is asked for. */
  appendMsMax: 10_000,
  /** How long a group of unknown fate is waited for before its callers are told so. */
  unknownMsMax: 10_000,
  askAgainMs: 100,
  /** After a repeat was found the hard way, this many groups ask before they append. */
  askFirstGroups: 50,
} as const

interface LaneNeeds {
  readonly connect: () => Promise<Entered>
  /** Whether this is the newest life of the database that the process knows. */
  readonly isCurrent: (life: Life) => boolean
  readonly recent: RecentIds
  readonly prepareDays: (client: pg.Client) => Promise<void>
  readonly appended: (topic: number, partition: number) => void
  readonly committed: (records: number, ms: number) => void
}

/** What a connection has in the server: enough to make sure that it is gone. */
interface Backend {
  readonly pid: number
  readonly startedAt: string
}

/**
 * Group commit over one connection. A partition always uses the same lane, one group is on its way at a time, and
 * the next one gathers while the disk syncs; so records of a key keep their order through every failure.
 *
 * The lane is `clear` (nothing is in doubt) or has a `suspect` (a backend that was lost in the middle of an
 * append). While there is a suspect nothing is sent before that backend is known to be gone: it could otherwise
 * still commit after a later group. If the database stays away, queued records fail at once (they were never
 * sent) and the group in doubt is reported as unknown after `unknownMsMax`.
 */
export class AppendLane {
  readonly #needs: LaneNeeds
  #queue: Pending[] = []
  #running: Promise<void> | undefined
  #entered: Entered | undefined
  #isLost = false
  #backend: Backend | undefined
  #suspect: Backend | undefined
  #askFirst = 0

  constructor(needs: LaneNeeds) {
    this.#needs = needs
  }

  /** Queues a record that is not known yet. */
  push(pending: Pending): void {
    this.#queue.push(pending)
    // Deferred to the end of this turn of the event loop, so that requests read together travel together.
    this.#running ??= new Promise<void>((resolve) => setImmediate(resolve)).then(() => this.#run())
  }

  /** Waits for what was pushed, then lets go of the connection. */
  async close(): Promise<void> {
    while (this.#running) await this.#running
    await this.#entered?.client.end().catch(() => {})
    this.#entered = undefined
  }

  /** True while the connection is lost, and with it the knowledge of which database will answer next. */
  get isLost(): boolean {
    return this.#isLost
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      const settle = await this.#append(this.#take())
      // Answering thousands of callers takes longer than sending the next group: so that goes first, and the database
      // works meanwhile.
      if (this.#queue.length > 0) setImmediate(settle)
      else settle()
    }
    this.#running = undefined
  }

  #take(): Pending[] {
    let chars = 0
    let count = 0
    while (count < this.#queue.length && count < limits.groupRecordsMax && chars < limits.groupCharsMax) {
      chars += (this.#queue[count] as Pending).record.value.length
      count++
    }
    if (count === this.#queue.length) {
      const all = this.#queue
      this.#queue = []
      return all
    }
    return this.#queue.splice(0, count)
  }

  /** Appends a group whatever happens; returns what tells its callers. */
  async #append(group: Pending[]): Promise<() => void> {
    let left = group
    const deadline = performance.now() + limits.unknownMsMax
    // The append that was sent and not answered; until its fate is known nothing may be sent again.
    let inDoubt: string | undefined
    for (;;) {
      try {
        const before = this.#entered?.life
        const entered = await this.#connected()
        const { client, life } = entered
        if (before !== life) left = this.#refuseMisplaced(life, left)
        if (inDoubt) {
          left = await this.#settleFound(entered, left, inDoubt)
          inDoubt = undefined
        }
        // Named now, so that the append is refused if a rotation comes between this question and it.
        const generation = life.ids.current
        left = await this.#settleKnown(entered, left)
        if (left.length === 0) return () => {}
        const appendId = randomUUID()
        const stored = await this.#store(entered, left, { appendId, generation }).catch((error: unknown) => {
          if (!hadNoEffect(error)) inDoubt = appendId
          throw error
        })
        if (stored) return stored
        await life.ids.load(client) // a rotation was missed, and nothing was stored
      } catch (error) {
        const next = inDoubt ? await this.#afterLoss(deadline) : await this.#afterFailure(error)
        if (next === 'again') continue
        const failed = left
        return () => {
          for (const pending of failed) this.#needs.recent.fail(pending, next, asLogError(error))
        }
      }
    }
  }

  /** Nothing is in doubt: decides whether to try again or to tell the callers that their records are not there. */
  async #afterFailure(error: unknown): Promise<'again' | 'failed'> {
    switch (sqlState(error)) {
      case '23505': // an id is there already: ask which, here and for a while
        this.#askFirst = limits.askFirstGroups
        return 'again'
      case '40001': // serialization failure
      case '40P01': // deadlock
        return 'again'
      case '23514': // no partition for today
        return (await this.#prepareDays()) ? 'again' : 'failed'
    }
    if (!hadNoEffect(error)) this.#lose()
    return 'failed'
  }

  /** An append was sent and not answered: asks again until the database tells, or gives up knowing. */
  async #afterLoss(deadline: number): Promise<'again' | 'unknown'> {
    this.#lose()
    if (performance.now() > deadline) return 'unknown'
    await delay(limits.askAgainMs)
    return 'again'
  }

  async #prepareDays(): Promise<boolean> {
    try {
      await this.#needs.prepareDays((await this.#connected()).client)
      return true
    } catch {
      return false
    }
  }

  /** The connection is not to be trusted any more; what it was doing may still happen. */
  #lose(): void {
    if (!this.#entered) return
    this.#isLost = true
    this.#suspect = this.#backend
    drop(this.#entered.client)
    this.#entered = undefined
    this.#backend = undefined
  }

  async #connected(): Promise<Entered> {
    // Another connection may have found the database in another life, while this one still leads to what was before.
    if (this.#entered && !this.#isLost && this.#needs.isCurrent(this.#entered.life)) return this.#entered
    this.#lose()
    const entered = await this.#needs.connect()
    const { client, life } = entered
    client.on('end', () => {
      if (this.#entered === entered) this.#isLost = true
    })
    try {
      if (this.#suspect) await endBackend(client, this.#suspect)
      this.#suspect = undefined
      const { rows } = await client.query<{ pid: number; started: string }>(
        'select pid, backend_start::text as started from pg_stat_activity where pid = pg_backend_pid()',
      )
      this.#backend = { pid: rows[0]?.pid ?? 0, startedAt: rows[0]?.started ?? '' }
      await life.ids.load(client)
    } catch (error) {
      drop(client)
      throw asLogError(error)
    }
    this.#entered = entered
    this.#isLost = false
    this.#queue = this.#refuseMisplaced(life, this.#queue)
    return entered
  }

  /** A topic that was made just before a failover may be gone, and its number another one's: returns the other records. */
  #refuseMisplaced(life: Life, group: Pending[]): Pending[] {
    return group.filter((pending) => {
      if (life.topicWithId(pending.topic)?.name === pending.record.topic) return true
      const error = new LogError('unavailable', `the topic ${pending.record.topic} was lost in a failover`)
      this.#needs.recent.fail(pending, 'failed', error)
      return false
    })
  }

  /** Answers the records whose ids the tables know; returns the others. */
  async #settleKnown({ client, life }: Entered, group: Pending[]): Promise<Pending[]> {
    const askAll = this.#askFirst > 0
    if (askAll) this.#askFirst--
    const { recent } = this.#needs
    const generations: number[] = []
    const asked: string[] = []
    for (const { record } of group) {
      if (!record.fingerprint) continue
      life.ids.maybes(record.id, generations, askAll)
      while (asked.length < generations.length) asked.push(record.id)
    }
    if (asked.length === 0) return group
    const { rows } = await this.#timed(client, {
      name: 'find_ids',
      text: findIds,
      values: [intArray('int4', generations), uuidArray(asked)],
    })
    if (rows.length === 0) return group
    const found = new Map(rows.map((row) => [row.id as string, row]))
    return group.filter((pending) => {
      const { fingerprint, id } = pending.record
      const row = fingerprint ? found.get(id) : undefined
      if (!row || !fingerprint) return true
      const topic = life.topicWithId(row.topic) as Topic
      const position = {
        epoch: topic.epoch,
        topic: topic.name,
        partition: row.partition,
        offset: Number(row.record_offset),
      }
      const first = {
        fingerprint: (row.fingerprint as string).replaceAll('-', ''),
        position,
        receivedAt: Number(row.received_at),
      }
      recent.resolve(pending, outcomeOfRepeat(first, fingerprint), first)
      return false
    })
  }

  /** Sends one group; returns what tells its callers, or undefined if a rotation was missed and nothing was stored. */
  async #store(
    { client, life }: Entered,
    group: Pending[],
    as: { appendId: string; generation: number },
  ): Promise<(() => void) | undefined> {
    const parts = partsOf(group)
    const started = performance.now()
    const { rows } = await this.#timed(client, {
      name: 'append_group',
      text: appendGroup,
      values: parametersOf(parts, as),
    })
    if (rows.length < parts.length) return undefined
    this.#needs.committed(group.length, performance.now() - started)
    return () => {
      for (const row of rows) this.#settlePart(life, parts[row.nr - 1] ?? [], Number(row.base))
    }
  }

  #settlePart(life: Life, part: readonly Pending[], base: number): void {
    const first = part[0]
    if (!first) return
    const { name, epoch } = life.topicWithId(first.topic) as Topic
    this.#needs.appended(first.topic, first.partition)
    part.forEach((pending, place) => {
      const position: RecordPosition = {
        epoch,
        topic: name,
        partition: first.partition,
        offset: base + place,
      }
      const { receivedAt, fingerprint } = pending.record
      const memory = fingerprint ? { fingerprint, position, receivedAt } : undefined
      if (memory) life.ids.appended(pending.record.id)
      this.#needs.recent.resolve(pending, { kind: 'appended', position, receivedAt }, memory)
    })
  }

  /** After a lost connection: settles the group if it was stored after all; returns what must be sent again. */
  async #settleFound({ client, life }: Entered, group: Pending[], appendId: string): Promise<Pending[]> {
    const parts = partsOf(group)
    const { rows } = await this.#timed(client, {
      text: findAppend,
      values: [
        appendId,
        intArray(
          'int2',
          parts.map((part) => part[0]?.topic ?? 0),
        ),
        intArray(
          'int2',
          parts.map((part) => part[0]?.partition ?? 0),
        ),
      ],
    })
    if (rows.length === 0) return group
    for (const row of rows) {
      const part = parts.find((p) => p[0]?.topic === row.topic && p[0]?.partition === row.partition)
      this.#settlePart(life, part ?? [], Number(row.base_offset))
    }
    return []
  }

  // The database can hang without closing the connection (a stopped process, a cut cable).
  async #timed(client: pg.Client, query: pg.QueryConfig): Promise<pg.QueryResult> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new LogError('unavailable', `the database took over ${limits.appendMsMax} ms`)),
        limits.appendMsMax,
      )
    })
    try {
      return await Promise.race([client.query(query), late])
    } finally {
      clearTimeout(timer)
    }
  }
}

/** Groups records by partition, keeping their order. */
function partsOf(group: readonly Pending[]): Pending[][] {
  const parts = new Map<number, Pending[]>()
  for (const pending of group) {
    const key = pending.topic * 1024 + pending.partition
    const part = parts.get(key)
    if (part) part.push(pending)
    else parts.set(key, [pending])
  }
  return [...parts.values()]
}

function parametersOf(parts: readonly Pending[][], as: { appendId: string; generation: number }): unknown[] {
  const firsts = parts.map((part) => part[0] as Pending)
  const batches = parts.map((part, n) => {
    const { record, partition } = firsts[n] as Pending
    return encodeBatch(
      record.topic,
      partition,
      part.map((pending) => pending.record),
    )
  })
  const remembered: Pending[] = []
  const owners: number[] = []
  const places: number[] = []
  const idCounts = parts.map((part, n) => {
    const before = remembered.length
    part.forEach((pending, place) => {
      if (!pending.record.fingerprint) return
      remembered.push(pending)
      owners.push(n + 1)
      places.push(place)
    })
    return remembered.length - before
  })
  return [
    intArray(
      'int2',
      firsts.map((first) => first.topic),
    ),
    intArray(
      'int2',
      firsts.map((first) => first.partition),
    ),
    intArray(
      'int4',
      parts.map((part) => part.length),
    ),
    intArray('int4', idCounts),
    parts.map((part) => [...new Set(part.map((pending) => pending.record.type))].join(',')),
    intArray(
      'int4',
      batches.map((batch) => batch.checksum),
    ),
    byteaArray(batches.map((batch) => batch.bytes)),
    as.generation,
    as.appendId,
    uuidArray(remembered.map((pending) => pending.record.id)),
    uuidArray(remembered.map((pending) => pending.record.fingerprint as string)),
    intArray(
      'int8',
      remembered.map((pending) => pending.record.receivedAt),
    ),
    intArray('int4', owners),
    intArray('int4', places),
  ]
}

/** Ends a backend and waits until it is gone, so that nothing it had begun can commit any more. */
async function endBackend(client: pg.Client, backend: Backend): Promise<void> {
  for (let tries = 0; tries < 10; tries++) {
    const { rows } = await client.query<{ gone: boolean }>(
      'select pg_terminate_backend(pid, 1000) as gone from pg_stat_activity where pid = $1 and backend_start::text = $2',
      [backend.pid, backend.startedAt],
    )
    if (rows.length === 0 || rows[0]?.gone) return
  }
  throw new LogError('unavailable', 'a lost connection is still at work in the database')
}

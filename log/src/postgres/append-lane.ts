import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { LogError, type RecordPosition } from '../log.ts'
import { encodeBatch } from '../record-batch.ts'
import { outcomeOfRepeat, type Pending, type RecentIds } from './append-queue.ts'
import { byteaArray, intArray, uuidArray } from './binary.ts'
import { asLogError, drop, hadNoEffect, sqlState } from './connection.ts'
import type { RememberedIds } from './remembered-ids.ts'
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
  readonly connect: () => Promise<pg.Client>
  readonly recent: RecentIds
  readonly ids: RememberedIds
  readonly topic: (id: number) => { readonly name: string; readonly epoch: number }
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
  #client: pg.Client | undefined
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
    await this.#client?.end().catch(() => {})
    this.#client = undefined
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
        const client = await this.#connected()
        if (inDoubt) {
          left = await this.#settleFound(client, left, inDoubt)
          inDoubt = undefined
        }
        // Named now, so that the append is refused if a rotation comes between this question and it.
        const generation = this.#needs.ids.current
        left = await this.#settleKnown(client, left)
        if (left.length === 0) return () => {}
        const appendId = randomUUID()
        const stored = await this.#store(client, left, { appendId, generation }).catch((error: unknown) => {
          if (!hadNoEffect(error)) inDoubt = appendId
          throw error
        })
        if (stored) return stored
        await this.#needs.ids.load(client) // a rotation was missed, and nothing was stored
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
      await this.#needs.prepareDays(await this.#connected())
      return true
    } catch {
      return false
    }
  }

  /** The connection is not to be trusted any more; what it was doing may still happen. */
  #lose(): void {
    if (!this.#client) return
    this.#suspect = this.#backend
    drop(this.#client)
    this.#client = undefined
    this.#backend = undefined
  }

  async #connected(): Promise<pg.Client> {
    if (this.#client) return this.#client
    const client = await this.#needs.connect()
    try {
      if (this.#suspect) await endBackend(client, this.#suspect)
      this.#suspect = undefined
      const { rows } = await client.query<{ pid: number; started: string }>(
        'select pid, backend_start::text as started from pg_stat_activity where pid = pg_backend_pid()',
      )
      this.#backend = { pid: rows[0]?.pid ?? 0, startedAt: rows[0]?.started ?? '' }
      await this.#needs.ids.load(client)
    } catch (error) {
      drop(client)
      throw asLogError(error)
    }
    this.#client = client
    return client
  }

  /** Answers the records whose ids the tables know; returns the others. */
  async #settleKnown(client: pg.Client, group: Pending[]): Promise<Pending[]> {
    const askAll = this.#askFirst > 0
    if (askAll) this.#askFirst--
    const { ids, recent } = this.#needs
    const generations: number[] = []
    const asked: string[] = []
    for (const { record } of group) {
      if (!record.fingerprint) continue
      ids.maybes(record.id, generations, askAll)
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
      const topic = this.#needs.topic(row.topic)
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
    client: pg.Client,
    group: Pending[],
    as: { appendId: string; generation: number },
  ): Promise<(() => void) | undefined> {
    const parts = partsOf(group)
    const started = performance.now()
    const { rows } = await this.#timed(client, {
      name: 'append_group',
      text: appendGroup,
      values: this.#parameters(parts, as),
    })
    if (rows.length < parts.length) return undefined
    this.#needs.committed(group.length, performance.now() - started)
    return () => {
      for (const row of rows) this.#settlePart(parts[row.nr - 1] ?? [], Number(row.base))
    }
  }

  #parameters(parts: readonly Pending[][], as: { appendId: string; generation: number }): unknown[] {
    const firsts = parts.map((part) => part[0] as Pending)
    const batches = parts.map((part, n) => {
      const { topic, partition } = firsts[n] as Pending
      return encodeBatch(
        this.#needs.topic(topic).name,
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

  #settlePart(part: readonly Pending[], base: number): void {
    const first = part[0]
    if (!first) return
    const { name, epoch } = this.#needs.topic(first.topic)
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
      if (memory) this.#needs.ids.appended(pending.record.id)
      this.#needs.recent.resolve(pending, { kind: 'appended', position, receivedAt }, memory)
    })
  }

  /** After a lost connection: settles the group if it was stored after all; returns what must be sent again. */
  async #settleFound(client: pg.Client, group: Pending[], appendId: string): Promise<Pending[]> {
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
      this.#settlePart(part ?? [], Number(row.base_offset))
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

import assert from 'node:assert/strict'
import { createHash, randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freshDatabase } from '@pulse/dev/services/postgres'
import type { EventLog, LogRecord, NewRecord } from '@pulse/log'
import { migrate } from '@pulse/log/migrate'
import { openPostgresLog } from '@pulse/log/postgres'
import pg from 'pg'
import { keysOf } from '../subscriptions/control-records.ts'
import { matches } from '../subscriptions/matches.ts'
import type { Tree } from '../subscriptions/tree.ts'
import { createV1Encoding } from './encoding.ts'
import { Flusher } from './flusher.ts'
import { type Controls, LiveFeed } from './live-feed.ts'
import { Replays } from './replays.ts'
import type { Index } from './scan.ts'
import { Session, type Transport } from './session.ts'
import { reaches, Slots, type Vector } from './vector.ts'

const migrations = fileURLToPath(new URL('../../../log/migrations', import.meta.url))

/** A test whose name says what its events are: `kind` decides what matches. */
export const kindIs = (...values: string[]): Tree => ({
  kind: 'some',
  path: ['properties', 'kind'],
  test: { kind: 'equals', values },
})

/** Asks every tree: what the matching index must equal, so that these tests do not depend on it. */
function createLinearIndex(): Index {
  const trees = new Map<number, Tree>()
  let found = new Int32Array(16)
  return {
    get found() {
      return found
    },
    add: (handle, tree) => {
      trees.set(handle, tree)
      if (trees.size > found.length) found = new Int32Array(trees.size * 2)
    },
    remove: (handle) => {
      trees.delete(handle)
    },
    match: (event) => {
      let count = 0
      for (const [handle, tree] of trees) if (matches(tree, event)) found[count++] = handle
      return count
    },
  }
}

/** Nothing here may wait longer than this. */
const waitMsMax = 60_000

/** What a reader was told, checked while it comes: an event's `previous` must be what was told before. */
export class Reader implements Transport {
  /** Per slot the offsets that came, in order. */
  readonly offsets: number[][]
  /** Per slot how many had come before its first one; undefined before that. */
  readonly before: (number | undefined)[] = []
  readonly frames: Record<string, unknown>[] = []
  readonly #slots: Slots
  readonly #told: Vector
  /** How much it takes before it is full; it then says so until `drain`. */
  room = Number.POSITIVE_INFINITY
  closedWith: number | undefined
  /** Told each time that it was written to. */
  onWrite: (() => void) | undefined
  /** What was told wrongly. It is noted, because an error that is thrown to the flusher is nobody's and fails no test. */
  readonly faults: unknown[] = []

  constructor(slots: Slots, place: Vector) {
    this.#slots = slots
    this.#told = place.slice()
    this.offsets = Array.from({ length: slots.count }, () => [])
  }

  write(bytes: Buffer): boolean {
    try {
      for (const text of messagesOf(bytes)) this.#take(JSON.parse(text))
    } catch (error) {
      this.faults.push(error)
    }
    this.onWrite?.()
    this.room -= bytes.length
    return this.room > 0
  }

  close(code: number): void {
    this.closedWith = code
  }

  count(): number {
    return this.offsets.reduce((sum, { length }) => sum + length, 0)
  }

  #take(frame: Record<string, unknown>): void {
    if (frame.type === 'event') this.#event(frame)
    else if (frame.type === 'batch')
      for (const event of frame.events as Record<string, unknown>[]) this.#event(event)
    else this.frames.push(frame)
    if (frame.type === 'gap') this.#joins(frame.from as string)
    const to = frame.type === 'checkpoint' ? frame.position : frame.type === 'gap' ? frame.to : undefined
    if (to === undefined) return
    const presented = this.#slots.parse(to as string)
    assert.ok(presented.kind === 'ok')
    for (const [slot, offset] of presented.vector.entries())
      this.#told[slot] = Math.max(this.#told[slot] as number, offset)
  }

  /** Whatever lies between what was told and where a gap begins would be missing without a word. */
  #joins(from: string): void {
    const presented = this.#slots.parse(from)
    if (presented.kind !== 'ok') return
    for (const [slot, offset] of presented.vector.entries())
      assert.ok(offset <= (this.#told[slot] as number), 'a gap begins where the stream was told to stand')
  }

  #event({ topic, partition, offset, previous }: Record<string, unknown>): void {
    const slot = this.#slots.of(topic as string, partition as number)
    assert.equal(previous, (this.#told[slot] as number) - 1, 'the chain of offsets is whole')
    this.#told[slot] = (offset as number) + 1
    this.before[slot] ??= this.count()
    this.offsets[slot]?.push(offset as number)
  }
}

/** The texts of whole, unmasked WebSocket messages. */
export function* messagesOf(bytes: Buffer): Iterable<string> {
  let at = 0
  while (at < bytes.length) {
    assert.equal(bytes[at], 0x81)
    const short = bytes[at + 1] as number
    const head = short < 126 ? 2 : short === 126 ? 4 : 10
    const length =
      head === 2 ? short : head === 4 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2))
    yield bytes.toString('utf8', at + head, at + head + length)
    at += head + length
  }
}

/** A log on a database of its own, and the feed over it. */
export class DeliveryWorld implements AsyncDisposable {
  readonly log: EventLog
  readonly slots: Slots
  readonly live: LiveFeed
  readonly replays: Replays
  readonly flusher = new Flusher((_, error) => this.failures.push(error))
  readonly failures: unknown[] = []
  /** Everyone who reads: when the world ends, none of them may have been told anything wrongly. */
  readonly readers: Reader[] = []
  /** Records that replays have read. */
  replayed = 0
  /** The first of its topics. */
  readonly topic: string
  readonly #opened: AsyncDisposableStack
  readonly #connection: { readonly connectionString: string }
  #written = 0

  private constructor(
    parts: Pick<DeliveryWorld, 'log' | 'slots' | 'live' | 'topic'> & {
      readonly connection: { readonly connectionString: string }
    },
    opened: AsyncDisposableStack,
    controls: Controls,
  ) {
    this.log = parts.log
    this.slots = parts.slots
    this.live = parts.live
    this.topic = parts.topic
    this.#connection = parts.connection
    this.#opened = opened
    this.replays = new Replays({
      ...{ log: parts.log, slots: parts.slots, live: parts.live, createIndex: createLinearIndex, controls },
      replayed: (_, records) => {
        this.replayed += records
      },
      failed: (_, error) => this.failures.push(error),
    })
    opened.use(this.replays)
  }

  /** Events are spread over so many topics of four partitions each. */
  static async open(
    postgres: string,
    controls: Controls = noControls,
    topicCount = 1,
  ): Promise<DeliveryWorld> {
    await using opened = new AsyncDisposableStack()
    const database = opened.use(await freshDatabase(postgres))
    const connection = { connectionString: database.url }
    const client = new pg.Client(connection)
    await client.connect()
    await migrate(client, [{ namespace: 'log', folders: [migrations], schema: 'pulse' }])
    await client.end()
    const log = opened.use(await openPostgresLog({ connection, durability: 'disk' }))
    const names = Array.from({ length: topicCount }, () => `delivery.${randomUUID()}`)
    await log.declare(names.map((name) => ({ name, partitions: 4 })))
    const bounds = await Promise.all(names.map((name) => log.bounds(name)))
    const slots = new Slots(
      bounds.map(({ topic, epoch, partitions }) => ({ name: topic, epoch, partitions: partitions.length })),
    )
    const failures: unknown[] = []
    const live = opened.use(
      await LiveFeed.open({
        ...{ log, slots, createIndex: createLinearIndex, controls },
        troubled: (error) => failures.push(error),
        ended: () => {},
      }),
    )
    const [topic = ''] = names
    return new DeliveryWorld({ log, slots, live, topic, connection }, opened.move(), controls)
  }

  /** Turns one byte of every batch of a partition of the first topic over, from an offset on, as a bad disk would. */
  async damage(partition: number, from = 0): Promise<void> {
    const client = new pg.Client(this.#connection)
    await client.connect()
    await client.query(
      `update pulse.log_batches set bytes = set_byte(bytes, octet_length(bytes) - 1, get_byte(bytes, octet_length(bytes) - 1) # 255)
       where topic = (select id from pulse.log_topics where name = $1) and partition = $2 and base_offset >= $3`,
      [this.topic, partition, from],
    )
    await client.end()
  }

  /** Appends so many events of random kinds at once, to one topic or in turn to each. */
  async write(count: number, kinds: readonly string[] = ['a', 'b', 'c', 'd'], topic?: string): Promise<void> {
    const records = Array.from({ length: count }, () => ({ ...this.#record(kinds), ...(topic && { topic }) }))
    for (const outcome of await this.log.append(records)) assert.equal(outcome.kind, 'appended')
  }

  /** Appends a record to every partition that only servers see. */
  async announce(name: string): Promise<void> {
    const type = `pulse.${name}`
    const records = this.slots.topics.flatMap(({ name: topic, partitions }) =>
      keysOf(partitions).map((key) => ({ ...this.#record(['control'], type), topic, key, type })),
    )
    for (const outcome of await this.log.append(records)) assert.equal(outcome.kind, 'appended')
  }

  /** Appends events until something holds; returns how many. Fails if that takes too long. */
  async writeUntil(holds: () => boolean): Promise<number> {
    const deadline = performance.now() + waitMsMax
    let written = 0
    while (!holds()) {
      assert.ok(performance.now() < deadline, 'it did not come in time')
      await this.write(500)
      written += 500
    }
    return written
  }

  /** Waits until the feed has met everything that was written; returns the end. */
  async ended(): Promise<Vector> {
    const written = this.#written
    await until('the end', () => this.live.scan.vector.reduce((sum, each) => sum + each, 0) === written)
    return this.live.scan.vector.slice()
  }

  #record(kinds: readonly string[], type = 'delivery.tested'): NewRecord {
    const number = this.#written++
    const id = randomUUID()
    const value = JSON.stringify({
      ...{ event_id: id, event_type: type, user_id: `user_${number % 97}` },
      ...{ timestamp: new Date().toISOString(), properties: { kind: kinds[number % kinds.length], number } },
      ...{ source: null, schema_version: 1 },
    })
    const fingerprint = createHash('md5').update(value).digest('hex')
    const receivedAt = Date.now() * 1_000
    const { topics } = this.slots
    return {
      topic: topics[number % topics.length]?.name ?? this.topic,
      key: `user_${number % 97}`,
      type,
      value,
      receivedAt,
      id,
      fingerprint,
    }
  }

  /** A session that is offered what `tree` matches, and its reader. */
  session(tree: Tree, place: Vector): { session: Session; reader: Reader } {
    const reader = new Reader(this.slots, place)
    this.readers.push(reader)
    const session = new Session({
      id: randomUUID(),
      subscriber: randomUUID(),
      slots: this.slots,
      encoding: createV1Encoding(),
      transport: reader,
      dirty: this.flusher.add,
      resume: (one, from) => this.replays.add(one, from),
      leave: (one) => {
        this.live.scan.leave(one)
        this.replays.leave(one)
      },
      ended: () => {},
      report: { delivered: () => {}, lagged: () => {}, gap: () => {} },
    })
    session.filters = [{ name: 'default', version: 1, tree, since: null, until: null }]
    session.startAt(place)
    return { session, reader }
  }

  /** Offsets per slot, from one vector to another, of what a test accepts: the truth, read from the log. */
  async truth(from: Vector, to: Vector, accepts: (record: LogRecord) => boolean): Promise<number[][]> {
    const offsets: number[][] = Array.from({ length: this.slots.count }, () => [])
    for (const topic of this.slots.topics) await this.#truthOf(topic, { from, to, accepts, offsets })
    return offsets
  }

  async #truthOf(
    topic: Slots['topics'][number],
    { from, to, accepts, offsets }: Asked & { readonly offsets: number[][] },
  ): Promise<void> {
    const stop = new AbortController()
    const end = topic.first + topic.partitions
    const next = from.slice()
    const isThere = () => reaches(next.subarray(topic.first, end), to.subarray(topic.first, end))
    if (isThere()) return
    const place = { topic: topic.name, offsets: this.slots.offsets(from, topic) }
    for await (const batch of this.log.read(place, stop.signal)) {
      const slot = this.slots.of(batch.topic, batch.partition)
      for (const record of batch.records)
        if (record.offset < (to[slot] as number) && accepts(record)) offsets[slot]?.push(record.offset)
      next[slot] = batch.nextOffset
      if (isThere()) break
    }
    stop.abort()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync()
    assert.deepEqual(
      this.readers.flatMap(({ faults }) => faults),
      [],
    )
  }
}

/** From where to where a test asks for the truth, and of which records. */
interface Asked {
  readonly from: Vector
  readonly to: Vector
  readonly accepts: (record: LogRecord) => boolean
}

const noControls: Controls = { isControl: () => false, changesOf: async () => [] }

/** Waits until something holds; fails if that takes too long. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + waitMsMax
  while (!holds()) {
    assert.ok(performance.now() < deadline, `${what} did not come in time`)
    await pause(5)
  }
}

import { setTimeout as delay } from 'node:timers/promises'
import { type EventLog, LogError, type TopicBounds } from '@pulse/log'
import type { Hash128 } from '@pulse/log/bloom-filter'
import { FilterGeneration, fillMax } from './filter-generation.ts'
import { eachHash, namesTopic } from './hash-records.ts'
import { hashBatches, type Reached } from './hash-stream.ts'
import type { HashPlace } from './lease.ts'
import { NameHasher } from './name-hash.ts'
import type { NameStore } from './name-store.ts'
import type { NamesReport } from './report.ts'
import { readSnapshot, writeSnapshot } from './snapshot.ts'

export const replicaLimits = {
  /**
   * A scan also applies the topic from so long before it began. Between a hash and its commit lie 13 s at most; the rest is for
   * the clock of a broker, which dates the topic and may differ from the database's.
   */
  beforeScanMs: 120_000,
  /** Keys that are read and hashed between two turns of the event loop: about 5 ms. */
  pageKeys: 5_000,
  againMs: 250,
  /** At most so long after failures in a row: what fails each time, such as a damaged batch, costs a scan. */
  againMsMax: 30_000,
  /** The log is asked so often at most whether it is still the same, while others insist that it is not. */
  doubtMs: 1_000,
  /** How often a filter that has changed is written to disk. */
  snapshotMs: 60_000,
  /** Names that a new filter is asked for before it is taken, chosen at random. */
  sampleKeys: 20_000,
  rateSamples: 100_000,
  /** While a new filter waits for what is on its way. */
  catchUpMsMax: 30_000,
  lookMs: 20,
  /** A new filter may say "maybe" this much more often than arithmetic says. */
  rateRatioMax: 1.2,
} as const

export interface ReplicaNeeds {
  readonly log: EventLog
  readonly store: NameStore
  /** File of the filter on disk. */
  readonly path: string
  /** Id of the set of names and the profile of its keys. */
  readonly set: string
  readonly profile: string
  /** Which database the names are in, see name-store.ts. */
  readonly database: string
  /** Names that a filter is made for at least. */
  readonly expected: number
  readonly report: NamesReport
  /** More of the topic was applied. */
  readonly moved: () => void
}

/**
 * The filter of this process, kept in step with all others by the topic of hashes. A grow-only set under OR: the order in
 * which hashes come does not matter, nor whether one comes twice.
 *
 * | state | follows | on |
 * |---|---|---|
 * | empty | no | snapshot read, or scan done -> following |
 * | following | yes | seven tenths full, or asked -> rebuilding · the log fails, or is in doubt -> behind · the topic deleted, out of range, a hole, another database -> empty |
 * | rebuilding | yes; hashes go into both filters | verified -> following with the new one; not -> with the old one |
 * | behind | no | the log answers with the same epoch -> following; with another -> empty |
 */
export class Replica {
  readonly #needs: ReplicaNeeds
  readonly #hasher = new NameHasher()
  #current: FilterGeneration | undefined
  #next: FilterGeneration | undefined
  #reached: Reached = { epoch: 0, offset: 0, seam: undefined }
  #database: string
  /** While the log is asked whether it is still the same; nothing is free meanwhile. */
  #doubted = false
  #doubtedAt = Number.NEGATIVE_INFINITY
  /** Ends the loading or reading that is under way. */
  #reading = new AbortController()
  /** Ends the making of a filter that is to take over. */
  #building = new AbortController()
  /** False once the filter on disk has led to what cannot be read. */
  #trustsDisk = true
  #follows = false
  #rebuilding: Promise<void> | undefined
  #fillOfLastTry = 0
  #changed = false
  #saving: Promise<void> = Promise.resolve()
  #closed = new AbortController()
  #run: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(needs: ReplicaNeeds) {
    this.#needs = needs
    this.#database = needs.database
  }

  /** Begins to load and to follow; both go on by themselves. */
  start(): void {
    this.#run = this.#live()
    this.#timer = setInterval(() => void this.#save(), replicaLimits.snapshotMs)
    this.#timer.unref()
  }

  /** Whether every hash below `applied` is in the filter, and it goes on. */
  get follows(): boolean {
    return this.#follows
  }

  /** Every hash below this place is in the filter. */
  get applied(): HashPlace {
    return { epoch: this.#reached.epoch, offset: this.#reached.offset }
  }

  get generation(): FilterGeneration | undefined {
    return this.#current
  }

  get rebuilding(): boolean {
    return this.#rebuilding !== undefined
  }

  /** False: the key was never added, as far as this process has followed. True: it may have been, or there is no filter. */
  has(key: string): boolean {
    return this.#doubted || (this.#current?.has(this.#hasher.hash(key)) ?? true)
  }

  /** Somebody has seen another log than the one that is read here: asks it, and answers nothing until it has told. */
  doubt(): void {
    const now = performance.now()
    if (!this.#current || now - this.#doubtedAt < replicaLimits.doubtMs) return
    this.#doubtedAt = now
    this.#doubted = true
    this.#reading.abort()
  }

  /** The names are in this database now: those that it has need not be those that were told of here. */
  follow(database: string): void {
    if (database === this.#database) return
    this.#database = database
    this.#current = undefined
    this.#trustsDisk = false
    this.#reading.abort()
  }

  /** Sets the bits of keys that are about to be claimed here. */
  add(keys: readonly string[]): void {
    for (const key of keys) this.#set(this.#hasher.hash(key))
    this.#growIfFull()
  }

  /** Makes a new filter from the names in the database and takes it if it proves right. Callers share one that is on its way. */
  rebuild(): Promise<void> {
    this.#rebuilding ??= this.#build()
      .catch((error: unknown) => {
        if (!this.#building.signal.aborted) this.#needs.report.rebuildFailed(error)
      })
      .finally(() => {
        this.#rebuilding = undefined
      })
    return this.#rebuilding
  }

  async close(): Promise<void> {
    this.#closed.abort()
    this.#reading.abort()
    this.#building.abort()
    clearInterval(this.#timer)
    await this.#run
    await this.#rebuilding
    await this.#save()
  }

  /** The part of other names that are a "maybe", measured now. */
  measuredRate(): number | undefined {
    return this.#current?.measuredRate(replicaLimits.rateSamples, randomHash)
  }

  #set(hash: Hash128): void {
    this.#current?.add(hash)
    this.#next?.add(hash)
    this.#changed = true
  }

  async #live(): Promise<void> {
    const { signal } = this.#closed
    for (let failures = 0; !signal.aborted; ) {
      this.#reading = new AbortController()
      try {
        const bounds = await this.#needs.log.bounds(namesTopic.name)
        if (!this.#current || this.#reached.epoch !== bounds.epoch) await this.#load(bounds)
        else if (!canGoOn(this.#reached, bounds)) throw notThere(this.#reached)
        this.#doubted = false
        await this.#follow(() => {
          failures = 0
        })
      } catch (error) {
        if (signal.aborted) break
        if (this.#distrust(error)) failures++
        if (error instanceof LogError && error.code === 'unknown-topic') await this.#declareAgain()
      }
      this.#follows = false
      const againMs = Math.min(replicaLimits.againMs * 2 ** failures, replicaLimits.againMsMax)
      await delay(againMs, undefined, { signal }).catch(() => {})
    }
    this.#follows = false
  }

  /**
   * What cannot be read is lost to this filter, and to the one on disk, which leads to the same place. False where it only
   * cannot be read now.
   */
  #distrust(error: unknown): boolean {
    this.#needs.report.troubled(error)
    if (!(error instanceof LogError) || error.code === 'unavailable') return false
    this.#current = undefined
    this.#trustsDisk = false
    return true
  }

  /** Somebody has deleted the topic: the names are in the database, so one without a record serves as well. */
  async #declareAgain(): Promise<void> {
    await this.#needs.log.declare([namesTopic]).catch((error: unknown) => this.#needs.report.troubled(error))
  }

  async #load(bounds: TopicBounds): Promise<void> {
    const { path, set, profile, report } = this.#needs
    const { signal } = this.#reading
    const started = performance.now()
    const [database, { epoch }] = [this.#database, bounds]
    // One that was to take over from the filter that goes is of no use.
    this.#building.abort()
    this.#current = undefined
    this.#reached = { epoch, offset: 0, seam: undefined }
    const found = this.#trustsDisk
      ? await readSnapshot(path, { set, profile, database, epoch })
      : ({ kind: 'none' } as const)
    const isRead = found.kind === 'read' && canGoOn(found.reached, bounds)
    if (!isRead && found.kind !== 'none')
      report.snapshotRefused(
        found.kind === 'refused' ? found.reason : 'the log no longer holds what follows it',
      )
    const loaded = isRead ? found : await this.#scan({ number: 1, epoch, signal })
    // Names of another database were read, and nothing of them counts.
    signal.throwIfAborted()
    this.#current = loaded.generation
    this.#reached = loaded.reached
    if (!isRead) {
      this.#changed = true
      this.#trustsDisk = true
      if (this.#next === loaded.generation) this.#next = undefined
    }
    report.loaded(found.kind, this.#current, performance.now() - started)
  }

  /** Applies what comes; calls back when something has. */
  async #follow(applied: () => void): Promise<void> {
    const { signal } = this.#reading
    if (signal.aborted) return
    this.#follows = true
    this.#needs.moved()
    for await (const { records, reached } of hashBatches(this.#needs.log, this.#reached, signal)) {
      // What belongs to a filter that was given up must not tell how far the next one has come.
      if (signal.aborted) return
      for (const record of records) eachHash(record, (hash) => this.#set(hash))
      this.#reached = reached
      applied()
      this.#growIfFull()
      this.#needs.moved()
    }
  }

  /** A filter of every name that was committed before now; with it, the place from which the topic has to be applied to it. */
  async #scan(from: {
    number: number
    epoch: number
    signal: AbortSignal
  }): Promise<{ generation: FilterGeneration; reached: Reached }> {
    const { log, store, expected } = this.#needs
    const { number, epoch, signal } = from
    const names = Math.max(await store.countRoughly(), this.#current?.namesEstimated ?? 0)
    const generation = new FilterGeneration({ number, capacity: Math.max(expected, names * 2) })
    this.#next = generation
    try {
      const sinceMicros = Math.floor(((await store.nowMs()) - replicaLimits.beforeScanMs) * 1_000)
      const { epoch: now, partitions } = await log.bounds(namesTopic.name, sinceMicros)
      if (now !== epoch) throw new LogError('unavailable', 'the log has another epoch than a moment ago')
      const { start = 0, since = 0 } = partitions[0] ?? {}
      const hasher = new NameHasher()
      for await (const keys of this.#pages(signal)) for (const key of keys) generation.add(hasher.hash(key))
      // With the record before, which shows the next time that it is still the same log.
      return { generation, reached: { epoch, offset: Math.max(start, since - 1), seam: undefined } }
    } catch (error) {
      if (this.#next === generation) this.#next = undefined
      throw error
    }
  }

  async *#pages(signal: AbortSignal): AsyncGenerator<readonly string[]> {
    // No key is empty, so the first page begins with the first. Half of them would be a filter that calls the others free.
    for (let after = ''; ; ) {
      signal.throwIfAborted()
      const keys = await this.#needs.store.keysAfter(after, replicaLimits.pageKeys)
      yield keys
      const last = keys.at(-1)
      if (last === undefined || keys.length < replicaLimits.pageKeys) return
      after = last
    }
  }

  async #build(): Promise<void> {
    const before = this.#current
    if (!before) return
    const started = performance.now()
    this.#fillOfLastTry = before.fill
    // From the first moment on hashes go into both, so what has to be caught up with ends where we are now at the latest.
    this.#building = new AbortController()
    const { signal } = this.#building
    const { epoch } = this.#reached
    const { generation, reached } = await this.#scan({ number: before.number + 1, epoch, signal })
    try {
      await this.#catchUp(generation, reached, signal)
      await this.#verify(generation)
      if (this.#current !== before) return
      this.#current = generation
    } finally {
      if (this.#next === generation) this.#next = undefined
    }
    this.#changed = true
    this.#fillOfLastTry = 0
    this.#needs.report.rebuilt(generation, performance.now() - started)
    await this.#save()
  }

  async #catchUp(generation: FilterGeneration, from: Reached, signal: AbortSignal): Promise<void> {
    const { log } = this.#needs
    const end = (await log.bounds(namesTopic.name)).partitions[0]?.end ?? 0
    if (from.offset >= end) return
    for await (const { records, reached } of hashBatches(log, from, signal)) {
      for (const record of records) eachHash(record, (hash) => generation.add(hash))
      if (reached.offset >= end) return
    }
    throw new LogError('unavailable', 'the log that is followed is another one by now')
  }

  /** Throws if the filter misses a name, or says "maybe" much more often than it should. */
  async #verify(generation: FilterGeneration): Promise<void> {
    const hasher = new NameHasher()
    const sample = await this.#needs.store.sample(replicaLimits.sampleKeys)
    const isMissing = (key: string) => !generation.has(hasher.hash(key))
    const missing = sample.filter(isMissing)
    // A name that another server has claimed a moment ago may be a row before its hash is read here.
    if (missing.length > 0) await this.#untilCaughtUp()
    if (missing.some(isMissing)) throw new Error('the new filter misses a name that the database has')
    const rate = generation.measuredRate(replicaLimits.rateSamples, randomHash)
    const most = generation.expectedRate() * replicaLimits.rateRatioMax + 10 / replicaLimits.rateSamples
    if (rate > most)
      throw new Error(`the new filter says "maybe" to ${rate} of other names, not to ${most} at most`)
  }

  /** Waits until everything that the topic holds now was applied. Throws if that takes too long. */
  async #untilCaughtUp(): Promise<void> {
    const { signal } = this.#closed
    const end = (await this.#needs.log.bounds(namesTopic.name)).partitions[0]?.end ?? 0
    const deadline = performance.now() + replicaLimits.catchUpMsMax
    while (this.#reached.offset < end) {
      if (performance.now() > deadline) throw new Error('the filter does not keep up with the topic')
      await delay(replicaLimits.lookMs, undefined, { signal })
    }
  }

  #growIfFull(): void {
    const { fill = 0 } = this.#current ?? {}
    // One that failed is not tried again before a tenth more has come.
    if (fill >= fillMax && fill >= this.#fillOfLastTry * 1.1 && !this.#rebuilding) void this.rebuild()
  }

  /** Writes the filter to disk if it has changed, one time after the other. */
  #save(): Promise<void> {
    this.#saving = this.#saving.then(() => this.#write())
    return this.#saving
  }

  async #write(): Promise<void> {
    const { path, set, profile, report } = this.#needs
    if (!this.#current || !this.#changed) return
    this.#changed = false
    const place = { set, profile, database: this.#database, reached: this.#reached }
    await writeSnapshot(path, this.#current, place).catch((error: unknown) => {
      this.#changed = true
      report.snapshotFailed(error)
    })
  }
}

function randomHash(hash: Hash128): void {
  for (let n = 0; n < hash.length; n++) hash[n] = Math.random() * 0x1_0000_0000
}

/**
 * Whether the topic can be read on from a place with certainty: what follows it is there, and so is the record before it,
 * which shows that it is the same log.
 */
function canGoOn({ offset, seam }: Reached, { partitions }: TopicBounds): boolean {
  const { start = 0, end = 0 } = partitions[0] ?? {}
  if (offset > end) return false
  return offset === 0 ? start === 0 : seam !== undefined && offset > start
}

const notThere = ({ offset }: Reached) =>
  new LogError('out-of-range', `the log no longer holds what was read up to offset ${offset}`)

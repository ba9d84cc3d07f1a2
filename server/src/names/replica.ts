import { setTimeout as delay } from 'node:timers/promises'
import { type EventLog, LogError, type TopicBounds } from '@pulse/log'
import type { Hash128 } from '@pulse/log/bloom-filter'
import { FilterGeneration, fillMax } from './filter-generation.ts'
import { eachHash, namesTopic } from './hash-records.ts'
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
 * | following | yes | seven tenths full, or asked -> rebuilding · the log fails -> behind · out of range -> empty |
 * | rebuilding | yes; hashes go into both filters | verified -> following with the new one; not -> with the old one |
 * | behind | no | the log answers -> following |
 */
export class Replica {
  readonly #needs: ReplicaNeeds
  readonly #hasher = new NameHasher()
  #current: FilterGeneration | undefined
  #next: FilterGeneration | undefined
  #applied = 0
  #epoch = 0
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
    return { epoch: this.#epoch, offset: this.#applied }
  }

  get generation(): FilterGeneration | undefined {
    return this.#current
  }

  get rebuilding(): boolean {
    return this.#rebuilding !== undefined
  }

  /** False: the key was never added, as far as this process has followed. True: it may have been, or there is no filter. */
  has(key: string): boolean {
    return this.#current?.has(this.#hasher.hash(key)) ?? true
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
        if (!this.#closed.signal.aborted) this.#needs.report.rebuildFailed(error)
      })
      .finally(() => {
        this.#rebuilding = undefined
      })
    return this.#rebuilding
  }

  async close(): Promise<void> {
    this.#closed.abort()
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
      try {
        const bounds = await this.#needs.log.bounds(namesTopic.name)
        if (!this.#current || this.#epoch !== bounds.epoch) await this.#load(bounds)
        await this.#follow(() => {
          failures = 0
        })
      } catch (error) {
        if (signal.aborted) break
        if (this.#distrust(error)) failures++
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

  async #load(bounds: TopicBounds): Promise<void> {
    const { path, set, profile, report } = this.#needs
    const started = performance.now()
    this.#current = undefined
    this.#epoch = bounds.epoch
    const found = this.#trustsDisk
      ? await readSnapshot(path, { set, profile, epoch: bounds.epoch })
      : ({ kind: 'none' } as const)
    if (found.kind === 'read' && isWithin(found.offset, bounds)) {
      this.#current = found.generation
      this.#applied = found.offset
    } else {
      if (found.kind !== 'none')
        report.snapshotRefused(
          found.kind === 'refused' ? found.reason : 'the log no longer holds what follows it',
        )
      const { generation, from } = await this.#scan(1)
      this.#current = generation
      this.#applied = from
      this.#changed = true
      this.#trustsDisk = true
      if (this.#next === generation) this.#next = undefined
    }
    report.loaded(found.kind, this.#current, performance.now() - started)
  }

  /** Applies what comes; calls back when something has. */
  async #follow(applied: () => void): Promise<void> {
    const from = { topic: namesTopic.name, offsets: new Map([[0, this.#applied]]) }
    this.#follows = true
    this.#needs.moved()
    for await (const batch of this.#needs.log.read(from, this.#closed.signal)) {
      if (batch.epoch !== this.#epoch) return
      for (const record of batch.records) eachHash(record, (hash) => this.#set(hash))
      this.#applied = batch.nextOffset
      applied()
      this.#growIfFull()
      this.#needs.moved()
    }
  }

  /** A filter of every name that was committed before now; with it, the offset from which the topic has to be applied to it. */
  async #scan(number: number): Promise<{ generation: FilterGeneration; from: number }> {
    const { log, store, expected } = this.#needs
    const names = Math.max(await store.countRoughly(), this.#current?.namesEstimated ?? 0)
    const generation = new FilterGeneration({ number, capacity: Math.max(expected, names * 2) })
    this.#next = generation
    try {
      const since = ((await store.nowMs()) - replicaLimits.beforeScanMs) * 1_000
      const { partitions } = await log.bounds(namesTopic.name, Math.floor(since))
      const hasher = new NameHasher()
      for await (const keys of this.#pages()) for (const key of keys) generation.add(hasher.hash(key))
      return { generation, from: partitions[0]?.since ?? 0 }
    } catch (error) {
      if (this.#next === generation) this.#next = undefined
      throw error
    }
  }

  async *#pages(): AsyncGenerator<readonly string[]> {
    // No key is empty, so the first page begins with the first. Half of them would be a filter that calls the others free.
    for (let after = ''; ; ) {
      this.#closed.signal.throwIfAborted()
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
    const { generation, from } = await this.#scan(before.number + 1)
    try {
      await this.#catchUp(generation, from)
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

  async #catchUp(generation: FilterGeneration, from: number): Promise<void> {
    const { log } = this.#needs
    const end = (await log.bounds(namesTopic.name)).partitions[0]?.end ?? 0
    if (from >= end) return
    for await (const batch of log.read(
      { topic: namesTopic.name, offsets: new Map([[0, from]]) },
      this.#closed.signal,
    )) {
      for (const record of batch.records) eachHash(record, (hash) => generation.add(hash))
      if (batch.nextOffset >= end) return
    }
    this.#closed.signal.throwIfAborted()
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
    while (this.#applied < end) {
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
    await writeSnapshot(path, this.#current, {
      set,
      profile,
      epoch: this.#epoch,
      offset: this.#applied,
    }).catch((error: unknown) => {
      this.#changed = true
      report.snapshotFailed(error)
    })
  }
}

function randomHash(hash: Hash128): void {
  for (let n = 0; n < hash.length; n++) hash[n] = Math.random() * 0x1_0000_0000
}

const isWithin = (offset: number, { partitions }: TopicBounds) =>
  offset >= (partitions[0]?.start ?? 0) && offset <= (partitions[0]?.end ?? 0)

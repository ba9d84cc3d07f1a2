import { type ConnectionPool, protocolErrorsCodesById } from '@platformatic/kafka'
import { type LogBatch, LogError, type ReadFrom } from '../log.ts'
import type { Cluster, Topic } from './cluster.ts'
import { type FetchedPartition, fetchRecords } from './fetch.ts'
import { asLogError } from './kafka-errors.ts'
import { decodeBatch, type StoredBatch, splitBatches } from './stored-batch.ts'

interface Arrival {
  readonly node: number
  readonly fetched: readonly FetchedPartition[]
  readonly error: unknown
}

interface Wanted {
  /** Offset of the next record for whoever reads. */
  next: number
  /** Offset of the next fetch: ahead of `next` by what has arrived and is not handed on. */
  fetch: number
}

const pauseMs = { min: 20, max: 400 } as const

/**
 * One read of one topic: explicit offsets, no consumer group, nothing is moved when an offset is not there. Each
 * leader is asked on a connection of its own, for all its partitions at once; while one answer is handed on the next
 * is on its way, so at most two answers per leader are held. Trouble with leaders is waited out for as long as the
 * cluster's patience lasts.
 */
export class TopicReader {
  readonly #cluster: Cluster
  readonly #signal: AbortSignal
  readonly #connections: ConnectionPool
  readonly #wanted: Map<number, Wanted>
  readonly #pending = new Map<number, Promise<Arrival>>()
  // A partition whose first batch did not fit into the answer: asked first, it comes whole.
  #first: number | undefined
  #topic: Topic
  #troubledSince: number | undefined
  #pauseMs: number = pauseMs.min

  constructor(cluster: Cluster, topic: Topic, from: ReadFrom, signal: AbortSignal) {
    this.#cluster = cluster
    this.#signal = signal
    this.#connections = cluster.ownConnections()
    this.#topic = topic
    this.#wanted = new Map([...from.offsets].map(([partition, next]) => [partition, { next, fetch: next }]))
  }

  async *batches(): AsyncGenerator<LogBatch, void, undefined> {
    const { promise: aborted, resolve } = Promise.withResolvers<undefined>()
    const abort = () => resolve(undefined)
    this.#signal.addEventListener('abort', abort)
    try {
      while (!this.#signal.aborted) {
        this.#fetchAhead()
        const arrival = await Promise.race([aborted, ...this.#pending.values()])
        if (!arrival) return
        this.#pending.delete(arrival.node)
        const stored = await this.#accept(arrival)
        if (stored.length > 0) this.#fetchAhead()
        for (const batch of stored) {
          if (this.#signal.aborted) return
          const decoded = this.#decode(batch)
          if (decoded.records.length > 0) yield decoded
        }
      }
    } finally {
      this.#signal.removeEventListener('abort', abort)
      await this.#connections.close()
    }
  }

  #decode(stored: StoredBatch): LogBatch {
    const wanted = this.#wanted.get(stored.partition)
    const { name: topic, epoch } = this.#topic
    const batch = decodeBatch(stored, { topic, epoch, from: wanted?.next ?? 0 })
    if (wanted) wanted.next = stored.nextOffset
    return batch
  }

  /** Sends a fetch to every leader that has none under way. */
  #fetchAhead(): void {
    const byLeader = Map.groupBy(
      this.#wanted.keys(),
      (partition) => this.#topic.partitions[partition]?.leader ?? -1,
    )
    for (const [node, partitions] of byLeader)
      if (!this.#pending.has(node)) this.#pending.set(node, this.#fetch(node, partitions))
  }

  async #fetch(node: number, partitions: readonly number[]): Promise<Arrival> {
    try {
      const [one = 0] = partitions
      const ordered = partitions.toSorted((a, b) => Number(b === this.#first) - Number(a === this.#first))
      const connection = await this.#connections.get(this.#cluster.leader(this.#topic, one))
      const offsets = ordered.map(
        (partition) => [partition, this.#wanted.get(partition)?.fetch ?? 0] as const,
      )
      return { node, fetched: await fetchRecords(connection, this.#topic.id, offsets), error: undefined }
    } catch (error) {
      return { node, fetched: [], error }
    }
  }

  /** Takes what has arrived, in order; after trouble with a leader it looks for the leaders again. */
  async #accept({ fetched, error }: Arrival): Promise<StoredBatch[]> {
    const stored: StoredBatch[] = []
    let trouble: unknown = error
    for (const { partition, errorCode, bytes } of fetched) {
      if (errorCode === 0) stored.push(...this.#split(partition, bytes))
      else trouble = this.#refuse(partition, errorCode)
    }
    if (trouble === undefined) this.#troubledSince = undefined
    else await this.#lookAgain(trouble)
    return stored
  }

  #split(partition: number, bytes: Buffer): readonly StoredBatch[] {
    const wanted = this.#wanted.get(partition)
    if (!wanted || bytes.length === 0) return []
    // After a leader has moved, the old one's answer may still come: what we have already is cut off here.
    const { batches, whole } = splitBatches(partition, wanted.fetch, bytes)
    wanted.fetch = batches.at(-1)?.nextOffset ?? wanted.fetch
    if (!whole && this.#first === partition)
      throw new LogError(
        'corrupt',
        `partition ${partition} is damaged at offset ${wanted.fetch}: it has no end`,
        {
          partition,
          offset: wanted.fetch,
        },
      )
    if (!whole) this.#first = partition
    else if (this.#first === partition) this.#first = undefined
    return batches
  }

  /** The trouble that an error code means, if looking again may help; throws what it cannot help. */
  #refuse(partition: number, errorCode: number): LogError {
    const offset = this.#wanted.get(partition)?.fetch ?? 0
    const place = `offset ${offset} of ${this.#topic.name}/${partition}`
    const name = protocolErrorsCodesById[errorCode] ?? `error ${errorCode}`
    if (name === 'OFFSET_OUT_OF_RANGE')
      throw new LogError('out-of-range', `${place} is not in the log`, { partition, offset })
    if (name === 'CORRUPT_MESSAGE')
      throw new LogError('corrupt', `${place} is damaged`, { partition, offset })
    return new LogError('unavailable', `reading ${place}: ${name}`, { partition, offset })
  }

  async #lookAgain(trouble: unknown): Promise<void> {
    const now = performance.now()
    if (this.#troubledSince === undefined) this.#pauseMs = pauseMs.min
    this.#troubledSince ??= now
    if (now - this.#troubledSince > this.#cluster.patienceMs)
      throw asLogError(trouble, `reading ${this.#topic.name}`)
    await this.#cluster.pause(this.#pauseMs)
    this.#pauseMs = Math.min(this.#pauseMs * 2, pauseMs.max)
    const topic = await this.#cluster.ask(this.#topic.name).catch((error: unknown) => {
      if (error instanceof LogError && error.retryable) return this.#topic
      throw error
    })
    if (topic.id !== this.#topic.id)
      throw new LogError(
        'out-of-range',
        `topic ${topic.name} was made anew: positions from before are not in it`,
      )
    this.#topic = topic
  }
}

import { ConfigResourceTypes, type ConnectionOptions, ListOffsetTimestamps } from '@platformatic/kafka'
import type {
  AppendOutcome,
  Capabilities,
  EventLog,
  LogBatch,
  NewRecord,
  PartitionBounds,
  ReadFrom,
  TopicBounds,
  TopicDeclaration,
} from '../log.ts'
import { LogError } from '../log.ts'
import { partitionOf } from '../murmur2.ts'
import { AppendLane } from './append-lane.ts'
import { Cluster, type Topic } from './cluster.ts'
import { isKafka, isRefused } from './kafka-errors.ts'
import { TopicReader } from './topic-reader.ts'

export interface KafkaLogOptions {
  /** `host:port` of some of the brokers. Kafka 3.5 or newer. */
  readonly brokers: readonly string[]
  /** Replicas of the topics that are declared here; default 3, or as many as there are brokers. */
  readonly replicas?: number
  /** How long a call waits for a leader, and an append for its answer, before it gives up; default 5,000. */
  readonly patienceMs?: number
  /** TLS and SASL, as @platformatic/kafka takes them. */
  readonly security?: Pick<ConnectionOptions, 'tls' | 'sasl' | 'tlsServerName'>
}

/**
 * Opens the event log on Kafka. A record's key, headers (`event_id`, `event_type`, `received_at` in microseconds) and
 * value (the event as JSON) are there for every other Kafka client.
 *
 * What differs from the log on PostgreSQL, and is said in `can`: repeats are not found while appending, and an
 * acknowledged record is in the memory of `replicas:N` brokers, none of which has called fsync: N is the lowest number
 * that any topic in use guarantees, that is the lesser of its replicas and its `min.insync.replicas`.
 * A topic's epoch comes from Kafka's id of the topic. Nothing is kept in consumer groups.
 * Throws LogError `unavailable`.
 */
export async function openKafkaLog(options: KafkaLogOptions): Promise<EventLog> {
  const { brokers, patienceMs = 5_000, security = {} } = options
  const cluster = new Cluster({ brokers, patienceMs, security })
  try {
    const metadata = await cluster.patiently('opening', () =>
      cluster.admin.metadata({ topics: [], forceUpdate: true }),
    )
    const replicas = options.replicas ?? Math.min(3, metadata.brokers.size)
    return new KafkaLog(cluster, replicas)
  } catch (error) {
    await cluster[Symbol.asyncDispose]()
    throw error
  }
}

/** With three replicas one may be away while two must have a record; with fewer, all must. */
const insyncOf = (replicas: number) => (replicas >= 3 ? 2 : replicas)

const settingNames = ['min.insync.replicas', 'cleanup.policy', 'retention.ms'] as const
/** A topic that forgets sooner would lose what a reader has not seen in the time that a restart takes. */
const retentionMsMin = 3_600_000

/** Throws LogError `unfit` for a topic that loses records which nobody has trimmed. */
function refuseUnfit(name: string, settings: ReadonlyMap<string, string>): void {
  const policy = settings.get('cleanup.policy') ?? 'delete'
  if (policy.includes('compact'))
    throw new LogError(
      'unfit',
      `topic ${name} has cleanup.policy=${policy}, which takes events away from its middle; set it to delete`,
    )
  const retentionMs = Number(settings.get('retention.ms') ?? -1)
  if (retentionMs >= 0 && retentionMs < retentionMsMin)
    throw new LogError(
      'unfit',
      `topic ${name} has retention.ms=${retentionMs}; set it to -1, or to ${retentionMsMin} at least`,
    )
}

class KafkaLog implements EventLog {
  readonly #cluster: Cluster
  readonly #replicas: number
  readonly #lanes = new Map<string, AppendLane>()
  /** Copies that each topic in use guarantees. */
  readonly #copies = new Map<string, number>()
  /** Appends get their place in the lanes one call after another, in the order of the calls. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(cluster: Cluster, replicas: number) {
    this.#cluster = cluster
    this.#replicas = replicas
  }

  get can(): Capabilities {
    const copies = Math.min(insyncOf(this.#replicas), ...this.#copies.values())
    return { driver: 'kafka', dedupe: false, trim: true, durability: `replicas:${copies}` }
  }

  async append(records: readonly NewRecord[]): Promise<readonly AppendOutcome[]> {
    const queued = this.#turn.then(async () => {
      const topics = await this.#topicsOf(records)
      // Wrapped, so that the next call's turn does not wait for the outcomes.
      return { outcomes: records.map((record) => this.#lane(topics, record).append(record)) }
    })
    this.#turn = queued.catch(() => undefined)
    return Promise.all((await queued).outcomes)
  }

  /** All topics before the first record is queued: an unknown one rejects the call without any effect. */
  async #topicsOf(records: readonly NewRecord[]): Promise<ReadonlyMap<string, Topic>> {
    const topics = new Map<string, Topic>()
    for (const { topic } of records)
      if (!topics.has(topic)) topics.set(topic, this.#cluster.known(topic) ?? (await this.#topic(topic)))
    return topics
  }

  #lane(topics: ReadonlyMap<string, Topic>, { topic, key }: NewRecord): AppendLane {
    const partition = partitionOf(key, topics.get(topic)?.partitions.length ?? 1)
    const name = `${topic}/${partition}`
    const lane = this.#lanes.get(name) ?? new AppendLane(this.#cluster, topic, partition)
    this.#lanes.set(name, lane)
    return lane
  }

  #topic(name: string): Promise<Topic> {
    return this.#cluster.patiently(`asking for topic ${name}`, () => this.#cluster.ask(name))
  }

  async *read(from: ReadFrom, signal: AbortSignal): AsyncIterable<LogBatch> {
    if (signal.aborted) return
    const topic = await this.#topic(from.topic)
    if (from.epoch !== undefined && from.epoch !== topic.epoch)
      throw new LogError('out-of-range', `${topic.name} is of epoch ${topic.epoch} now, not ${from.epoch}`)
    for (const [partition, offset] of from.offsets)
      if (!topic.partitions[partition])
        throw new LogError('out-of-range', `${topic.name} has no partition ${partition}`, {
          partition,
          offset,
        })
    yield* new TopicReader(this.#cluster, topic, from, signal).batches()
  }

  async bounds(name: string, since?: number): Promise<TopicBounds> {
    return this.#cluster.patiently(`asking for the bounds of ${name}`, async () => {
      const topic = await this.#cluster.ask(name)
      const start = await this.#offsets(topic, ListOffsetTimestamps.EARLIEST)
      const end = await this.#offsets(topic, ListOffsetTimestamps.LATEST)
      // Kafka's times are milliseconds, so a microsecond inside one means the next.
      const found =
        since === undefined ? undefined : await this.#offsets(topic, BigInt(Math.ceil(since / 1000)))
      const partitions = topic.partitions.map((_, partition): PartitionBounds => {
        const first = start.get(partition) ?? 0
        // Asked one after another: something may have been appended or trimmed between.
        const last = Math.max(first, end.get(partition) ?? 0)
        const at = found?.get(partition)
        const sinceOffset = found === undefined ? first : at === undefined || at < 0 ? last : at
        return { partition, start: first, end: last, since: Math.min(Math.max(first, sinceOffset), last) }
      })
      return { topic: name, epoch: topic.epoch, partitions }
    })
  }

  async #offsets(topic: Topic, timestamp: bigint): Promise<Map<number, number>> {
    const partitions = topic.partitions.map((_, partitionIndex) => ({ partitionIndex, timestamp }))
    const listed = await this.#cluster.admin.listOffsets({ topics: [{ name: topic.name, partitions }] })
    return new Map(
      listed[0]?.partitions.map(({ partitionIndex, offset }) => [partitionIndex, Number(offset)]),
    )
  }

  async declare(topics: readonly TopicDeclaration[]): Promise<void> {
    for (const topic of topics)
      await this.#cluster.patiently(`declaring topic ${topic.name}`, async () => {
        const found = await this.#cluster.ask(topic.name).catch((error: unknown) => {
          if (error instanceof LogError && error.code === 'unknown-topic') return this.#create(topic)
          throw error
        })
        const settings = await this.#settingsOf(topic.name)
        refuseUnfit(topic.name, settings)
        const insync = Number(settings.get('min.insync.replicas') ?? 1)
        this.#copies.set(topic.name, Math.min(insync, ...found.partitions.map(({ replicas }) => replicas)))
      })
  }

  async #create({ name, partitions }: TopicDeclaration): Promise<Topic> {
    const configs = [
      { name: 'min.insync.replicas', value: String(insyncOf(this.#replicas)) },
      // Times of the log are the broker's, so that `since` does not depend on the clocks of those who append.
      { name: 'message.timestamp.type', value: 'LogAppendTime' },
      // Only `trim` forgets: Kafka's own retention would not wait for a group that is behind.
      { name: 'retention.ms', value: '-1' },
      { name: 'retention.bytes', value: '-1' },
      { name: 'cleanup.policy', value: 'delete' },
      { name: 'unclean.leader.election.enable', value: 'false' },
    ]
    await this.#cluster.admin
      .createTopics({ topics: [name], partitions, replicas: this.#replicas, configs })
      .catch((error: unknown) => {
        if (!isKafka(error, 'TOPIC_ALREADY_EXISTS')) throw error
      })
    // Brokers learn of a new topic a moment later, and of its leaders after that.
    return this.#cluster.patiently(`declaring topic ${name}`, async () => {
      const topic = await this.#cluster.ask(name).catch((error: unknown) => {
        if (!(error instanceof LogError) || error.code !== 'unknown-topic') throw error
        throw new LogError('unavailable', `topic ${name} is not there yet`, { cause: error })
      })
      for (const partition of topic.partitions.keys()) this.#cluster.leader(topic, partition)
      return topic
    })
  }

  /** What holds for the topic, the broker's own settings where it has none; nothing where we may not ask. */
  async #settingsOf(name: string): Promise<ReadonlyMap<string, string>> {
    const resources = [
      { resourceType: ConfigResourceTypes.TOPIC, resourceName: name, configurationKeys: [...settingNames] },
    ]
    const described = await this.#cluster.admin.describeConfigs({ resources }).catch((error: unknown) => {
      // Who may not ask is promised one copy, which is always true.
      if (isRefused(error)) return []
      throw error
    })
    const configs = described[0]?.configs ?? []
    return new Map(configs.flatMap(({ name: key, value }) => (value == null ? [] : [[key, value]])))
  }

  async trim(name: string, below: ReadonlyMap<number, number>): Promise<ReadonlyMap<number, number>> {
    const bounds = await this.bounds(name)
    const starts = new Map<number, number>()
    const asked: { partition: number; offset: bigint }[] = []
    for (const [partition, offset] of below) {
      const found = bounds.partitions[partition]
      if (!found)
        throw new LogError('out-of-range', `${name} has no partition ${partition}`, { partition, offset })
      starts.set(partition, found.start)
      // Kafka refuses to delete beyond the end, and to go back.
      const target = Math.min(offset, found.end)
      if (target > found.start) asked.push({ partition, offset: BigInt(target) })
    }
    if (asked.length === 0) return starts
    const deleted = await this.#cluster.patiently(`trimming ${name}`, () =>
      this.#cluster.admin.deleteRecords({ topics: [{ name, partitions: asked }] }),
    )
    for (const { partition, lowWatermark } of deleted[0]?.partitions ?? [])
      starts.set(partition, Number(lowWatermark))
    return starts
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#turn
    await Promise.all([...this.#lanes.values()].map((lane) => lane.idle()))
    await this.#cluster[Symbol.asyncDispose]()
  }
}

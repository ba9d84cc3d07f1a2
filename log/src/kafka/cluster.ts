import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  Admin,
  type Broker,
  type Connection,
  type ConnectionOptions,
  ConnectionPool,
  UserError,
} from '@platformatic/kafka'
import { LogError } from '../log.ts'
import { asLogError, isKafka, isRefused } from './kafka-errors.ts'

export interface ClusterOptions {
  /** `host:port` of some of the brokers; the others are learned from them. */
  readonly brokers: readonly string[]
  /** How long a call looks for a leader before it gives up with `unavailable`. */
  readonly patienceMs: number
  /** TLS and SASL, as @platformatic/kafka takes them. */
  readonly security: Pick<ConnectionOptions, 'tls' | 'sasl' | 'tlsServerName'>
}

/** A topic as the cluster described it. */
export interface Topic {
  readonly name: string
  /** Kafka's id of the topic: another one once the topic was deleted and made again. */
  readonly id: string
  readonly epoch: number
  /** Node id of the leader and number of replicas, per partition. */
  readonly partitions: readonly { readonly leader: number; readonly replicas: number }[]
  /** When the cluster was asked, by the process's clock in milliseconds. */
  readonly askedAt: number
}

const limits = {
  clientId: 'pulse',
  connectMsMax: 3_000,
  /** Kafka waits this long for the replicas. A request may take twice that before its connection is given up. */
  acknowledgeMsMax: 5_000,
  requestMsMax: 10_000,
  inflightRequestsMax: 32,
  topicMsMax: 30_000,
  pauseMsMin: 20,
  pauseMsMax: 400,
} as const

/** One Kafka cluster: its topics, the connections to their leaders, and patience with elections. */
export class Cluster implements AsyncDisposable {
  readonly #options: ClusterOptions
  readonly #brokers: string[]
  readonly admin: Admin
  readonly #topics = new Map<string, Topic>()
  // Cuts every pause of `patiently` short when the log is closed.
  readonly #closing = new AbortController()

  constructor(options: ClusterOptions) {
    this.#options = options
    this.#brokers = [...options.brokers]
    this.admin = new Admin({
      ...this.#connectionOptions(),
      clientId: limits.clientId,
      bootstrapBrokers: this.#brokers,
      timeout: limits.acknowledgeMsMax,
      // We try again ourselves, with a deadline and knowing whether a request may have had an effect.
      retries: 0,
      autocreateTopics: false,
    })
  }

  get acknowledgeMsMax(): number {
    return limits.acknowledgeMsMax
  }

  get patienceMs(): number {
    return this.#options.patienceMs
  }

  #connectionOptions(): ConnectionOptions {
    return {
      ...this.#options.security,
      connectTimeout: limits.connectMsMax,
      requestTimeout: limits.requestMsMax,
      maxInflights: limits.inflightRequestsMax,
    }
  }

  /**
   * What was last learned of a topic, without waiting. What is old is asked for again on the side: a topic that was
   * deleted and made anew takes appends as if nothing had happened, and only its id tells.
   */
  known(name: string): Topic | undefined {
    const topic = this.#topics.get(name)
    if (topic && performance.now() - topic.askedAt > limits.topicMsMax) {
      this.#topics.set(name, { ...topic, askedAt: performance.now() })
      this.ask(name).catch(() => undefined)
    }
    return topic
  }

  /** Asks the cluster for a topic. Throws LogError `unknown-topic` or `unavailable`, at once. */
  async ask(name: string): Promise<Topic> {
    try {
      const metadata = await this.admin.metadata({ topics: [name], forceUpdate: true, retries: 0 })
      const found = metadata.topics.get(name)
      if (!found) throw new LogError('unavailable', `the cluster does not describe topic ${name} yet`)
      const partitions = found.partitions.map(({ leader, replicas }) => ({
        leader,
        replicas: replicas.length,
      }))
      const topic = { name, id: found.id, epoch: epochOf(found.id), partitions, askedAt: performance.now() }
      this.#topics.set(name, topic)
      return topic
    } catch (error) {
      // The client's own error for a topic that does not exist, or whose name cannot exist.
      const unknown = error instanceof UserError || isKafka(error, 'INVALID_TOPIC_EXCEPTION')
      if (unknown) this.#topics.delete(name)
      if (unknown) throw new LogError('unknown-topic', `there is no topic ${name}`, { cause: error })
      throw asLogError(error, `asking for topic ${name}`)
    }
  }

  /** Where a partition's leader listens. Throws LogError `unavailable` while there is none. */
  leader(topic: Topic, partition: number): Broker {
    const node = topic.partitions[partition]?.leader ?? -1
    const broker = this.admin.currentMetadata?.brokers.get(node)
    if (!broker) throw new LogError('unavailable', `partition ${topic.name}/${partition} has no leader now`)
    return broker
  }

  /** A connection to the partition's leader, shared by all who write. */
  async connection(topic: Topic, partition: number): Promise<Connection> {
    return this.admin.connections.get(this.leader(topic, partition))
  }

  /** Connections of their own for one reader: a fetch that waits at the end holds up what is behind it. */
  ownConnections(): ConnectionPool {
    return new ConnectionPool(limits.clientId, this.#connectionOptions())
  }

  /**
   * Does the work, and again after a pause for as long as patience lasts: leaders move, brokers start again. What the
   * broker refuses for good, and what is no matter of availability, is thrown at once.
   */
  async patiently<Result>(what: string, work: () => Promise<Result>): Promise<Result> {
    const deadline = performance.now() + this.#options.patienceMs
    for (let pauseMs: number = limits.pauseMsMin; ; pauseMs = Math.min(pauseMs * 2, limits.pauseMsMax)) {
      try {
        return await work()
      } catch (error) {
        const logError = asLogError(error, what)
        const over = performance.now() + pauseMs > deadline || this.#closing.signal.aborted
        if (!logError.retryable || isRefused(error) || over) throw logError
      }
      await this.pause(pauseMs)
    }
  }

  /** Waits; returns at once when the cluster is closed. */
  async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#closing.signal }).catch(() => undefined)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    await this.admin.close()
  }
}

// A topic id is 122 random bits; 53 of a hash of them are what a number holds exactly.
function epochOf(topicId: string): number {
  const hash = createHash('sha256').update(topicId).digest()
  return Number(hash.readBigUInt64BE() >> 11n)
}

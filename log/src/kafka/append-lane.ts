import { initProducerIdV4, type MessageRecord, NumericMap, produceV9 } from '@platformatic/kafka'
import { type AppendOutcome, LogError, type NewRecord } from '../log.ts'
import type { Cluster, Topic } from './cluster.ts'
import { asLogError, isAnswer, isKafka, isRefused, isStale } from './kafka-errors.ts'

const limits = {
  /** Kafka refuses requests above 1 MiB (`message.max.bytes`) unless told otherwise; this leaves room for the frame. */
  batchBytesMax: 900_000,
  batchRecordsMax: 10_000,
  /** About what a record's lengths, timestamp and headers take. */
  recordBytes: 150,
  /** Below this compressing costs more than it saves. */
  compressFromBytes: 2_000,
  pauseMsMin: 20,
  pauseMsMax: 400,
} as const

interface Waiting {
  readonly message: MessageRecord
  readonly receivedAt: number
  readonly bytes: number
  readonly settle: (outcome: AppendOutcome) => void
}

/** Who we are to the broker, and the number of the next record: it stores what it has seen of us only once. */
interface Producer {
  readonly id: bigint
  readonly epoch: number
  readonly sequence: number
}

type Sent =
  | { readonly kind: 'stored'; readonly baseOffset: number; readonly topic: Topic }
  | { readonly kind: 'failed' | 'unknown'; readonly error: LogError }
  | { readonly kind: 'too-large'; readonly error: LogError }

/**
 * Writes one partition. One batch is under way at a time and whatever comes meanwhile makes the next one, so the order
 * of calls is the order in the log, whatever has to be sent again.
 *
 * A batch that got no answer is sent again with the same producer and sequence, which the broker stores at most once.
 * When patience ends without an answer the batch is `unknown`, and the lane goes on with the next producer epoch: once
 * that is seen, the broker refuses anything of the old one that may still be on its way. @platformatic/kafka's own
 * idempotent producer is not used: it sends several batches at the same time and, after an error of sequence, sends
 * under a new producer id what may have been stored under the old one.
 */
export class AppendLane {
  readonly #cluster: Cluster
  readonly #topic: string
  readonly #partition: number
  readonly #queue: Waiting[] = []
  #running: Promise<void> | undefined
  #producer: Producer | undefined
  #nextOffset = 0

  constructor(cluster: Cluster, topic: string, partition: number) {
    this.#cluster = cluster
    this.#topic = topic
    this.#partition = partition
  }

  /** Queues a record now, in this order; settles when it is known what became of it. */
  append(record: NewRecord): Promise<AppendOutcome> {
    const message = encode(record, this.#topic, this.#partition)
    const bytes = message.value.length + (message.key?.length ?? 0) + limits.recordBytes
    return new Promise((settle) => {
      this.#queue.push({ message, receivedAt: record.receivedAt, bytes, settle })
      this.#running ??= this.#run()
    })
  }

  /** Resolves when nothing is queued or under way. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running
  }

  async #run(): Promise<void> {
    // Lets all records of the calls of this turn into the first batch.
    await Promise.resolve()
    while (this.#queue.length > 0) {
      const batch = this.#take()
      await this.#settle(batch)
    }
    this.#running = undefined
  }

  #take(): Waiting[] {
    let bytes = 0
    let count = 0
    for (const waiting of this.#queue) {
      bytes += waiting.bytes
      if (count > 0 && (bytes > limits.batchBytesMax || count >= limits.batchRecordsMax)) break
      count += 1
    }
    return this.#queue.splice(0, count)
  }

  async #settle(batch: readonly Waiting[]): Promise<void> {
    const sent = await this.#send(batch)
    if (sent.kind === 'too-large' && batch.length > 1) {
      const half = batch.length >> 1
      await this.#settle(batch.slice(0, half))
      return this.#settle(batch.slice(half))
    }
    for (const [index, { settle, receivedAt }] of batch.entries())
      if (sent.kind === 'stored')
        settle({ kind: 'appended', receivedAt, position: this.#position(sent, index) })
      else settle({ kind: sent.kind === 'unknown' ? 'unknown' : 'failed', error: sent.error })
    if (sent.kind === 'stored' || isRefused(sent.error.cause)) return
    // Nobody answers: what waits behind was never sent, and would wait as long again, batch by batch.
    for (const { settle } of this.#queue.splice(0)) settle({ kind: 'failed', error: sent.error })
  }

  #position(sent: { baseOffset: number; topic: Topic }, index: number) {
    const { epoch, name } = sent.topic
    return { epoch, topic: name, partition: this.#partition, offset: sent.baseOffset + index }
  }

  async #send(batch: readonly Waiting[]): Promise<Sent> {
    const what = `appending to ${this.#topic}/${this.#partition}`
    const deadline = performance.now() + this.#cluster.patienceMs
    // True once a request may have been stored without our knowing.
    let unsure = false
    for (let pauseMs: number = limits.pauseMsMin; ; pauseMs = Math.min(pauseMs * 2, limits.pauseMsMax)) {
      const tried = await this.#try(batch)
      if (tried.kind === 'stored') return tried
      const { error } = tried
      if (isKafka(error, 'MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE'))
        return { kind: 'too-large', error: asLogError(error, what) }
      if (tried.sent && !isAnswer(error)) unsure = true
      if (isKafka(error, 'NOT_ENOUGH_REPLICAS_AFTER_APPEND', 'REQUEST_TIMED_OUT', 'KAFKA_STORAGE_ERROR'))
        unsure = true
      // The broker does not know the batches before this one (it lost them, or forgot us after days without any):
      // then this one is not there either, or it would be a repeat to it. Numbers begin anew in the next epoch.
      if (isKafka(error, 'OUT_OF_ORDER_SEQUENCE_NUMBER', 'UNKNOWN_PRODUCER_ID')) this.#nextEpoch()
      else if (isKafka(error, 'INVALID_PRODUCER_EPOCH', 'PRODUCER_FENCED')) this.#producer = undefined
      const logError = asLogError(error, what)
      const over = performance.now() + pauseMs > deadline
      if (!over && !isRefused(error) && (isStale(error) || logError.code === 'unavailable')) {
        await this.#cluster.pause(pauseMs)
        continue
      }
      if (!unsure) return { kind: 'failed', error: logError }
      this.#nextEpoch()
      return { kind: 'unknown', error: logError }
    }
  }

  async #try(
    batch: readonly Waiting[],
  ): Promise<
    { kind: 'stored'; baseOffset: number; topic: Topic } | { kind: 'error'; error: unknown; sent: boolean }
  > {
    let sent = false
    try {
      const known = this.#cluster.known(this.#topic) ?? (await this.#cluster.ask(this.#topic))
      const connection = await this.#cluster.connection(known, this.#partition)
      this.#producer ??= await newProducer(connection)
      sent = true
      const baseOffset = await this.#produce(connection, batch, this.#producer)
      // Offsets that go back are those of another topic with this name.
      const topic = baseOffset < this.#nextOffset ? await this.#cluster.ask(this.#topic) : known
      this.#nextOffset = baseOffset + batch.length
      this.#producer = { ...this.#producer, sequence: (this.#producer.sequence + batch.length) & 0x7fffffff }
      return { kind: 'stored', baseOffset, topic }
    } catch (error) {
      // Whatever it was, the next try looks for the leader again; if that fails too, its own error says why.
      await this.#cluster.ask(this.#topic).catch(() => undefined)
      return { kind: 'error', error, sent }
    }
  }

  async #produce(connection: Connection, batch: readonly Waiting[], producer: Producer): Promise<number> {
    const bytes = batch.reduce((sum, waiting) => sum + waiting.bytes, 0)
    const response = await produceV9.api.async(
      connection,
      -1, // all replicas in sync
      this.#cluster.acknowledgeMsMax,
      batch.map(({ message }) => message),
      {
        compression: bytes < limits.compressFromBytes ? 'none' : 'zstd',
        producerId: producer.id,
        producerEpoch: producer.epoch,
        sequences: new NumericMap([[`${this.#topic}:${this.#partition}`, producer.sequence]]),
      },
    )
    const offset =
      typeof response === 'boolean' ? undefined : response.responses[0]?.partitionResponses[0]?.baseOffset
    if (offset === undefined) throw new LogError('unavailable', 'the broker answered without an offset')
    return Number(offset)
  }

  #nextEpoch(): void {
    const { id, epoch } = this.#producer ?? { id: -1n, epoch: 0 }
    // An epoch is a signed 16-bit number; after the last one we become somebody else.
    this.#producer = id < 0n || epoch >= 0x7ffe ? undefined : { id, epoch: epoch + 1, sequence: 0 }
  }
}

type Connection = Awaited<ReturnType<Cluster['connection']>>

async function newProducer(connection: Connection): Promise<Producer> {
  const { producerId, producerEpoch } = await initProducerIdV4.api.async(connection, null, 0, -1n, -1)
  return { id: producerId, epoch: producerEpoch, sequence: 0 }
}

const idHeader = Buffer.from('event_id')
const typeHeader = Buffer.from('event_type')
const receivedHeader = Buffer.from('received_at')

function encode(record: NewRecord, topic: string, partition: number): MessageRecord {
  const headers = new Map([
    [idHeader, Buffer.from(record.id)],
    [typeHeader, Buffer.from(record.type)],
    [receivedHeader, Buffer.from(String(record.receivedAt))],
  ])
  // The broker writes its own time over this one in topics that we declare; in others it is when we sent it.
  const timestamp = BigInt(Date.now())
  return {
    topic,
    partition,
    key: Buffer.from(record.key),
    value: Buffer.from(record.value),
    headers,
    timestamp,
  }
}

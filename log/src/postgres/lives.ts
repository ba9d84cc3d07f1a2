import type pg from 'pg'
import { LogError } from '../log.ts'
import { renewEpochAfterRestore } from './log-identity.ts'
import { RememberedIds } from './remembered-ids.ts'

export interface Topic {
  readonly id: number
  readonly name: string
  readonly epoch: number
  readonly partitions: number
}

/**
 * What this process knows of the log in one life of its database. After a failover to a standby that lacked the end, the
 * same offsets, topic numbers and generations of ids may stand for something else: so nothing of it is carried over.
 */
export class Life {
  readonly identity: string
  readonly ids: RememberedIds
  readonly #byName = new Map<string, Topic>()
  readonly #byId = new Map<number, Topic>()

  constructor(identity: string, idsPerGeneration: number) {
    this.identity = identity
    this.ids = new RememberedIds(idsPerGeneration)
  }

  topic(name: string): Topic | undefined {
    return this.#byName.get(name)
  }

  topicWithId(id: number): Topic | undefined {
    return this.#byId.get(id)
  }

  add(topics: readonly Topic[]): void {
    for (const topic of topics) {
      this.#byName.set(topic.name, topic)
      this.#byId.set(topic.id, topic)
    }
  }
}

/** A connection that is known to lead to the database in this life. */
export interface Entered {
  readonly client: pg.Client
  readonly life: Life
}

/**
 * The lives of the database that this process has met. Every connection that appends, reads or looks after the log enters
 * one first: the database behind the address may be another one since the last. It is in its newest life, or is refused.
 */
export class Lives {
  readonly #idsPerGeneration: number
  #current: Life

  constructor(idsPerGeneration: number) {
    this.#idsPerGeneration = idsPerGeneration
    this.#current = new Life('', idsPerGeneration)
  }

  get current(): Life {
    return this.#current
  }

  /**
   * Makes sure that the topics have the epoch of the life that the database is in, and reads them. Rejects with PostgreSQL's
   * error, which a standby that is not promoted gives as well, or with LogError `unavailable` if the database is of a life
   * that is over.
   */
  async enter(client: pg.Client): Promise<Life> {
    const identity = await renewEpochAfterRestore(client)
    const topics = await readTopics(client)
    // From here on without a pause: connections that enter side by side find the same life.
    const raised = topics.map(({ name, epoch }) => epoch - (this.#current.topic(name)?.epoch ?? epoch))
    if (raised.some((by) => by < 0)) throw isOver()
    if (identity !== this.#current.identity || raised.some((by) => by > 0))
      this.#current = new Life(identity, this.#idsPerGeneration)
    this.#current.add(topics)
    return this.#current
  }

  /** The topic, looked up anew if it is not known. Throws LogError `unknown-topic`. */
  async topicBy(client: pg.Client, name: string): Promise<Topic> {
    const topic = this.#current.topic(name) ?? (await this.enter(client)).topic(name)
    if (!topic) throw unknownTopic(name)
    return topic
  }
}

async function readTopics(client: pg.Client): Promise<readonly Topic[]> {
  const { rows } = await client.query('select id, name, partitions, epoch from log_topics')
  return rows.map((row) => ({ ...row, epoch: Number(row.epoch) }))
}

// An old primary that still answers: what it took would be lost with it. Whoever wants it back starts the server anew.
const isOver = () =>
  new LogError('unavailable', 'the address leads to a database of an earlier life than the one in use')

export const unknownTopic = (name: string) => new LogError('unknown-topic', `there is no topic ${name}`)

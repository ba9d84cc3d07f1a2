import type { EventLog } from '@pulse/log'
import type pg from 'pg'
import type { EventTypeConfig } from '../config/define-config.ts'
import type { Schemas } from '../schemas/schemas.ts'
import { type DeadLetter, getDeadLetter, listDeadLetters, redrive } from './dead-letters.ts'
import { type EventLife, readLife } from './event-life.ts'
import {
  checkWidth,
  type EventFilter,
  ensurePropertyIndexes,
  type ListedEvent,
  listEvents,
} from './event-query.ts'
import { limitedQuery } from './limited-query.ts'
import { LogSearch } from './log-search.ts'
import { Remembered } from './remembered.ts'

/** Counting a day of events costs what a day of events costs: once for all who ask within so many milliseconds. */
const typesMsMax = 10_000

interface QueryNeeds {
  readonly pool: pg.Pool
  readonly log: EventLog
  readonly schemas: Schemas
  readonly eventTypes: Readonly<Record<string, EventTypeConfig>>
  /** Name of the handler of a type. */
  readonly handlerOf: (eventType: string) => string
}

interface Page<T> {
  data: T[]
  cursor: string | null
  has_more: boolean
}

/** What is declared and known of one event type. */
export interface EventTypeFacts {
  readonly name: string
  readonly topic: string
  readonly key: string
  readonly handler: string
  readonly indexed: string[]
  readonly count_24h: number
}

/** Reads what became of events. Everything throws ProblemError, within 5 seconds. */
export interface Query {
  list(filter: EventFilter): Promise<Page<ListedEvent>>
  life(eventId: string): Promise<EventLife>
  eventTypes(): Promise<EventTypeFacts[]>
  deadLetters(filter: Parameters<typeof listDeadLetters>[1]): Promise<Page<DeadLetter>>
  deadLetter(id: string): Promise<DeadLetter>
  redrive(id: string): Promise<{ id: string; event_id: string }>
}

/** Makes the indexes that event types declare and offers the queries. Rejects with PostgreSQL's error. */
export async function openQuery(needs: QueryNeeds): Promise<Query> {
  const { pool, schemas } = needs
  await ensurePropertyIndexes(pool, needs.eventTypes)
  const topics = schemas.topics.map((topic) => topic.name)
  const search = new LogSearch({ pool, log: needs.log, topics })
  const types = new Remembered(typesMsMax, () => eventTypes(needs))
  return {
    list: async (filter) => {
      checkWidth(filter, schemas)
      return listEvents(pool, filter)
    },
    life: (eventId) => readLife({ pool, search }, eventId),
    eventTypes: () => types.get(),
    deadLetters: (filter) => listDeadLetters(pool, filter),
    deadLetter: (id) => getDeadLetter(pool, id),
    redrive: (id) => redrive(pool, id, schemas),
  }
}

async function eventTypes({ pool, schemas, handlerOf }: QueryNeeds): Promise<EventTypeFacts[]> {
  const rows = await limitedQuery<{ name: string; count: string }>(
    pool,
    `select event_type as name, count(*) as count from events where received_at > now() - interval '24 hours'
     group by event_type order by count(*) desc limit 200`,
    [],
  )
  const counts = new Map(rows.map((row) => [row.name, Number(row.count)]))
  const names = [...new Set([...schemas.types, ...counts.keys()])].sort()
  return names.map((name) => ({
    name,
    topic: schemas.topicOf(name),
    key: schemas.keyPointerOf(name),
    handler: handlerOf(name),
    indexed: [...schemas.indexed(name)],
    count_24h: counts.get(name) ?? 0,
  }))
}

import { createHash } from 'node:crypto'
import type { Event, EventState } from '@pulse/protocol/event'
import { formatEventPosition } from '@pulse/protocol/position'
import type pg from 'pg'
import { instantSql } from '../database/ask.ts'
import { ProblemError } from '../http/problem-error.ts'
import type { Schemas } from '../schemas/schemas.ts'
import { type Cursor, formatCursor } from './cursor.ts'
import { limitedQuery } from './limited-query.ts'

/** One event in a list: what it is, where it is in its life, what became of it. */
export interface ListedEvent extends Event {
  readonly status: EventState
  readonly received_at: string
  readonly processed_at: string | null
  readonly enriched: Record<string, unknown> | null
  readonly position: string
  readonly error: { readonly class: string; readonly message: string; readonly attempts: number } | null
}

export interface EventFilter {
  readonly event_type?: string | undefined
  readonly user_id?: string | undefined
  readonly status?: EventState | undefined
  /** Bounds on the time of receipt, inclusive and exclusive. */
  readonly from?: string | undefined
  readonly to?: string | undefined
  /** Property names and the texts that their values must have. */
  readonly properties: ReadonlyMap<string, string>
  readonly cursor?: Cursor | undefined
  readonly limit: number
}

interface Row {
  readonly [column: string]: unknown
}

const dayMs = 86_400_000

/**
 * Refuses a property filter that would have to read too much: it needs a type and at most 24 hours, or only
 * properties that the type declares as indexed. Throws ProblemError `query_too_wide`.
 */
export function checkWidth(filter: EventFilter, schemas: Schemas): void {
  if (filter.properties.size === 0) return
  const indexed = filter.event_type === undefined ? [] : schemas.indexed(filter.event_type)
  if ([...filter.properties.keys()].every((name) => indexed.includes(name))) return
  const spanMs =
    (filter.to ? Date.parse(filter.to) : Date.now()) - (filter.from ? Date.parse(filter.from) : 0)
  if (filter.event_type !== undefined && spanMs <= dayMs) return
  throw new ProblemError(
    'query_too_wide',
    'A filter on properties needs an event_type and from and to at most 24 hours apart, or a property that the type declares as indexed.',
  )
}

/** Reads one page, newest first, over processed and dropped events, retries and dead letters. */
export async function listEvents(
  pool: pg.Pool,
  filter: EventFilter,
): Promise<{ data: ListedEvent[]; cursor: string | null; has_more: boolean }> {
  const { text, values } = pageQuery(filter)
  const rows = await limitedQuery<Row>(pool, text, values)
  const page = rows.slice(0, filter.limit).map(listedOf)
  const last = page.at(-1)
  const more = rows.length > filter.limit
  return {
    data: page,
    cursor: more && last ? formatCursor({ at: last.received_at, id: last.event_id }) : null,
    has_more: more,
  }
}

/** Each table is asked for one page in the same order; the page is the newest of them together. */
function pageQuery(filter: EventFilter): { text: string; values: unknown[] } {
  const values: unknown[] = [filter.limit + 1]
  const parameter = (value: unknown) => `$${values.push(value)}`
  const clauses = clausesOf(filter, parameter)
  const parts = [
    wants(filter, 'processed', 'dropped') &&
      part(sources.rows, [...clauses, ...(filter.status ? [`status = ${parameter(filter.status)}`] : [])]),
    wants(filter, 'retrying') && part(sources.retries, clauses),
    wants(filter, 'dead') && part(sources.dead, clauses),
  ].filter((each): each is string => typeof each === 'string')
  if (parts.length === 0) parts.push(part(sources.rows, ['false']))
  return {
    text: `select *, ${instantSql('received_at')} as received, ${instantSql('"timestamp"')} as happened,
        ${instantSql('processed_at')} as processed
      from (${parts.join(' union all ')}) page order by received_at desc, event_id desc limit $1`,
    values,
  }
}

const wants = (filter: EventFilter, ...states: EventState[]) =>
  filter.status === undefined || states.includes(filter.status)

function clausesOf(filter: EventFilter, parameter: (value: unknown) => string): string[] {
  const clauses: string[] = []
  if (filter.event_type !== undefined)
    clauses.push(
      `event_type = ${filter.properties.size > 0 ? literal(filter.event_type) : parameter(filter.event_type)}`,
    )
  if (filter.user_id !== undefined) clauses.push(`user_id = ${parameter(filter.user_id)}`)
  if (filter.from !== undefined) clauses.push(`received_at >= ${parameter(filter.from)}::timestamptz`)
  if (filter.to !== undefined) clauses.push(`received_at < ${parameter(filter.to)}::timestamptz`)
  // The name stands in the text, because an index on the expression is found only by its literal.
  for (const [name, value] of filter.properties)
    clauses.push(`properties ->> ${literal(name)} = ${parameter(value)}`)
  if (filter.cursor)
    clauses.push(
      `(received_at, event_id) < (${parameter(filter.cursor.at)}::timestamptz, ${parameter(filter.cursor.id)}::uuid)`,
    )
  return clauses
}

/** A text as SQL literal, whatever is in it. */
const literal = (text: string) => `'${text.replaceAll("'", "''")}'`

/**
 * Makes the indexes of properties that event types declare. Safe to repeat; an index that no type declares any
 * more is left for the operator, since building it again may take hours.
 */
export async function ensurePropertyIndexes(
  pool: pg.Pool,
  declared: Readonly<Record<string, { readonly indexed?: readonly string[] }>>,
): Promise<void> {
  for (const [type, { indexed = [] }] of Object.entries(declared))
    for (const property of indexed) {
      const name = `events_property_${createHash('sha256').update(`${type}/${property}`).digest('hex').slice(0, 16)}`
      await pool.query(
        `create index if not exists ${name} on events ((properties ->> ${literal(property)}), received_at)
         where event_type = ${literal(type)}`,
      )
    }
}

const fromJson = `(event ->> 'timestamp')::timestamptz as "timestamp", event -> 'properties' as properties,
  event ->> 'source' as source, (event ->> 'schema_version')::int as schema_version`

const place = 'topic, partition, record_offset, log_epoch'

const sources = {
  rows: `select event_id, event_type, user_id, "timestamp", properties, source, schema_version, received_at, status,
    processed_at, enriched, null::text as error_class, null::text as error_message, attempts, ${place} from events`,
  retries: `select event_id, event ->> 'event_type' as event_type, event ->> 'user_id' as user_id, ${fromJson}, received_at, 'retrying' as status, null::timestamptz as processed_at,
    null::jsonb as enriched, error_class, error_message, attempts, ${place} from retries`,
  dead: `select event_id, event_type, user_id, ${fromJson}, received_at, 'dead' as status, null::timestamptz as processed_at,
    null::jsonb as enriched, error_class, error_message, attempts, ${place} from dead_letters where state = 'dead'`,
} as const

function part(source: string, clauses: readonly string[]): string {
  const where = clauses.length === 0 ? '' : `where ${clauses.join(' and ')}`
  // The rows of `events` are filtered where they are, so that its indexes and day partitions count.
  const inner =
    source === sources.rows ? `${source} ${where}` : `select * from (${source}) all_of_them ${where}`
  return `(${inner} order by received_at desc, event_id desc limit $1)`
}

/** A row of any of the three tables as the API shows it. */
function listedOf(row: Row): ListedEvent {
  return {
    event_id: row.event_id as string,
    event_type: row.event_type as string,
    user_id: row.user_id as string | null,
    timestamp: row.happened as string,
    properties: row.properties as Record<string, unknown>,
    source: row.source as string | null,
    schema_version: row.schema_version as number,
    status: row.status as EventState,
    received_at: row.received as string,
    processed_at: row.processed as string | null,
    enriched: row.enriched as Record<string, unknown> | null,
    position: formatEventPosition(
      Number(row.log_epoch),
      row.topic as string,
      row.partition as number,
      Number(row.record_offset),
    ),
    error: row.error_class
      ? {
          class: row.error_class as string,
          message: row.error_message as string,
          attempts: row.attempts as number,
        }
      : null,
  }
}

/** Finds one event in the tables; undefined if it is in none of them (it may still wait in the log). */
export async function findEvent(pool: pg.Pool, eventId: string): Promise<ListedEvent | undefined> {
  const parts = Object.values(sources).map((source) => part(source, ['event_id = $2::uuid']))
  const rows = await limitedQuery<Row>(
    pool,
    `select *, ${instantSql('received_at')} as received, ${instantSql('"timestamp"')} as happened,
       ${instantSql('processed_at')} as processed
     from (${parts.join(' union all ')}) found`,
    [1, eventId],
  )
  return rows[0] && listedOf(rows[0])
}

import type { LogRecord } from '@pulse/log'
import { canonicalJson } from '@pulse/protocol/canonical-json'
import type { Event } from '@pulse/protocol/event'
import { instantOf } from '@pulse/protocol/instant'
import type pg from 'pg'
import { ask, instantSql } from '../database/ask.ts'

/** What an event is whose id came before: the same event again, or another one under that id. */
export type Repeat = 'repeat' | 'conflict'

interface KnownRow {
  readonly event: Event
  readonly received: string
}

/**
 * Finds events that came before, for logs that cannot while they append. Whoever asks owns the partition: events of one
 * id and key go to one partition, so nobody else can make them known between this answer and the commit of what
 * follows from it, which is fenced; and an owner before that is still committing keeps the partition from being taken.
 *
 * `windowMs` is how long an id is remembered. An event that waits or is dead is known for as long as it does or is.
 */
export async function findRepeats(
  from: { readonly pool: pg.Pool; readonly windowMs: number },
  records: readonly LogRecord[],
): Promise<ReadonlyMap<number, Repeat>> {
  const known = new Map<string, Set<string>>()
  const oldest = records.reduce((min, { receivedAt }) => Math.min(min, receivedAt), Number.POSITIVE_INFINITY)
  const ids = records.map(({ event }) => event.event_id)
  for (const { event, received } of await knownRows(from.pool, ids, oldest / 1000 - from.windowMs))
    isNew(known, event, received)
  const repeats = new Map<number, Repeat>()
  for (const { offset, event, receivedAt } of records) {
    const first = !known.has(event.event_id)
    const other = isNew(known, event, instantOf(receivedAt))
    if (!first) repeats.set(offset, other ? 'conflict' : 'repeat')
  }
  return repeats
}

/** Adds the event to what is known of its id; false if it is known already as it is. */
function isNew(known: Map<string, Set<string>>, event: Event, received: string): boolean {
  const contents = known.get(event.event_id) ?? new Set()
  known.set(event.event_id, contents)
  const { event_type, user_id, timestamp, properties, source, schema_version } = event
  const rest = { event_type, user_id, properties, source, schema_version }
  // Who sends no time gets that of the receipt, which is another one each time.
  const before = contents.size
  return (
    before <
    contents.add(canonicalJson({ ...rest, timestamp: timestamp === received ? null : timestamp })).size
  )
}

async function knownRows(
  pool: pg.Pool,
  ids: readonly string[],
  sinceMs: number,
): Promise<readonly KnownRow[]> {
  const { rows } = await ask<KnownRow>(
    pool,
    `select jsonb_build_object('event_id', event_id, 'event_type', event_type, 'user_id', user_id, 'timestamp',
         ${instantSql('"timestamp"')}, 'properties', properties, 'source', source, 'schema_version', schema_version) as event,
       ${instantSql('received_at')} as received
     from events where event_id = any ($1::uuid[]) and received_at > to_timestamp($2)
     union all
     select event, ${instantSql('received_at')} from retries where event_id = any ($1::uuid[])
     union all
     select event, ${instantSql('received_at')} from dead_letters where event_id = any ($1::uuid[])`,
    [ids, sinceMs / 1000],
  )
  return rows
}

import { randomUUID } from 'node:crypto'
import { instantOf } from '@pulse/protocol/instant'
import type pg from 'pg'
import { inTime } from '../database/ask.ts'
import { isDataAtFault, isRowAtFault, RefusedRows, refuseIf } from './commit.ts'
import { copyEventRows, type EventRow, encodeRows } from './copy-rows.ts'
import type { Place } from './handler-runner.ts'
import type { Outcome, UserRows } from './outcome.ts'

/**
 * Writes what a round led to, in the transaction that also moves the offset. Rejects with RefusedRows if an event or
 * what its handler returned is at fault, else with PostgreSQL's error.
 */
export async function storeOutcomes(
  tx: pg.ClientBase,
  place: Place,
  outcomes: readonly Outcome[],
): Promise<void> {
  const bytes = encoded(() => encodeRows(eventRows(place, outcomes)))
  await inTime(copyEventRows(tx, bytes)).catch(refuseIf(isDataAtFault))
  await storeUserRows(tx, outcomes)
  await storeParked(tx, place, outcomes)
  await storeDead(tx, place, outcomes)
}

function eventRows(place: Place, outcomes: readonly Outcome[]): EventRow[] {
  const rows: EventRow[] = []
  for (const outcome of outcomes) {
    if (outcome.kind !== 'processed' && outcome.kind !== 'dropped') continue
    const { record, attempts } = outcome.work
    rows.push({
      event: record.event,
      receivedAt: record.receivedAt,
      epoch: place.epoch,
      topic: place.topic,
      partition: place.partition,
      offset: record.offset,
      attempts: attempts + 1,
      status: outcome.kind,
      enriched: outcome.kind === 'dropped' ? { dropped: outcome.reason } : outcome.enriched,
    })
  }
  return rows
}

// Rows of one table go in one statement; the table's own types decide how the JSON is read.
async function storeUserRows(tx: pg.ClientBase, outcomes: readonly Outcome[]): Promise<void> {
  const byTable = new Map<string, Record<string, unknown>[]>()
  for (const outcome of outcomes)
    if (outcome.kind === 'processed')
      for (const [table, rows] of Object.entries(outcome.rows as UserRows)) {
        const all = byTable.get(table) ?? []
        for (const row of rows) all.push(row) // spread, a hundred thousand rows would not fit on the stack
        byTable.set(table, all)
      }
  for (const [table, rows] of byTable) {
    const name = table.split('.').map(quoted).join('.')
    const json = encoded(() => JSON.stringify(rows))
    const text = `insert into ${name} select * from jsonb_populate_recordset(null::${name}, $1)`
    await inTime(tx.query(text, [json])).catch(refuseIf(isRowAtFault))
  }
}

/** What a handler returned may be no JSON at all: a BigInt, a circle. */
function encoded<T>(encode: () => T): T {
  try {
    return encode()
  } catch (cause) {
    throw new RefusedRows(cause)
  }
}

const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`

async function storeParked(tx: pg.ClientBase, place: Place, outcomes: readonly Outcome[]): Promise<void> {
  const rows = outcomes.flatMap((outcome) => {
    if (outcome.kind !== 'parked') return []
    const { work, failure } = outcome
    const { record } = work
    return [
      {
        ...originOf(place, record.offset),
        event_id: record.event.event_id,
        key: work.key,
        event: record.event,
        received_at: instantOf(record.receivedAt),
        attempts: failure ? work.attempts + 1 : work.attempts,
        delay_ms: outcome.delayMs,
        waits_for_key: failure === undefined,
        error_class: failure?.errorClass,
        error_message: failure?.message,
        handler: failure?.handler,
      },
    ]
  })
  if (rows.length === 0) return
  const inserted = tx.query(
    `insert into pulse.retries (event_id, topic, partition, record_offset, log_epoch, key, event, received_at, attempts,
       next_attempt_at, waits_for_key, error_class, error_message, handler)
     select event_id, topic, partition, record_offset, log_epoch, key, event, received_at, attempts,
       clock_timestamp() + make_interval(secs => delay_ms / 1000.0), waits_for_key, error_class, error_message, handler
     from jsonb_to_recordset($1) as r(event_id uuid, topic text, partition int2, record_offset int8, log_epoch int8, key text,
       event jsonb, received_at timestamptz, attempts int2, delay_ms float8, waits_for_key bool, error_class text,
       error_message text, handler text)
     on conflict (event_id) do nothing`,
    [JSON.stringify(rows)],
  )
  // Only one event of an id can wait; another one must not vanish for it.
  if ((await inTime(inserted)).rowCount !== rows.length) throw new RefusedRows(new EventIdConflict())
}

async function storeDead(tx: pg.ClientBase, place: Place, outcomes: readonly Outcome[]): Promise<void> {
  const rows = outcomes.flatMap((outcome) => {
    if (outcome.kind !== 'dead') return []
    const { work, failure } = outcome
    const { event } = work.record
    return [
      {
        ...originOf(place, work.record.offset),
        id: randomUUID(),
        event_id: event.event_id,
        event_type: event.event_type,
        user_id: event.user_id,
        event,
        error_class: failure.errorClass,
        error_message: failure.message,
        handler: failure.handler,
        attempts: work.attempts + 1,
        received_at: instantOf(work.record.receivedAt),
      },
    ]
  })
  if (rows.length === 0) return
  const inserted = tx.query(
    `insert into pulse.dead_letters (id, event_id, event_type, user_id, event, error_class, error_message, handler, attempts,
       topic, partition, record_offset, log_epoch, received_at)
     select id, event_id, event_type, user_id, event, error_class, error_message, handler, attempts,
       topic, partition, record_offset, log_epoch, received_at
     from jsonb_to_recordset($1) as d(id uuid, event_id uuid, event_type text, user_id text, event jsonb, error_class text,
       error_message text, handler text, attempts int2, topic text, partition int2, record_offset int8, log_epoch int8,
       received_at timestamptz)`,
    [JSON.stringify(rows)],
  )
  await inTime(inserted)
}

/** Another event with this id came first. */
export class EventIdConflict extends Error {
  override name = 'EventIdConflict'
  constructor() {
    super('another event with this event_id came before')
  }
}

const originOf = (place: Place, offset: number) => ({
  topic: place.topic,
  partition: place.partition,
  log_epoch: place.epoch,
  record_offset: offset,
})

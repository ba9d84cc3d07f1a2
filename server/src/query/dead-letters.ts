import type { Event } from '@pulse/protocol/event'
import type pg from 'pg'
import { instantSql } from '../database/ask.ts'
import { ProblemError } from '../http/problem-error.ts'
import type { Schemas } from '../schemas/schemas.ts'
import { type Cursor, formatCursor } from './cursor.ts'
import { limitedQuery, limitedWrite } from './limited-query.ts'

/** An event that could not be processed: why, where from, in whose hands, after how many attempts. */
export interface DeadLetter {
  readonly id: string
  readonly event_id: string
  readonly event_type: string
  readonly user_id: string | null
  readonly event: Event
  readonly error: { readonly class: string; readonly message: string }
  readonly handler: string
  readonly attempts: number
  readonly origin: { readonly topic: string; readonly partition: number; readonly offset: number }
  readonly received_at: string
  readonly failed_at: string
  readonly state: 'dead' | 'redriven'
  readonly redriven_at: string | null
}

const uniqueViolation = '23505'
/** Of what a receiver did not take; the id of the webhook follows. */
const webhookPrefix = 'webhook:'

interface Row {
  readonly [column: string]: unknown
}

const columns = `select id, event_id, event_type, user_id, event, error_class, error_message, handler, attempts, topic,
  partition, record_offset, state, ${instantSql('received_at')} as received, ${instantSql('failed_at')} as failed,
  ${instantSql('redriven_at')} as redriven`
const select = `${columns} from all_dead_letters`

function letterOf(row: Row): DeadLetter {
  return {
    id: row.id as string,
    event_id: row.event_id as string,
    event_type: row.event_type as string,
    user_id: row.user_id as string | null,
    event: row.event as Event,
    error: { class: row.error_class as string, message: row.error_message as string },
    handler: row.handler as string,
    attempts: row.attempts as number,
    origin: {
      topic: row.topic as string,
      partition: row.partition as number,
      offset: Number(row.record_offset),
    },
    received_at: row.received as string,
    failed_at: row.failed as string,
    state: row.state as DeadLetter['state'],
    redriven_at: row.redriven as string | null,
  }
}

/** One page of dead letters, newest first. */
export async function listDeadLetters(
  pool: pg.Pool,
  filter: {
    event_type?: string | undefined
    state?: string | undefined
    handler?: string | undefined
    cursor?: Cursor | undefined
    limit: number
  },
): Promise<{ data: DeadLetter[]; cursor: string | null; has_more: boolean }> {
  const values: unknown[] = [filter.limit + 1]
  const parameter = (value: unknown) => `$${values.push(value)}`
  const clauses = ['true']
  if (filter.event_type !== undefined) clauses.push(`event_type = ${parameter(filter.event_type)}`)
  if (filter.state !== undefined) clauses.push(`state = ${parameter(filter.state)}`)
  if (filter.handler !== undefined) clauses.push(`handler = ${parameter(filter.handler)}`)
  if (filter.cursor)
    clauses.push(
      `(failed_at, id) < (${parameter(filter.cursor.at)}::timestamptz, ${parameter(filter.cursor.id)}::uuid)`,
    )
  const text = `${select} where ${clauses.join(' and ')} order by failed_at desc, id desc limit $1`
  const rows = await limitedQuery<Row>(pool, text, values)
  const page = rows.slice(0, filter.limit).map(letterOf)
  const last = page.at(-1)
  const more = rows.length > filter.limit
  return {
    data: page,
    cursor: more && last ? formatCursor({ at: last.failed_at, id: last.id }) : null,
    has_more: more,
  }
}

/** One dead letter by its own id. Throws ProblemError `not_found`. */
export async function getDeadLetter(pool: pg.Pool, id: string): Promise<DeadLetter> {
  const rows = await limitedQuery<Row>(pool, `${select} where id = $1`, [id])
  if (!rows[0]) throw new ProblemError('not_found', 'There is no dead letter with this id.')
  return letterOf(rows[0])
}

/** The dead letters that an event has become in the hands of handlers, oldest first: more than one after a redrive that failed again. */
export async function deadLettersOf(pool: pg.Pool, eventId: string): Promise<DeadLetter[]> {
  const text = `${columns} from dead_letters where event_id = $1 order by failed_at`
  const rows = await limitedQuery<Row>(pool, text, [eventId])
  return rows.map(letterOf)
}

/**
 * Sends one dead letter back to its handlers: it moves to the retries in one transaction and is appended to no log
 * again, so its id, key and first receipt stay what they were. Throws ProblemError `not_found`, or `conflict` if it
 * was redriven already, or if another event of its id waits for a try or was processed: an id has one row.
 */
export async function redrive(
  pool: pg.Pool,
  id: string,
  schemas: Schemas,
): Promise<{ id: string; event_id: string }> {
  const letter = await getDeadLetter(pool, id)
  if (letter.state === 'redriven')
    throw new ProblemError('conflict', 'This dead letter was redriven already.')
  if (letter.handler.startsWith(webhookPrefix)) {
    await redriveToWebhook(pool, id)
    return { id, event_id: letter.event_id }
  }
  const moved = await limitedWrite(
    pool,
    `with moved as (
       update dead_letters d set state = 'redriven', redriven_at = clock_timestamp()
       where id = $1 and state = 'dead' and not exists (select 1 from events e where e.event_id = d.event_id)
       returning *
     )
     insert into retries (event_id, topic, partition, record_offset, log_epoch, key, event, received_at, attempts,
       next_attempt_at, redriven_from)
     select event_id, topic, partition, record_offset, log_epoch, $2, event, received_at, 0, clock_timestamp(), id from moved
     returning event_id`,
    [id, schemas.keyOf(letter.event)],
  ).catch((error: unknown) => {
    if ((error as { code?: unknown }).code === uniqueViolation)
      throw new ProblemError(
        'conflict',
        'Another event with this event_id is waiting for a try; redrive this one after it.',
      )
    throw error
  })
  if (moved.length === 0)
    throw new ProblemError(
      'conflict',
      'Another event with this event_id was processed, or this one was redriven a moment ago.',
    )
  return { id, event_id: letter.event_id }
}

/** Lets the webhook's worker send it again. Throws ProblemError `conflict` if the webhook is gone. */
async function redriveToWebhook(pool: pg.Pool, id: string): Promise<void> {
  const moved = await limitedWrite(
    pool,
    `update webhook_dead_letters d set state = 'redriven', redriven_at = clock_timestamp(), waiting = true
     where id = $1 and state = 'dead' and exists (select 1 from webhooks w where w.id = d.webhook_id) returning id`,
    [id],
  )
  if (moved.length === 0)
    throw new ProblemError('conflict', 'Its webhook was deleted, or it was redriven a moment ago.')
}

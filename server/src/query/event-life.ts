import type { Event, EventState } from '@pulse/protocol/event'
import { instantOf } from '@pulse/protocol/instant'
import { formatEventPosition } from '@pulse/protocol/position'
import type pg from 'pg'
import { instantSql } from '../database/ask.ts'
import { ProblemError } from '../http/problem-error.ts'
import { type DeadLetter, deadLettersOf } from './dead-letters.ts'
import { findEvent, type ListedEvent } from './event-query.ts'
import { limitedQuery } from './limited-query.ts'
import type { LogSearch, Waiting } from './log-search.ts'

/** One step in the life of an event. */
export interface LifeStep {
  readonly at: string
  readonly step: 'received' | 'kept' | 'parked' | 'attempt' | 'processed' | 'dead' | 'redriven' | 'dropped'
  readonly title: string
  readonly detail: string
}

/** All that is known of one event. */
export interface EventLife {
  readonly event: Event
  readonly status: EventState
  readonly position: string
  readonly received_at: string
  readonly processed_at: string | null
  readonly enriched: Record<string, unknown> | null
  readonly life: LifeStep[]
  readonly dead_letter: DeadLetter | null
}

interface LifeNeeds {
  readonly pool: pg.Pool
  readonly search: LogSearch
}

/** Finds an event wherever it is: rows, retries, dead letters, or still in the log. Throws ProblemError `not_found`. */
export async function readLife(needs: LifeNeeds, eventId: string): Promise<EventLife> {
  const found = (await findEvent(needs.pool, eventId)) ?? (await findWaiting(needs, eventId))
  if (!found) throw new ProblemError('not_found', 'There is no event with this id, or not any more.')
  const letters = await deadLettersOf(needs.pool, eventId)
  const dead = letters.at(-1)
  const { status, received_at, processed_at, enriched, position, error: _, ...event } = found
  return {
    event,
    status,
    position,
    received_at,
    processed_at,
    enriched,
    life: await stepsOf(needs.pool, found, letters),
    dead_letter: status === 'dead' && dead ? dead : null,
  }
}

async function findWaiting({ search, pool }: LifeNeeds, eventId: string): Promise<ListedEvent | undefined> {
  const waiting = await search.find(eventId)
  // It may have been processed since it was looked for in the tables, and is in the log no less.
  return waiting && ((await findEvent(pool, eventId)) ?? acceptedOf(waiting))
}

async function stepsOf(
  pool: pg.Pool,
  found: ListedEvent,
  letters: readonly DeadLetter[],
): Promise<LifeStep[]> {
  const steps: LifeStep[] = [
    {
      at: found.received_at,
      step: 'received',
      title: 'Received',
      detail: 'The request arrived and was checked.',
    },
    {
      at: found.received_at,
      step: 'kept',
      title: 'Kept',
      detail: `On disk and acknowledged at ${found.position}.`,
    },
  ]
  for (const letter of letters) {
    const detail = `${letter.error.class}: ${letter.error.message} (handler ${letter.handler}, ${attemptsText(letter.attempts)})`
    steps.push({ at: letter.failed_at, step: 'dead', title: 'Dead letter', detail })
    if (letter.redriven_at)
      steps.push({
        at: letter.redriven_at,
        step: 'redriven',
        title: 'Redriven',
        detail: 'Sent back to its handlers.',
      })
  }
  if (found.status === 'retrying') steps.push(...(await retrySteps(pool, found)))
  if (found.processed_at && found.status === 'processed') {
    const late = Math.max(0, Date.parse(found.processed_at) - Date.parse(found.received_at))
    const detail = `Its row was committed ${late} ms after receipt.`
    steps.push({ at: found.processed_at, step: 'processed', title: 'Processed', detail })
  }
  if (found.processed_at && found.status === 'dropped') {
    const reason = (found.enriched as { dropped?: string } | null)?.dropped ?? 'no reason given'
    steps.push({ at: found.processed_at, step: 'dropped', title: 'Dropped', detail: reason })
  }
  return steps
}

const attemptsText = (attempts: number) => (attempts === 1 ? '1 attempt' : `${attempts} attempts`)

async function retrySteps(pool: pg.Pool, found: ListedEvent): Promise<LifeStep[]> {
  const rows = await limitedQuery<{ parked: string; next: string; attempts: number; waits_for_key: boolean }>(
    pool,
    `select ${instantSql('parked_at')} as parked, ${instantSql('next_attempt_at')} as next, attempts, waits_for_key
     from retries where event_id = $1`,
    [found.event_id],
  )
  const row = rows[0]
  if (!row) return []
  const why = found.error
    ? `${found.error.class}: ${found.error.message}`
    : 'An earlier event of its key is waiting.'
  const next = row.waits_for_key ? 'Its turn comes after that one.' : `Next try at ${row.next}.`
  return [
    {
      at: row.parked,
      step: 'parked',
      title: `Waiting after ${attemptsText(row.attempts)}`,
      detail: `${why} ${next}`,
    },
  ]
}

function acceptedOf({ record, epoch, topic, partition }: Waiting): ListedEvent {
  return {
    ...record.event,
    status: 'accepted',
    received_at: instantOf(record.receivedAt),
    processed_at: null,
    enriched: null,
    position: formatEventPosition(epoch, topic, partition, record.offset),
    error: null,
  }
}

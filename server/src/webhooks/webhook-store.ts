import type { Event } from '@pulse/protocol/event'
import type { Condition } from '@pulse/protocol/filter'
import type { Webhook } from '@pulse/protocol/webhook'
import type pg from 'pg'
import { ask, instantSql, inTime } from '../database/ask.ts'
import { unlessAway } from '../database/unless-away.ts'
import type { ParkedRow } from './letter.ts'
import { storeParked } from './parked-store.ts'

/** A webhook as it is stored. */
export interface WebhookRow {
  readonly id: string
  readonly number: number
  readonly subscriber: string
  readonly url: string
  readonly secret: string
  readonly filter: Condition | null
  /** What the credential that asked for it let through at most. */
  readonly enforced: Condition | null
  readonly failures: number
  readonly revision: number
  readonly epoch: number
  /** As the API shows it. */
  readonly shown: Webhook
}

export interface NewWebhookRow {
  readonly id: string
  readonly subscriber: string
  readonly url: string
  readonly secret: string
  readonly filter: Condition | null
  readonly enforced: Condition | null
  readonly position: string
  readonly createdBy: string
}

/** What somebody asks to change; absent members stay. */
export interface WebhookEdit {
  readonly url?: string | undefined
  readonly filter?: Condition | null | undefined
  readonly enforced?: Condition | undefined
  readonly status?: 'active' | 'paused' | undefined
}

/** Webhooks of the installation, and events of theirs that are parked. */
export interface WebhookCounts {
  readonly byStatus: Readonly<Record<Webhook['status'], number>>
  readonly parked: number
}

export type LastGap = NonNullable<Webhook['last_gap']>

/** Who delivers a webhook: any write with another epoch than the last owner's is refused. */
export interface Fence {
  readonly id: string
  readonly epoch: number
}

const columns = `id, number, subscriber_id, url, secret, filter, enforced, status, reason, failures, position, delivered,
  given_up, parked, gaps, last_gap, revision, epoch, ${instantSql('last_gap_at')} as gap, ${instantSql('waiting_since')} as waiting, ${instantSql('last_success_at')} as succeeded, ${instantSql('last_failure_at')} as failed,
  ${instantSql('created_at')} as created, ${instantSql('updated_at')} as updated`

interface Row {
  readonly [column: string]: unknown
}

function rowOf(row: Row): WebhookRow {
  const conditionOf = (text: unknown) => (text === null ? null : (JSON.parse(text as string) as Condition))
  const filter = conditionOf(row.filter)
  const shown: Webhook = {
    id: row.id as string,
    subscriber_id: row.subscriber_id as string,
    url: row.url as string,
    filter,
    status: row.status as Webhook['status'],
    reason: row.reason as string | null,
    position: row.position as string,
    delivered: Number(row.delivered),
    given_up: Number(row.given_up),
    failures: row.failures as number,
    waiting_since: row.waiting as string | null,
    parked: row.parked as number,
    gaps: row.gaps as number,
    last_gap: row.last_gap as Webhook['last_gap'],
    last_gap_at: row.gap as string | null,
    last_success_at: row.succeeded as string | null,
    last_failure_at: row.failed as string | null,
    created_at: row.created as string,
    updated_at: row.updated as string,
  }
  return {
    ...{ id: shown.id, number: Number(row.number), subscriber: shown.subscriber_id, url: shown.url },
    ...{ secret: row.secret as string, filter, enforced: conditionOf(row.enforced) },
    ...{ failures: row.failures as number, revision: row.revision as number, epoch: Number(row.epoch) },
    shown,
  }
}

const textOf = (condition: Condition | null) => condition && JSON.stringify(condition)

/** Webhooks in PostgreSQL, as those who manage them see them. Everything rejects with ProblemError `unavailable` while the database is away. */
export class WebhookStore {
  readonly #pool: pg.Pool
  readonly #perSubscriberMax: number

  constructor(pool: pg.Pool, { perSubscriberMax }: { perSubscriberMax: number }) {
    this.#pool = pool
    this.#perSubscriberMax = perSubscriberMax
  }

  /** Undefined if the subscriber has as many as one may have. */
  async insert(one: NewWebhookRow): Promise<WebhookRow | undefined> {
    const values = [one.id, one.subscriber, one.url, one.secret, textOf(one.filter), textOf(one.enforced)]
    // The count can be passed by as many as come at one moment, which does no harm: it only bounds.
    const { rows } = await this.#ask<Row>(
      `insert into webhooks (id, subscriber_id, url, secret, filter, enforced, status, position, created_by)
       select $1, $2, $3, $4, $5, $6, 'active', $7, $8
       where (select count(*) from webhooks where subscriber_id = $2) < $9 returning ${columns}`,
      [...values, one.position, one.createdBy, this.#perSubscriberMax],
    )
    return rows[0] && rowOf(rows[0])
  }

  async get(id: string): Promise<WebhookRow | undefined> {
    const { rows } = await this.#ask<Row>(`select ${columns} from webhooks where id = $1`, [id])
    return rows[0] && rowOf(rows[0])
  }

  /** Those after a number, in the order in which they were made. */
  async list(query: {
    subscriber: string | undefined
    after: number
    limit: number
  }): Promise<readonly WebhookRow[]> {
    const { rows } = await this.#ask<Row>(
      `select ${columns} from webhooks where number > $1 and ($2::text is null or subscriber_id = $2)
       order by number limit $3`,
      [query.after, query.subscriber ?? null, query.limit],
    )
    return rows.map(rowOf)
  }

  /** Undefined if it is gone. One that is made active begins anew: what failed before is forgiven. */
  async edit(id: string, edit: WebhookEdit): Promise<WebhookRow | undefined> {
    const { rows } = await this.#ask<Row>(
      `update webhooks set url = coalesce($2, url), filter = case when $3 then $4 else filter end,
         enforced = coalesce($5, enforced), status = coalesce($6, status),
         reason = case when $6 = 'paused' then 'paused on request' when $6 = 'active' then null else reason end,
         failures = case when $6 = 'active' then 0 else failures end,
         revision = revision + 1, updated_at = now()
       where id = $1 returning ${columns}`,
      [
        ...[id, edit.url ?? null, edit.filter !== undefined, textOf(edit.filter ?? null)],
        ...[edit.enforced ? JSON.stringify(edit.enforced) : null, edit.status ?? null],
      ],
    )
    return rows[0] && rowOf(rows[0])
  }

  async delete(id: string): Promise<boolean> {
    return (await this.#ask('delete from webhooks where id = $1', [id])).rowCount === 1
  }

  async counts(): Promise<WebhookCounts> {
    const { rows } = await this.#ask<{ status: Webhook['status']; count: number; parked: number }>(
      'select status, count(*)::int as count, sum(parked)::float8 as parked from webhooks group by status',
    )
    const counts = { byStatus: { active: 0, paused: 0, failing: 0 }, parked: 0 }
    for (const { status, count, parked } of rows) {
      counts.byStatus[status] = count
      counts.parked += parked
    }
    return counts
  }

  #ask<R extends pg.QueryResultRow = Row>(text: string, values: readonly unknown[] = []) {
    return unlessAway(ask<R>(this.#pool, text, values))
  }
}

/** Who may deliver: leases by the database's clock. Everything rejects with what the database throws. */
export class WebhookLeases {
  readonly #pool: pg.Pool
  readonly #owner: string
  readonly #leaseMs: number

  constructor(pool: pg.Pool, { owner, leaseMs }: { owner: string; leaseMs: number }) {
    this.#pool = pool
    this.#owner = owner
    this.#leaseMs = leaseMs
  }

  /** Holds on to what is ours, and gives it as it is stored now. */
  async renew(): Promise<readonly WebhookRow[]> {
    const { rows } = await ask<Row>(
      this.#pool,
      `update webhooks set lease_until = clock_timestamp() + make_interval(secs => $2 / 1000.0)
       where owner = $1 and lease_until > clock_timestamp() returning ${columns}`,
      [this.#owner, this.#leaseMs],
    )
    return rows.map(rowOf)
  }

  /** Takes what is to be delivered and is nobody's. */
  async claim(countMax: number): Promise<readonly WebhookRow[]> {
    const { rows } = await ask<Row>(
      this.#pool,
      `update webhooks set owner = $1, epoch = epoch + 1,
         lease_until = clock_timestamp() + make_interval(secs => $2 / 1000.0)
       where id in (select id from webhooks where status <> 'paused'
         and (lease_until is null or lease_until <= clock_timestamp())
         order by number limit $3 for update skip locked) returning ${columns}`,
      [this.#owner, this.#leaseMs, countMax],
    )
    return rows.map(rowOf)
  }

  async release({ id, epoch }: Fence): Promise<void> {
    await ask(
      this.#pool,
      'update webhooks set owner = null, lease_until = null where id = $1 and epoch = $2 and owner = $3',
      [id, epoch, this.#owner],
    )
  }
}

/** A dead letter that was redriven and waits to be sent. */
export interface WaitingLetter {
  readonly id: string
  readonly event: Event
  readonly key: string
  readonly topic: string
  readonly partition: number
  readonly position: string
}

/** What became of letters since the last commit. */
export interface Progress {
  readonly position: string
  readonly taken: number
  readonly takenAt: Date | undefined
  readonly failedAt: Date | undefined
  readonly gaps: number
  readonly lastGap: LastGap | undefined
  /** Attempts that failed since the last success. */
  readonly failures: number
  /** When the oldest event was received that is not dealt with. */
  readonly waitingSince: Date | undefined
  readonly status: 'active' | 'failing'
  readonly reason: string | null
  readonly dead: readonly DeadRow[]
  /** Redriven dead letters that nobody took this time either. */
  readonly deadAgain: readonly DeadAgain[]
  /** Ids of redriven dead letters that were taken. */
  readonly redriven: readonly string[]
  readonly parked: readonly ParkedRow[]
  /** Ids of parked events that wait no more. */
  readonly unparked: readonly string[]
}

/** A redriven dead letter that was given up once more. */
export interface DeadAgain {
  readonly id: string
  readonly error_class: string
  readonly error_message: string
  readonly attempts: number
}

/** A dead letter as it is stored. */
export interface DeadRow {
  readonly id: string
  readonly event: Event
  readonly key: string
  readonly position: string
  readonly error_class: string
  readonly error_message: string
  readonly attempts: number
  readonly topic: string
  readonly partition: number
  readonly record_offset: number
  readonly log_epoch: number
  readonly received_at: string
}

/**
 * Commits what became of letters, in the transaction of `tx`. False if the webhook is another's or gone by now: the
 * transaction must roll back.
 */
export async function storeProgress(tx: pg.ClientBase, fence: Fence, progress: Progress): Promise<boolean> {
  const { position, taken, takenAt, failedAt, failures, status, reason, gaps } = progress
  const { dead, deadAgain, redriven, waitingSince, lastGap, parked, unparked } = progress
  // Somebody who paused it meanwhile has the last word.
  const { rowCount } = await inTime(
    tx.query(
      `update pulse.webhooks set position = $3, delivered = delivered + $4, given_up = given_up + $5,
         last_success_at = coalesce($6, last_success_at), last_failure_at = coalesce($7, last_failure_at), failures = $8,
         status = case when status = 'paused' then status else $9 end,
         reason = case when status = 'paused' then reason else $10 end,
         gaps = gaps + $11, last_gap_at = case when $11 > 0 then clock_timestamp() else last_gap_at end,
         waiting_since = $12, last_gap = coalesce($13::jsonb, last_gap)
       where id = $1 and epoch = $2`,
      [
        ...[fence.id, fence.epoch, position, taken, dead.length, takenAt ?? null, failedAt ?? null, failures],
        ...[status, reason, gaps, waitingSince ?? null, lastGap ? JSON.stringify(lastGap) : null],
      ],
    ),
  )
  if (rowCount !== 1) return false
  if (redriven.length > 0)
    await inTime(
      tx.query('update pulse.webhook_dead_letters set waiting = false where id = any ($1::uuid[])', [
        redriven,
      ]),
    )
  if (dead.length > 0) await storeDead(tx, fence.id, dead)
  if (deadAgain.length > 0) await storeDeadAgain(tx, deadAgain)
  if (parked.length + unparked.length > 0) await storeParked(tx, fence.id, { parked, unparked })
  return true
}

// One that was buried before, by an owner whose commit of the position was lost or because it was redriven, stays one.
async function storeDead(tx: pg.ClientBase, webhookId: string, dead: readonly DeadRow[]): Promise<void> {
  const rows = dead.map(({ event, ...rest }) => ({
    ...rest,
    event,
    event_id: event.event_id,
    event_type: event.event_type,
    user_id: event.user_id,
  }))
  await inTime(
    tx.query(
      `insert into pulse.webhook_dead_letters as w (id, webhook_id, event_id, event_type, user_id, event, key, position,
         error_class, error_message, attempts, topic, partition, record_offset, log_epoch, received_at)
       select id, $1, event_id, event_type, user_id, event, key, position, error_class, error_message, attempts, topic,
         partition, record_offset, log_epoch, received_at
       from jsonb_to_recordset($2) as d(id uuid, event_id uuid, event_type text, user_id text, event jsonb, key text,
         position text, error_class text, error_message text, attempts int2, topic text, partition int2, record_offset int8,
         log_epoch int8, received_at timestamptz)
       on conflict (id) do update set state = 'dead', waiting = false, failed_at = now(), attempts = excluded.attempts,
         error_class = excluded.error_class, error_message = excluded.error_message`,
      [webhookId, JSON.stringify(rows)],
    ),
  )
}

async function storeDeadAgain(tx: pg.ClientBase, again: readonly DeadAgain[]): Promise<void> {
  await inTime(
    tx.query(
      `update pulse.webhook_dead_letters w set state = 'dead', waiting = false, failed_at = now(),
         error_class = d.error_class, error_message = d.error_message, attempts = d.attempts
       from jsonb_to_recordset($1) as d(id uuid, error_class text, error_message text, attempts int2) where w.id = d.id`,
      [JSON.stringify(again)],
    ),
  )
}

/** Pauses a webhook whose receiver wants no more. False if it is another's or gone by now. */
export async function pauseGone(pool: pg.Pool, { id, epoch }: Fence, reason: string): Promise<boolean> {
  const { rowCount } = await ask(
    pool,
    `update webhooks set status = 'paused', reason = $3, revision = revision + 1, updated_at = now(),
       last_failure_at = now() where id = $1 and epoch = $2`,
    [id, epoch, reason],
  )
  return rowCount === 1
}

/** Ids of webhooks that have redriven letters to send. */
export async function webhooksWithWaiting(pool: pg.Pool): Promise<ReadonlySet<string>> {
  const { rows } = await ask<{ id: string }>(
    pool,
    'select distinct webhook_id as id from webhook_dead_letters where waiting',
  )
  return new Set(rows.map(({ id }) => id))
}

/** Redriven letters of a webhook that wait to be sent, but not those that are known. */
export async function waitingLetters(
  pool: pg.Pool,
  { webhookId, known, limit }: { webhookId: string; known: readonly string[]; limit: number },
): Promise<readonly WaitingLetter[]> {
  const { rows } = await ask<WaitingLetter & pg.QueryResultRow>(
    pool,
    `select id, event, key, topic, partition, position from webhook_dead_letters
     where webhook_id = $1 and waiting and id <> all ($2::uuid[]) order by redriven_at limit $3`,
    [webhookId, known, limit],
  )
  return rows
}

import type pg from 'pg'
import { ask, instantSql, inTime } from '../database/ask.ts'
import { type FoundKey, letterOfParked, type ParkedLetter, type ParkedRow } from './letter.ts'
import type { NextOf } from './parking.ts'

/** Keeps events that wait, and forgets those that wait no more, in the transaction of `tx`. */
export async function storeParked(
  tx: pg.ClientBase,
  webhookId: string,
  { parked, unparked }: { readonly parked: readonly ParkedRow[]; readonly unparked: readonly string[] },
): Promise<void> {
  // One may come and go within the same commit.
  const { rowCount: added } = await inTime(
    tx.query(
      `insert into pulse.webhook_parked (id, webhook_id, key, event_id, body, topic, partition, log_epoch, record_offset,
         received_at)
       select id, $1, key, event_id, body, topic, partition, log_epoch, record_offset, received_at
       from jsonb_to_recordset($2) as p(id uuid, key text, event_id uuid, body text, topic text, partition int2,
         log_epoch int8, record_offset int8, received_at timestamptz)
       on conflict (id) do nothing`,
      [webhookId, JSON.stringify(parked)],
    ),
  )
  const { rowCount: removed } = await inTime(
    tx.query('delete from pulse.webhook_parked where id = any ($1::uuid[])', [unparked]),
  )
  await inTime(
    tx.query('update pulse.webhooks set parked = parked + $2 where id = $1', [
      webhookId,
      (added ?? 0) - (removed ?? 0),
    ]),
  )
}

/** What waits of each key of a webhook. */
export async function parkedByKey(pool: pg.Pool, webhookId: string): Promise<readonly FoundKey[]> {
  const { rows } = await ask<{ key: string; count: number; highest: [number, number] }>(
    pool,
    `select key, count(*)::int as count, max(array[log_epoch::float8, record_offset::float8]) as highest
     from webhook_parked where webhook_id = $1 group by key`,
    [webhookId],
  )
  return rows.map(({ key, count, highest: [log_epoch, record_offset] }) => {
    return { key, count, highest: { log_epoch, record_offset } }
  })
}

/** The next events of a key that wait, behind `after`, in order; `countMax` at most. */
export async function nextParked(
  pool: pg.Pool,
  webhookId: string,
  { key, after, countMax }: NextOf & { readonly key: string },
): Promise<readonly ParkedLetter[]> {
  const { rows } = await ask<ParkedRow & pg.QueryResultRow>(
    pool,
    `select id, key, event_id, body, topic, partition, log_epoch::float8, record_offset::float8,
       ${instantSql('received_at')} as received_at
     from webhook_parked where webhook_id = $1 and key = $2 and (log_epoch, record_offset) > ($3, $4)
     order by log_epoch, record_offset limit $5`,
    [webhookId, key, after?.log_epoch ?? -1, after?.record_offset ?? -1, countMax],
  )
  return rows.map(letterOfParked)
}

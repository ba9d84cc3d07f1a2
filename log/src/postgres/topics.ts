import type pg from 'pg'
import type { TopicDeclaration } from '../log.ts'
import { lockRotation } from './remembered-ids.ts'
import { inTransaction } from './transaction.ts'

/** Makes the topics that are missing. Safe when several servers do it at once. Rejects with PostgreSQL's error. */
export async function createTopics(client: pg.Client, topics: readonly TopicDeclaration[]): Promise<void> {
  // Looked for without the lock: a start that finds every topic waits for nobody.
  const { rows } = await client.query<{ name: string }>('select name from log_topics')
  const there = new Set(rows.map(({ name }) => name))
  for (const topic of topics) if (!there.has(topic.name)) await createTopic(client, topic)
}

async function createTopic(client: pg.Client, topic: TopicDeclaration): Promise<void> {
  await inTransaction(client, async () => {
    // Without it a rotation could come in between, and the heads would start in the generation before.
    await lockRotation(client)
    const { rows } = await client.query(
      `insert into log_topics (name, partitions, epoch) values ($1, $2, (extract(epoch from now()) * 1000)::bigint)
       on conflict (name) do nothing returning id`,
      [topic.name, topic.partitions],
    )
    if (!rows[0]) return
    await client.query(
      `insert into log_heads (topic, partition, generation)
       select $1, n, (select generation from log_id_generations where sealed_at is null)
       from generate_series(0, $2 - 1) as n`,
      [rows[0].id, topic.partitions],
    )
  })
}

/**
 * The first offset in the range that was appended at or after `since` (microseconds), its end if there is none. The append
 * time grows with the offset, so it is found by halving. Rejects with PostgreSQL's error.
 */
export async function offsetAt(
  client: pg.Client,
  place: { topic: number; partition: number },
  range: { start: number; end: number },
  since: number,
): Promise<number> {
  let { start: low, end: high } = range
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    const { rows } = await client.query(
      `select base_offset, last_offset, (extract(epoch from appended_at) * 1000000)::int8 >= $4 as after from log_batches
       where topic = $1 and partition = $2 and last_offset >= $3 order by last_offset limit 1`,
      [place.topic, place.partition, middle, since],
    )
    const row = rows[0]
    if (!row) return range.end
    if (row.after) high = Math.min(high, Math.max(low, Number(row.base_offset)))
    else low = Number(row.last_offset) + 1
    if (row.after && Number(row.base_offset) <= low) return low
  }
  return low
}

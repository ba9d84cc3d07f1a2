import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { canonicalJson } from '@pulse/protocol/canonical-json'
import type pg from 'pg'
import { eventText, makeBodies, windowId } from './load/sample-events.ts'

/**
 * Fills the window of remembered ids as a week of traffic would have: sealed generations of 2 M random ids, and the
 * current one half full. Sending them all would take hours; so they are written in the tables' own form, and the
 * server builds the filters, as it does for every sealed generation that has none.
 */
export interface IdWindow {
  readonly ids: number
  readonly sealedGenerations: number
  /** The first so many prepared events (`windowId`, 0 to this) can be sent again: their fingerprints are true. */
  readonly repeatable: number
}

const generationIds = 2_000_000
/** From so many sealed generations on, the older ones share filters. */
const spansFrom = 24
const repeatablePerGeneration = 20_000
const rotationLock = `hashtextextended('pulse.log.ids', 0)`

/** Fills the window with so many ids and waits until every filter is built. The server must have no load. */
export async function fillIdWindow(
  client: pg.Client,
  ids: number,
  say: (line: string) => void,
): Promise<IdWindow> {
  const current = Math.min(ids, generationIds / 2)
  const sealed: number[] = []
  for (let rest = ids - current; rest > 0; rest -= generationIds) sealed.push(Math.min(rest, generationIds))
  const startedMs = performance.now()
  // The lock of rotation: the server looks after its generations again when it is free.
  await client.query(`select pg_advisory_lock(${rotationLock})`)
  try {
    await writeGenerations(client, [...sealed, current])
  } finally {
    await client.query(`select pg_advisory_unlock(${rotationLock})`)
  }
  await filtersBuilt(client)
  await client.query('checkpoint')
  say(
    `${ids.toLocaleString('en-GB')} remembered ids prepared in ${Math.round((performance.now() - startedMs) / 1000)} s`,
  )
  const repeatable = sealed.reduce((sum, count) => sum + Math.min(count, repeatablePerGeneration), 0)
  return { ids, sealedGenerations: sealed.length, repeatable }
}

/** The first generation is there and empty; the others follow it, and the last one becomes the current. */
async function writeGenerations(client: pg.Client, counts: readonly number[]): Promise<void> {
  const { rows } = await client.query<{ generation: number; ids: string }>(
    `select generation, (select sum(ids) from log_heads) as ids from log_id_generations`,
  )
  if (rows.length !== 1 || Number(rows[0]?.ids) > 0) throw new Error('the window of ids is not new')
  const first = rows[0]?.generation ?? 1
  const bodies = makeBodies()
  let firstEvent = 0
  for (const [n, count] of counts.entries()) {
    const generation = first + n
    const isCurrent = n === counts.length - 1
    const table = `log_ids_${generation}`
    if (n > 0) await client.query(`create table ${table} (like log_ids, check (generation = ${generation}))`)
    else await client.query(`drop index ${table}_id_idx`)
    const repeatable = isCurrent ? 0 : Math.min(count, repeatablePerGeneration)
    await writeRandomIds(client, table, { generation, count: count - repeatable })
    await writeRepeatable(client, table, {
      generation,
      bodies,
      from: firstEvent,
      to: firstEvent + repeatable,
    })
    firstEvent += repeatable
    await client.query(`create unique index on ${table} (id)`)
    if (n > 0)
      await client.query(`alter table log_ids attach partition ${table} for values in (${generation})`)
    // Or autovacuum would do it in the middle of a measurement.
    await client.query(`vacuum (freeze, analyze) ${table}`)
  }
  await rotateTo(client, { first, counts })
}

async function writeRandomIds(
  client: pg.Client,
  table: string,
  of: { generation: number; count: number },
): Promise<void> {
  // Random ids that are not unique by chance are as likely as in real life: never. The position is not looked at.
  await client.query(
    `insert into ${table} (generation, id, fingerprint, received_at, record_offset, topic, partition)
     select $1, id, id, (extract(epoch from now()) * 1000000)::int8, n, h.topic, h.partition
     from generate_series(1, $2::int8) n, lateral (select gen_random_uuid() as id where n > 0) i,
       (select topic, partition from log_heads order by topic, partition limit 1) h`,
    [of.generation, of.count],
  )
}

async function writeRepeatable(
  client: pg.Client,
  table: string,
  of: { generation: number; bodies: readonly string[]; from: number; to: number },
): Promise<void> {
  const ids: string[] = []
  const fingerprints: string[] = []
  for (let n = of.from; n < of.to; n++) {
    const event: unknown = JSON.parse(eventText(of.bodies, windowId(n), n))
    ids.push(windowId(n))
    fingerprints.push(createHash('sha256').update(canonicalJson(event)).digest('hex').slice(0, 32))
  }
  await client.query(
    `insert into ${table} (generation, id, fingerprint, received_at, record_offset, topic, partition)
     select $1, id, fingerprint, (extract(epoch from now()) * 1000000)::int8, 0, h.topic, h.partition
     from unnest($2::uuid[], $3::uuid[]) as i(id, fingerprint),
       (select topic, partition from log_heads order by topic, partition limit 1) h`,
    [of.generation, ids, fingerprints],
  )
}

/** What a rotation does: seals, counts, and tells the heads. */
async function rotateTo(client: pg.Client, of: { first: number; counts: readonly number[] }): Promise<void> {
  const last = of.counts.length - 1
  await client.query('begin')
  try {
    await client.query('select 1 from log_heads order by topic, partition for update')
    for (const [n, count] of of.counts.entries()) {
      if (n > 0) await client.query('insert into log_id_generations (generation) values ($1)', [of.first + n])
      if (n === last) continue
      const values = [of.first + n, count]
      await client.query(
        'update log_id_generations set sealed_at = now(), ids = $2 where generation = $1',
        values,
      )
    }
    await client.query('update log_heads set generation = $1, ids = 0', [of.first + last])
    await client.query(
      `update log_heads set ids = $1
       where (topic, partition) = (select topic, partition from log_heads order by topic, partition limit 1)`,
      [of.counts[last]],
    )
    await client.query('commit')
  } catch (error) {
    await client.query('rollback')
    throw error
  }
}

/** Every server looks for new filters each second; two of them more, and all have them. */
async function filtersBuilt(client: pg.Client): Promise<void> {
  for (;;) {
    const { rowCount } = await client.query(
      `select 1 from log_id_generations where sealed_at is not null and filter is null
       union all
       select 1 from log_id_generations where sealed_at is not null and not exists
         (select 1 from log_id_spans where generation between first_generation and last_generation)
       having count(*) >= ${spansFrom}`,
    )
    if (rowCount === 0) break
    await delay(250)
  }
  await delay(3_000)
}

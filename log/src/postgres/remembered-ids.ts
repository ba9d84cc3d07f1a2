import type pg from 'pg'
import { BloomFilter, hash128 } from '../bloom-filter.ts'
import { writeUuid } from './binary.ts'
import { dropPartition } from './day-partitions.ts'
import { readGenerations, type SealedIds } from './id-filters.ts'

/**
 * Remembered ids live in generations of about `idsPerGeneration`. Inserts go to the current one only, so its
 * index stays small enough for memory and full-page writes stay few; one index over 20 M random ids halved the
 * rate of appends. A sealed generation never changes: every process holds a Bloom filter of it and asks its
 * index only on a "maybe". When its youngest id is older than the id window it is dropped whole.
 *
 * Each filter costs an id a miss of the cache, and a busy week has hundreds of generations: so the older ones share
 * filters, each of which covers a span of generations in a row and takes the place of theirs in memory.
 *
 * A generation is: absent -> current -> sealed without filter (every id must be asked) -> sealed with filter
 * -> dropped. Heads carry the current number, so an append that has missed a rotation is refused by its
 * own statement (see `appendGroup`) and never overlooks the generation that was just sealed.
 *
 * Of the current generation a process knows what it has appended itself; ids of other servers, and of its own life
 * before, show as a unique violation, after which every id is asked for a while (see `AppendLane`).
 */
export class RememberedIds {
  #current = 0
  /** Ids of the current generation that this process has appended. */
  #appended: BloomFilter
  readonly #idsPerGeneration: number
  #sealed: ReadonlyMap<string, SealedIds> = new Map()
  readonly #hash = new Uint32Array(4)
  readonly #bytes = new Uint8Array(16)

  constructor(idsPerGeneration: number) {
    this.#idsPerGeneration = idsPerGeneration
    this.#appended = BloomFilter.forKeys(idsPerGeneration)
  }

  get current(): number {
    return this.#current
  }

  /** The id was appended: from now on `maybes` names the current generation for it. */
  appended(id: string): void {
    this.#take(id)
    this.#appended.add(this.#hash)
  }

  /** Adds to `found` the generations that may hold the id; the current one anyway, if it is to be asked. */
  maybes(id: string, found: number[], askCurrent: boolean): void {
    this.#take(id)
    if (askCurrent || this.#appended.has(this.#hash)) found.push(this.#current)
    for (const { generations, filter } of this.#sealed.values())
      if (!filter || filter.has(this.#hash)) found.push(...generations)
  }

  #take(id: string): void {
    writeUuid(this.#bytes, 0, id)
    hash128(this.#bytes, 0, 16, this.#hash)
  }

  /** Reads which generations there are, and the filters that are new. Throws what the query throws. */
  async load(client: pg.Client): Promise<void> {
    const { current, sealed } = await readGenerations(client, this.#sealed)
    // Assigned together and only here: an append between two awaits sees the old state, which its statement checks.
    this.#sealed = sealed
    if (current === this.#current) return
    this.#current = current
    this.#appended = BloomFilter.forKeys(this.#idsPerGeneration)
  }
}

const rotationLock = `hashtextextended('pulse.log.ids', 0)`

/** Makes the first generation if there is none. Safe when several servers start at once. */
export async function ensureFirstGeneration(client: pg.Client): Promise<void> {
  await client.query('begin')
  try {
    await client.query(`select pg_advisory_xact_lock(${rotationLock})`)
    const { rowCount } = await client.query('select 1 from log_id_generations limit 1')
    if (rowCount === 0) await createGeneration(client, 1)
    await client.query('commit')
  } catch (error) {
    await client.query('rollback').catch(() => {})
    throw error
  }
}

// Made apart and attached with a check that is already true: attaching takes no lock that an append would feel.
async function createGeneration(client: pg.Client, generation: number): Promise<void> {
  const table = `log_ids_${generation}`
  await client.query(`drop table if exists ${table}`)
  await client.query(`create table ${table} (like log_ids, check (generation = ${generation}))`)
  await client.query(`create unique index on ${table} (id)`)
  await client.query(`alter table log_ids attach partition ${table} for values in (${generation})`)
  await client.query('insert into log_id_generations (generation) values ($1)', [generation])
}

export interface GenerationLimits {
  readonly idsPerGeneration: number
  readonly idWindowMs: number
}

/**
 * Seals a full generation, drops what is older than the window. One server does it at a time; the others return at once.
 * True if anything changed.
 */
export async function maintainGenerations(client: pg.Client, limits: GenerationLimits): Promise<boolean> {
  const lock = await client.query(`select pg_try_advisory_lock(${rotationLock}) as mine`)
  if (!lock.rows[0]?.mine) return false
  try {
    const rotated = await rotateIfFull(client, limits.idsPerGeneration)
    const dropped = await dropOld(client, limits.idWindowMs)
    return rotated || dropped
  } finally {
    await client.query(`select pg_advisory_unlock(${rotationLock})`)
  }
}

async function rotateIfFull(client: pg.Client, idsMax: number): Promise<boolean> {
  const full = await client.query<{ ids: string }>('select coalesce(sum(ids), 0) as ids from log_heads')
  if (Number(full.rows[0]?.ids) < idsMax) return false
  await client.query('begin')
  try {
    const { rows } = await client.query<{ generation: number }>(
      'select generation from log_id_generations where sealed_at is null',
    )
    const current = rows[0]?.generation ?? 0
    await createGeneration(client, current + 1)
    // Locking every head waits for the appends that are open and holds back the next ones until the commit.
    await client.query('select 1 from log_heads order by topic, partition for update')
    await client.query('update log_id_generations set sealed_at = now(), ids = $2 where generation = $1', [
      current,
      Number(full.rows[0]?.ids),
    ])
    await client.query('update log_heads set generation = $1, ids = 0', [current + 1])
    await client.query('commit')
    return true
  } catch (error) {
    await client.query('rollback').catch(() => {})
    throw error
  }
}

async function dropOld(client: pg.Client, idWindowMs: number): Promise<boolean> {
  const { rows } = await client.query<{ generation: number }>(
    'select generation from log_id_generations where sealed_at < now() - make_interval(secs => $1) order by generation',
    [idWindowMs / 1000],
  )
  for (const { generation } of rows) {
    await dropPartition(client, 'log_ids', `log_ids_${generation}`)
    // Last, so that a round that gives up before is taken up again.
    await client.query('delete from log_id_generations where generation = $1', [generation])
  }
  if (rows.length > 0)
    await client.query(
      `delete from log_id_spans where not exists
         (select 1 from log_id_generations where generation between first_generation and last_generation)`,
    )
  return rows.length > 0
}

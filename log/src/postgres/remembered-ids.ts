import type pg from 'pg'
import { BloomFilter, hash128 } from '../bloom-filter.ts'
import { writeUuid } from './binary.ts'
import { dropPartition } from './day-partitions.ts'
import { readGenerations, type SealedIds } from './id-filters.ts'
import { inTransaction } from './transaction.ts'

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
const droppingLock = `hashtextextended('pulse.log.ids.drop', 0)`

/** Keeps the generations as they are until the transaction ends. To be called in one that a frozen server loses. */
export async function lockRotation(client: pg.Client): Promise<void> {
  await client.query(`select pg_advisory_xact_lock(${rotationLock})`)
}

/** Makes the first generation if there is none. Safe when several servers start at once. */
export async function ensureFirstGeneration(client: pg.Client): Promise<void> {
  const isThere = async () => (await client.query('select 1 from log_id_generations limit 1')).rowCount !== 0
  if (await isThere()) return
  await inTransaction(client, async () => {
    await lockRotation(client)
    if (!(await isThere())) await createGeneration(client, 1)
  })
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
 * Seals a full generation, drops what is older than the window. Each is looked for without a lock, and then done by one
 * server at a time; the others go on at once.
 */
export async function maintainGenerations(client: pg.Client, limits: GenerationLimits): Promise<void> {
  if ((await idsInCurrent(client)) >= limits.idsPerGeneration) await rotate(client, limits.idsPerGeneration)
  const old = await generationsBefore(client, limits.idWindowMs)
  if (old.length > 0) await dropGenerations(client, old)
}

async function idsInCurrent(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ ids: string }>('select coalesce(sum(ids), 0) as ids from log_heads')
  return Number(rows[0]?.ids)
}

async function rotate(client: pg.Client, idsMax: number): Promise<void> {
  await inTransaction(client, async () => {
    const lock = await client.query(`select pg_try_advisory_xact_lock(${rotationLock}) as mine`)
    // Looked at again: another server may have rotated since.
    const ids = lock.rows[0]?.mine ? await idsInCurrent(client) : 0
    if (ids < idsMax) return
    const { rows } = await client.query<{ generation: number }>(
      'select generation from log_id_generations where sealed_at is null',
    )
    const current = rows[0]?.generation ?? 0
    await createGeneration(client, current + 1)
    // Locking every head waits for the appends that are open and holds back the next ones until the commit.
    await client.query('select 1 from log_heads order by topic, partition for update')
    await client.query('update log_id_generations set sealed_at = now(), ids = $2 where generation = $1', [
      current,
      ids,
    ])
    await client.query('update log_heads set generation = $1, ids = 0', [current + 1])
  })
}

async function generationsBefore(client: pg.Client, idWindowMs: number): Promise<readonly number[]> {
  const { rows } = await client.query<{ generation: number }>(
    'select generation from log_id_generations where sealed_at < now() - make_interval(secs => $1) order by generation',
    [idWindowMs / 1000],
  )
  return rows.map(({ generation }) => generation)
}

// Detaching a partition without blocking writers cannot be done in a transaction, so this lock is one of the session.
// Nobody waits for it; and a frozen server, which would keep it from the others, loses its session.
async function dropGenerations(client: pg.Client, old: readonly number[]): Promise<void> {
  await client.query(`set idle_session_timeout = '60s'`)
  const lock = await client.query(`select pg_try_advisory_lock(${droppingLock}) as mine`)
  try {
    if (lock.rows[0]?.mine) await dropEach(client, old)
  } finally {
    if (lock.rows[0]?.mine) await client.query(`select pg_advisory_unlock(${droppingLock})`)
    await client.query('reset idle_session_timeout')
  }
}

async function dropEach(client: pg.Client, old: readonly number[]): Promise<void> {
  for (const generation of old) {
    await dropPartition(client, 'log_ids', `log_ids_${generation}`)
    // Last, so that a round that gives up before is taken up again.
    await client.query('delete from log_id_generations where generation = $1', [generation])
  }
  await client.query(
    `delete from log_id_spans where not exists
       (select 1 from log_id_generations where generation between first_generation and last_generation)`,
  )
}

import type pg from 'pg'
import { to as copyTo } from 'pg-copy-streams'
import { BloomFilter, hash128 } from '../bloom-filter.ts'
import { writeUuid } from './binary.ts'
import { dropPartition } from './day-partitions.ts'

/**
 * Remembered ids live in generations of about `idsPerGeneration`. Inserts go to the current one only, so its
 * index stays small enough for memory and full-page writes stay few; one index over 20 M random ids halved the
 * rate of appends. A sealed generation never changes: every process holds a Bloom filter of it and asks its
 * index only on a "maybe". When its youngest id is older than the id window it is dropped whole.
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
  #sealed: { readonly generation: number; readonly filter: BloomFilter | undefined }[] = []
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
    for (const { generation, filter } of this.#sealed)
      if (!filter || filter.has(this.#hash)) found.push(generation)
  }

  #take(id: string): void {
    writeUuid(this.#bytes, 0, id)
    hash128(this.#bytes, 0, 16, this.#hash)
  }

  /** Reads which generations there are, and the filters that are new. Throws what the query throws. */
  async load(client: pg.Client): Promise<void> {
    const have = new Map(this.#sealed.map((sealed) => [sealed.generation, sealed.filter]))
    const { rows } = await client.query<{ generation: number; sealed: boolean; stored: boolean }>(
      `select generation, sealed_at is not null as sealed, filter is not null as stored
       from log_id_generations order by generation desc`,
    )
    const sealed: { generation: number; filter: BloomFilter | undefined }[] = []
    for (const row of rows) {
      if (!row.sealed) continue
      const filter =
        have.get(row.generation) ?? (row.stored ? await readFilter(client, row.generation) : undefined)
      sealed.push({ generation: row.generation, filter })
    }
    // Assigned together and only here: an append between two awaits sees the old state, which its statement checks.
    this.#sealed = sealed
    const current = rows.find((row) => !row.sealed)?.generation ?? 0
    if (current === this.#current) return
    this.#current = current
    this.#appended = BloomFilter.forKeys(this.#idsPerGeneration)
  }
}

async function readFilter(client: pg.Client, generation: number): Promise<BloomFilter | undefined> {
  const { rows } = await client.query<{ filter: Buffer }>(
    'select filter from log_id_generations where generation = $1 and filter is not null',
    [generation],
  )
  const bytes = rows[0]?.filter
  // Copied, because a Buffer may start anywhere and a Uint32Array only at a multiple of four.
  return bytes && new BloomFilter(new Uint32Array(new Uint8Array(bytes).buffer))
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
 * Seals a full generation, builds the filters that are missing, drops what is older than the window. One
 * server does it at a time; the others return at once. True if anything changed.
 */
export async function maintainGenerations(client: pg.Client, limits: GenerationLimits): Promise<boolean> {
  const lock = await client.query(`select pg_try_advisory_lock(${rotationLock}) as mine`)
  if (!lock.rows[0]?.mine) return false
  try {
    const rotated = await rotateIfFull(client, limits.idsPerGeneration)
    const built = await buildMissingFilters(client)
    const dropped = await dropOld(client, limits.idWindowMs)
    return rotated || built || dropped
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

async function buildMissingFilters(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ generation: number; ids: string }>(
    'select generation, ids from log_id_generations where sealed_at is not null and filter is null order by generation',
  )
  for (const { generation, ids } of rows) {
    const filter = BloomFilter.forKeys(Math.max(1_000, Number(ids)))
    await addStoredIds(client, generation, filter)
    const bytes = Buffer.from(filter.words.buffer, filter.words.byteOffset, filter.words.byteLength)
    await client.query('update log_id_generations set filter = $2 where generation = $1', [generation, bytes])
  }
  return rows.length > 0
}

// Binary COPY: 19 bytes of head, then per row two bytes (number of columns), four (length), sixteen (the id).
async function addStoredIds(client: pg.Client, generation: number, filter: BloomFilter): Promise<void> {
  const hash = new Uint32Array(4)
  const copy = client.query(copyTo(`copy (select id from log_ids_${generation}) to stdout (format binary)`))
  let rest = Buffer.alloc(0)
  let skip = 19
  for await (const chunk of copy as AsyncIterable<Buffer>) {
    let bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    if (skip > 0) {
      const cut = Math.min(skip, bytes.length)
      skip -= cut
      bytes = bytes.subarray(cut)
    }
    let at = 0
    for (; at + 22 <= bytes.length; at += 22) {
      hash128(bytes, at + 6, at + 22, hash)
      filter.add(hash)
    }
    rest = Buffer.from(bytes.subarray(at))
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
  return rows.length > 0
}

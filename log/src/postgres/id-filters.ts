import type pg from 'pg'
import { to as copyTo } from 'pg-copy-streams'
import { answered } from '../answered.ts'
import { BloomFilter, hash128 } from '../bloom-filter.ts'
import { drop } from './connection.ts'

/** About one unknown id in ten thousand is asked for without need; at 16 bits it is one in 900. */
const bitsPerId = 24
/**
 * Each eight generations share a filter, of 48 MB, but the last sixteen keep one each: most repeats come soon, and a
 * filter of one generation says in which index they are.
 */
const spans = { generations: 8, singlesMin: 16 } as const
/** Part of a filter that is read with one question: its text is twice as long, and a large one has 48 MB. */
const sliceBytes = 1024 * 1024

/** What a process holds to find out whether some sealed generations may hold an id. */
export interface SealedIds {
  readonly generations: readonly number[]
  /** Undefined while it is not built: then every id must be asked for. */
  readonly filter: BloomFilter | undefined
}

interface GenerationRow {
  readonly generation: number
  readonly sealed: boolean
  readonly stored: boolean
  readonly first: number | null
  readonly last: number | null
}

/**
 * The generations there are, and the filters of the sealed ones by what they cover ("3" or "1-8"). Those in `have` are
 * not read again. Rejects with what the query rejects with.
 */
export async function readGenerations(
  client: pg.Client,
  have: ReadonlyMap<string, SealedIds>,
): Promise<{ current: number; sealed: Map<string, SealedIds> }> {
  const { rows } = await client.query<GenerationRow>(
    `select generation, sealed_at is not null as sealed, g.filter is not null as stored,
       first_generation as first, last_generation as last
     from log_id_generations g left join log_id_spans on generation between first_generation and last_generation
     order by generation desc`,
  )
  const covers = new Map<string, GenerationRow[]>()
  for (const row of rows) {
    if (!row.sealed) continue
    const name = row.first === null ? `${row.generation}` : `${row.first}-${row.last}`
    covers.set(name, [...(covers.get(name) ?? []), row])
  }
  const sealed = new Map<string, SealedIds>()
  for (const [name, covered] of covers) {
    const { generation, first, stored } = covered[0] as GenerationRow
    const filter =
      have.get(name)?.filter ??
      (first !== null
        ? await readFilter(client, 'log_id_spans where first_generation = $1', first)
        : stored
          ? await readFilter(client, 'log_id_generations where generation = $1', generation)
          : undefined)
    sealed.set(name, { generations: covered.map((row) => row.generation), filter })
  }
  return { current: rows.find((row) => !row.sealed)?.generation ?? 0, sealed }
}

/** Undefined if it is gone: dropped since it was named. */
async function readFilter(client: pg.Client, from: string, key: number): Promise<BloomFilter | undefined> {
  const size = await client.query<{ bytes: number }>(`select octet_length(filter) as bytes from ${from}`, [
    key,
  ])
  const bytes = new Uint8Array(size.rows[0]?.bytes ?? 0)
  for (let at = 0; at < bytes.length; at += sliceBytes) {
    const { rows } = await client.query<{ slice: Buffer }>(
      `select substring(filter from $2::int for $3::int) as slice from ${from}`,
      [key, at + 1, sliceBytes],
    )
    const slice = rows[0]?.slice
    if (!slice) return undefined
    bytes.set(slice, at)
  }
  return bytes.length === 0 ? undefined : new BloomFilter(new Uint32Array(bytes.buffer))
}

interface Sealed {
  readonly generation: number
  readonly ids: string
}

/** The generations that need a filter next, one or a span of them; undefined if there are none. */
export async function missingFilter(client: pg.Client): Promise<readonly Sealed[] | undefined> {
  const { rows } = await client.query<Sealed & { stored: boolean }>(
    `select generation, ids, filter is not null as stored from log_id_generations
     where sealed_at is not null and not exists
       (select 1 from log_id_spans where generation between first_generation and last_generation)
     order by generation`,
  )
  const single = rows.find(({ stored }) => !stored)
  if (single) return [single]
  return rows.length < spans.singlesMin + spans.generations ? undefined : rows.slice(0, spans.generations)
}

async function buildFilter(client: pg.Client, missing: readonly Sealed[]): Promise<void> {
  const filter = await filterOf(client, missing)
  const [first, last] = [missing[0]?.generation, missing.at(-1)?.generation]
  if (first === last)
    await client.query('update log_id_generations set filter = $2 where generation = $1', [first, filter])
  else
    await client.query(
      'insert into log_id_spans (first_generation, last_generation, filter) values ($1, $2, $3)',
      [first, last, filter],
    )
}

export interface FilterBuilderNeeds {
  readonly connect: () => Promise<pg.Client>
  readonly msMax: number
  /** One was built here: it can be read now. */
  readonly built: () => Promise<void>
  readonly troubled: (error: unknown) => void
}

/**
 * Builds missing filters, one at a time, in the background: a span is made of 16 million ids, which takes many seconds,
 * so it has a connection of its own while it lasts. One server does it at a time.
 */
export class FilterBuilder {
  readonly #needs: FilterBuilderNeeds
  #client: pg.Client | undefined
  #running: Promise<void> | undefined
  #isClosed = false

  constructor(needs: FilterBuilderNeeds) {
    this.#needs = needs
  }

  /** Builds one that is missing, unless it is at it already. */
  start(): void {
    if (this.#isClosed) return
    this.#running ??= this.#build()
      .catch((error) => {
        if (!this.#isClosed) this.#needs.troubled(error)
      })
      .finally(() => {
        this.#running = undefined
      })
  }

  /** Gives up what is being built; the next round of some server begins it anew. */
  async close(): Promise<void> {
    this.#isClosed = true
    if (this.#client) drop(this.#client)
    await this.#running
  }

  async #build(): Promise<void> {
    const client = await this.#needs.connect()
    this.#client = client
    let isBuilt = false
    try {
      if (!this.#isClosed) isBuilt = await answered(this.#buildWith(client), this.#needs.msMax)
    } finally {
      this.#client = undefined
      // The lock ends with the session.
      drop(client)
    }
    if (isBuilt && !this.#isClosed) await this.#needs.built()
  }

  async #buildWith(client: pg.Client): Promise<boolean> {
    const lock = await client.query(
      `select pg_try_advisory_lock(hashtextextended('pulse.log.ids.filters', 0)) as mine`,
    )
    const missing = lock.rows[0]?.mine ? await missingFilter(client) : undefined
    if (missing) await buildFilter(client, missing)
    return missing !== undefined
  }
}

async function filterOf(client: pg.Client, generations: readonly Sealed[]): Promise<Buffer> {
  const ids = generations.reduce((sum, each) => sum + Number(each.ids), 0)
  const filter = BloomFilter.forKeys(Math.max(1_000, ids), bitsPerId)
  for (const { generation } of generations) await addStoredIds(client, generation, filter)
  return Buffer.from(filter.words.buffer, filter.words.byteOffset, filter.words.byteLength)
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

import { LogError } from '@pulse/log'
import { answered } from '@pulse/log/answered'
import type pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { ask, inTime } from '../database/ask.ts'
import { bindNames, type NameSet } from './name-set.ts'
import type { Verification } from './redis-proof.ts'

/** A name under its normal form. */
export interface NamedKey {
  readonly key: string
  /** As it was claimed. */
  readonly name: string
}

/** What a claim writes. */
export interface ClaimRow {
  readonly key: string
  readonly name: string
  readonly owner: string | null
  readonly claimedBy: string
  /** Digest of the Idempotency-Key, if there was one. */
  readonly claim: Buffer | null
}

/** A claim that was made before. */
export interface StoredClaim {
  readonly name: string
  readonly claimedBy: string
  readonly claim: Buffer | null
  readonly claimedAt: Date
}

/**
 * Rows of `names`. Once it is bound to a profile, whatever tells of names or changes them rejects with LogError `unavailable`
 * where the names are bound to another one by now: this process would ask for other keys. Every method rejects with what
 * the database throws, or LogError `unavailable` if it does not answer in time.
 */
export interface NameStore {
  /** This set of names; binds it to the profile that makes its keys, unless it has names that another one made. */
  bind(profile: string): Promise<NameSet | { boundTo: string }>
  /** The keys are those of this version of Unicode. */
  setUnicode(version: string): Promise<void>
  /** Names above a key that are not plain ASCII, in order of their keys. */
  foreignAfter(key: string, limit: number): Promise<readonly NamedKey[]>
  /** Whether the name is taken: one statement. */
  isTaken(key: string): Promise<boolean>
  /** Those that are taken: one statement. */
  taken(keys: readonly string[]): Promise<ReadonlySet<string>>
  /** The claim that holds a name, and the database's clock. */
  findClaim(key: string): Promise<{ claim: StoredClaim | undefined; nowMs: number }>
  /** The instant of the claim; undefined if the name was taken, or the clock has passed the deadline. */
  insert(row: ClaimRow, deadlineMs: number): Promise<Date | undefined>
  /** Adds names that are not there yet, by COPY; how many were new. Rejects with TooLate after the deadline. */
  insertAll(rows: readonly NamedKey[], by: string, deadlineMs: number): Promise<number>
  /** Lets go of a name; false if nobody had it. */
  release(key: string): Promise<boolean>
  /** About how many names there are. */
  countRoughly(): Promise<number>
  /** Keys above a key, in order. */
  keysAfter(key: string, limit: number): Promise<readonly string[]>
  /** About so many keys, chosen at random by page. */
  sample(count: number): Promise<readonly string[]>
  /** The database's clock, Unix time. */
  nowMs(): Promise<number>
  /** What proves the bitmap in Redis, if it was ever filled. */
  bitmapProof(): Promise<Verification | undefined>
  setBitmapProof(proof: Verification): Promise<void>
}

/** The database's clock has passed the instant until which a claim may be written. */
export class TooLate extends Error {
  override name = 'TooLate'
}

const nowSql = 'extract(epoch from clock_timestamp()) * 1000'
const isEarly = (placeholder: string) => `clock_timestamp() < to_timestamp(${placeholder}::float8 / 1000)`
/** Whether names are bound to a profile; null is for any. */
const isOurs = (placeholder: string) =>
  `exists (select 1 from name_set where ${placeholder}::text is null or profile = ${placeholder})`

/** SQL over `names` on the connections of one pool. */
export function createNameStore(pool: pg.Pool): NameStore {
  return new SqlNameStore(pool)
}

class SqlNameStore implements NameStore {
  readonly #pool: pg.Pool
  /** That to which they were bound by us; until then nobody is refused. */
  #profile: string | undefined

  constructor(pool: pg.Pool) {
    this.#pool = pool
  }

  async bind(profile: string): Promise<NameSet | { boundTo: string }> {
    const bound = await bindNames(this.#pool, profile)
    if (!('boundTo' in bound)) this.#profile = profile
    return bound
  }

  /** Throws LogError `unavailable` where the names are bound to another profile than ours. */
  #refuseOthers(profile: string | null | undefined): void {
    if (this.#profile === undefined || profile === this.#profile) return
    const message = `the names are bound to NAMES_PROFILE=${profile} by now, not to ${this.#profile}`
    throw new LogError('unavailable', message)
  }

  async setUnicode(version: string): Promise<void> {
    await ask(this.#pool, 'update name_set set unicode = $1', [version])
  }

  async foreignAfter(key: string, limit: number): Promise<readonly NamedKey[]> {
    const { rows } = await ask<NamedKey>(
      this.#pool,
      `select key, name from names where key > $1 and octet_length(name) > char_length(name) order by key limit $2`,
      [key, limit],
    )
    return rows
  }

  async isTaken(key: string): Promise<boolean> {
    const text = 'select profile, exists (select 1 from names where key = $1) as taken from name_set'
    const { rows } = await prepared(this.#pool, { name: 'name_taken', text, values: [key] }, lookUpMsMax)
    this.#refuseOthers(rows[0]?.profile)
    return rows[0]?.taken === true
  }

  async taken(keys: readonly string[]): Promise<ReadonlySet<string>> {
    const { rows } = await ask<{ profile: string | null; taken: readonly string[] }>(
      this.#pool,
      'select profile, array(select key from names where key = any($1)) as taken from name_set',
      [keys],
    )
    this.#refuseOthers(rows[0]?.profile)
    return new Set(rows[0]?.taken)
  }

  async findClaim(key: string): Promise<{ claim: StoredClaim | undefined; nowMs: number }> {
    const { rows } = await ask<{
      now: number
      profile: string | null
      name: string | null
      by: string
      claim: Buffer | null
      at: Date
    }>(
      this.#pool,
      `select (${nowSql})::float8 as now, s.profile, n.name, n.claimed_by as by, n.claim, n.claimed_at as at
       from name_set s left join names n on n.key = $1`,
      [key],
    )
    const row = rows[0]
    if (!row) throw new Error('name_set has no row')
    this.#refuseOthers(row.profile)
    const { name, by, claim, at } = row
    return {
      claim: name === null ? undefined : { name, claimedBy: by, claim, claimedAt: at },
      nowMs: row.now,
    }
  }

  async insert(
    { key, name, owner, claimedBy, claim }: ClaimRow,
    deadlineMs: number,
  ): Promise<Date | undefined> {
    const { rows } = await ask<{ claimed_at: Date }>(
      this.#pool,
      `insert into names (key, name, owner, claimed_by, claim)
       select $1, $2, $3, $4, $5 where ${isEarly('$6')} and ${isOurs('$7')} on conflict (key) do nothing returning claimed_at`,
      [key, name, owner, claimedBy, claim, deadlineMs, this.#profile ?? null],
    )
    return rows[0]?.claimed_at
  }

  insertAll(rows: readonly NamedKey[], by: string, deadlineMs: number): Promise<number> {
    return copyNames(this.#pool, { rows, by, deadlineMs, profile: this.#profile ?? null })
  }

  async release(key: string): Promise<boolean> {
    const { rows } = await ask<{ profile: string | null; gone: boolean }>(
      this.#pool,
      `with gone as (delete from names where key = $1 and ${isOurs('$2')} returning 1)
       select profile, exists (select 1 from gone) as gone from name_set`,
      [key, this.#profile ?? null],
    )
    this.#refuseOthers(rows[0]?.profile)
    return rows[0]?.gone === true
  }

  async countRoughly(): Promise<number> {
    const { rows } = await ask<{ count: number }>(
      this.#pool,
      `select case when reltuples < 100000 then (select count(*) from names) else reltuples end::float8 as count
       from pg_class where oid = 'names'::regclass`,
    )
    return rows[0]?.count ?? 0
  }

  async sample(count: number): Promise<readonly string[]> {
    const percent = Math.min(100, (100 * count) / Math.max(1, await this.countRoughly()))
    const { rows } = await ask<{ key: string }>(
      this.#pool,
      'select key from names tablesample system ($1::real) limit $2',
      [percent, count * 2],
    )
    return rows.map(({ key }) => key)
  }

  async keysAfter(key: string, limit: number): Promise<readonly string[]> {
    const query = {
      name: 'names_after',
      text: 'select key from names where key > $1 order by key limit $2',
      values: [key, limit],
      rowMode: 'array' as const,
    }
    const { rows } = await prepared(this.#pool, query, pageMsMax)
    return (rows as unknown as [string][]).map(([found]) => found)
  }

  async bitmapProof(): Promise<Verification | undefined> {
    const { rows } = await ask<{ bitmap: Verification | null }>(this.#pool, 'select bitmap from name_set')
    return rows[0]?.bitmap ?? undefined
  }

  async setBitmapProof(proof: Verification): Promise<void> {
    await ask(this.#pool, 'update name_set set bitmap = $1', [JSON.stringify(proof)])
  }

  async nowMs(): Promise<number> {
    const { rows } = await ask<{ now: number }>(this.#pool, `select (${nowSql})::float8 as now`)
    return rows[0]?.now ?? Number.NaN
  }
}

/** Who types a name does not wait longer for one look-up; the connection is then thrown away. */
const lookUpMsMax = 2_000
/** The database may be busy when pages of all names are read. */
const pageMsMax = 10_000

/** A statement that each connection plans once. Rejects with LogError `unavailable` if it takes too long. */
async function prepared(
  pool: pg.Pool,
  query: { name: string; text: string; values: unknown[]; rowMode?: 'array' },
  msMax: number,
): Promise<pg.QueryResult> {
  const client = await pool.connect()
  let broken: Error | undefined
  try {
    return await answered(client.query(query as pg.QueryConfig), msMax)
  } catch (error) {
    broken = error as Error
    throw error
  } finally {
    client.release(broken)
  }
}

async function copyNames(
  pool: pg.Pool,
  from: { rows: readonly NamedKey[]; by: string; deadlineMs: number; profile: string | null },
): Promise<number> {
  const { rows, by, deadlineMs, profile } = from
  const client = await pool.connect()
  let broken: Error | undefined
  try {
    await inTime(client.query(beginImport))
    const text = rows.map(({ key, name }) => `${escaped(key)}\t${escaped(name)}\n`).join('')
    await inTime(copied(client, text))
    const { rowCount } = await inTime(client.query(takeImported, [by]))
    const late = `select not (${isEarly('$1')} and ${isOurs('$2')}) as late`
    const checked = await inTime(client.query<{ late: boolean }>(late, [deadlineMs, profile]))
    if (checked.rows[0]?.late) throw new TooLate('the names were not written in time')
    await inTime(client.query('commit'))
    return rowCount ?? 0
  } catch (error) {
    // Nothing of it may be committed later: the connection goes, and with it the transaction.
    broken = error as Error
    throw error
  } finally {
    client.release(broken)
  }
}

const beginImport = `begin; set local statement_timeout = 10000; create temp table if not exists names_import (key text collate "C", name text) on commit delete rows`
// In the order of keys, so that two imports of the same names wait for each other instead of deadlocking.
const takeImported = `
  insert into names (key, name, claimed_by) select distinct on (key) key, name, $1 from names_import order by key
  on conflict (key) do nothing`

function copied(client: pg.PoolClient, text: string): Promise<void> {
  const stream = client.query(copyFrom('copy names_import (key, name) from stdin'))
  return new Promise((resolve, reject) => {
    stream.on('finish', resolve)
    stream.on('error', reject)
    stream.end(text)
  })
}

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' }
/** As the text form of COPY wants it. */
const escaped = (text: string) => text.replace(/[\\\t\n\r]/g, (found) => escapes[found] ?? found)

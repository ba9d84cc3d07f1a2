import { randomUUID } from 'node:crypto'
import type { Condition } from '@pulse/protocol/filter'
import type { Position } from '@pulse/protocol/position'
import type pg from 'pg'
import { ask, instantSql, inTime, inTransaction } from '../database/ask.ts'
import {
  type Decision,
  decide,
  type Refusal,
  type State,
  type WantedChange,
  type Write,
} from './filter-decision.ts'

/** One version of a filter as the database holds it. */
export interface FilterRow {
  /** Rises with the order in which changes were made. */
  readonly id: number
  readonly announcement: string
  readonly subscriber: string
  readonly name: string
  readonly version: number
  /** As it was submitted; null: deleted. */
  readonly condition: Condition | null
  readonly selective: boolean
  /** When the filter was made, and when this version of it. */
  readonly createdAt: string
  readonly changedAt: string
  /** From where on it applies; null while that is being made known. */
  readonly effective: readonly Position[] | null
  /** All that it does not apply to has left the log. */
  readonly passed: boolean
}

/** An announcement whose records have to be appended. */
export interface OpenAnnouncement {
  readonly id: string
  readonly createdAt: string
  /** Ids of the versions that it tells of, the oldest first. */
  readonly changes: readonly number[]
  /** Where its records cannot lie below; only for logs that do not find repeats. */
  readonly searchedFrom: readonly Position[] | null
}

/** What became of one wanted change. */
export type Change = { readonly kind: 'written'; readonly row: FilterRow } | Refusal

/** What became of changes that were wanted together. */
export interface Changes {
  readonly changes: readonly Change[]
  /** Of those that were made; its records are the caller's to append. Undefined if none was. */
  readonly announcement: OpenAnnouncement | undefined
}

/** Where a list of filters goes on. */
export interface ListFrom {
  readonly subscriber: string | undefined
  /** Only subscribers that begin with it. */
  readonly prefix: string
  readonly after: { readonly subscriber: string; readonly name: string } | undefined
  readonly limit: number
}

interface Row {
  readonly id: string
  readonly announcement: string
  readonly subscriber_id: string
  readonly name: string
  readonly version: number
  readonly condition: string | null
  readonly selective: boolean
  readonly created: string
  readonly changed: string
  readonly effective: StoredPositions | null
  readonly passed: boolean
}

/** Positions as they stand in a row, by topic. */
type StoredPositions = Readonly<
  Record<string, { readonly epoch: number; readonly offsets: readonly number[] }>
>

const columns = `v.id, v.announcement, v.subscriber_id, v.name, v.version, v.condition, v.selective,
  ${instantSql('v.created_at')} as created, ${instantSql('v.changed_at')} as changed, a.effective, a.passed`
const tables = 'filter_versions v join filter_announcements a on a.id = v.announcement'

/** Changes of filters are made by one server at a time: an arbitrary but fixed pair of numbers. */
const lock = [0x70756c73, 0x66696c74] as const

/** Announcements of one look. */
const claimMax = 100

/**
 * The versions of all filters, and which of them the log does not tell of yet. Everything rejects with PostgreSQL's
 * error, or with LogError `unavailable` if the database does not answer.
 */
export class FilterStore {
  readonly #pool: pg.Pool
  readonly #limits: State['limits']

  constructor(pool: pg.Pool, limits: State['limits']) {
    this.#pool = pool
    this.#limits = limits
  }

  /**
   * Makes changes in the order given, in one transaction. `searchedFrom`: a place at or below the end of the log, taken
   * before the call.
   */
  async change(wanted: readonly WantedChange[], searchedFrom: readonly Position[] | null): Promise<Changes> {
    let result: Changes = { changes: [], announcement: undefined }
    await inTransaction(
      this.#pool,
      async (tx) => {
        await inTime(tx.query('select pg_advisory_xact_lock($1, $2)', [...lock]))
        const decisions = decide(wanted, await readState(tx, wanted, this.#limits))
        result = await write(tx, decisions, searchedFrom)
      },
      (error) => {
        throw error
      },
    )
    return result
  }

  /**
   * Takes announcements that are not made known and that nobody has tried for so long, of these ids if any are named.
   * They count as tried from now on. At most 100, the oldest first.
   */
  async claim(idleMs: number, ids: readonly string[] | null = null): Promise<readonly OpenAnnouncement[]> {
    const { rows } = await ask<{
      id: string
      created: string
      changes: string[]
      searched_from: StoredPositions | null
    }>(
      this.#pool,
      `update filter_announcements a set tries = tries + 1, tried_at = clock_timestamp()
       where a.id in (
         select id from filter_announcements
         where effective is null and tried_at <= clock_timestamp() - make_interval(secs => $1 / 1000.0)
           and ($2::uuid[] is null or id = any ($2))
         order by created_at limit ${claimMax} for update skip locked)
       returning a.id, ${instantSql('a.created_at')} as created, a.searched_from,
         (select array_agg(v.id order by v.id) from filter_versions v where v.announcement = a.id) as changes`,
      [idleMs, ids],
    )
    return rows
      .map((row) => ({
        id: row.id,
        createdAt: row.created,
        changes: row.changes.map(Number),
        searchedFrom: positionsOf(row.searched_from),
      }))
      .sort((a, b) => (a.changes[0] ?? 0) - (b.changes[0] ?? 0))
  }

  /**
   * Notes where the first records of an announcement stand, unless that is noted already, and gives what is noted.
   * `ifAlone`: they are known to be the first only if nobody else has tried. Undefined: somebody has.
   */
  async finish(
    id: string,
    effective: readonly Position[],
    ifAlone: boolean,
  ): Promise<readonly Position[] | undefined> {
    const { rows } = await ask<{ effective: StoredPositions }>(
      this.#pool,
      `update filter_announcements set effective = coalesce(effective, $2)
       where id = $1 and (effective is not null or tries = 1 or not $3) returning effective`,
      [id, JSON.stringify(storedOf(effective)), ifAlone],
    )
    return positionsOf(rows[0]?.effective ?? null) ?? undefined
  }

  /** Which of these announcements the log does not tell of in full. */
  async open(ids: readonly string[]): Promise<readonly string[]> {
    const text = 'select id from filter_announcements where effective is null and id = any ($1)'
    return (await ask<{ id: string }>(this.#pool, text, [ids])).rows.map(({ id }) => id)
  }

  /** Every version of these subscribers' filters that is kept, by name and version. */
  async versions(subscribers: readonly string[]): Promise<readonly FilterRow[]> {
    const text = `select ${columns} from ${tables} where v.subscriber_id = any ($1)
       order by v.subscriber_id, v.name, v.version`
    return (await ask<Row>(this.#pool, text, [subscribers])).rows.map(rowOf)
  }

  /** The changes that an announcement tells of, the oldest first. */
  async announced(announcement: string): Promise<readonly FilterRow[]> {
    const text = `select ${columns} from ${tables} where v.announcement = $1 order by v.id`
    return (await ask<Row>(this.#pool, text, [announcement])).rows.map(rowOf)
  }

  /** The filter as it is now, unless it is deleted. */
  async get(subscriber: string, name: string): Promise<FilterRow | undefined> {
    const text = `select ${columns} from ${tables}
       where v.current and v.condition is not null and v.subscriber_id = $1 and v.name = $2`
    const { rows } = await ask<Row>(this.#pool, text, [subscriber, name])
    return rows[0] && rowOf(rows[0])
  }

  /** Filters as they are now, by subscriber and name. */
  async list(from: ListFrom): Promise<readonly FilterRow[]> {
    const { rows } = await ask<Row>(
      this.#pool,
      `select ${columns} from ${tables}
       where v.current and v.condition is not null and ($1::text is null or v.subscriber_id = $1)
         and v.subscriber_id >= $2 and starts_with(v.subscriber_id, $2)
         and (v.subscriber_id, v.name) > ($3 collate "C", $4 collate "C")
       order by v.subscriber_id, v.name limit $5`,
      [
        from.subscriber ?? null,
        from.prefix,
        from.after?.subscriber ?? '',
        from.after?.name ?? '',
        from.limit,
      ],
    )
    return rows.map(rowOf)
  }

  /** How many filters there are, how many of them are not selective, and how many changes wait to be made known. */
  async counts(): Promise<{ filters: number; unselective: number; open: number }> {
    const { rows } = await ask<{ filters: string; unselective: string; open: string }>(
      this.#pool,
      `select (select count(*) from filter_versions where current and condition is not null) as filters,
         (select count(*) from filter_versions where current and not selective) as unselective,
         (select count(*) from filter_versions v join filter_announcements a on a.id = v.announcement
          where a.effective is null) as open`,
    )
    const { filters = 0, unselective = 0, open = 0 } = rows[0] ?? {}
    return { filters: Number(filters), unselective: Number(unselective), open: Number(open) }
  }

  /** How many filters there are that are not selective. */
  async unselective(): Promise<number> {
    const text = 'select count(*) as count from filter_versions where current and not selective'
    return Number((await ask<{ count: string }>(this.#pool, text)).rows[0]?.count ?? 0)
  }

  /** The oldest announcements that are known and not noted as passed. */
  async kept(limit: number): Promise<readonly { id: string; effective: readonly Position[] }[]> {
    const { rows } = await ask<{ id: string; effective: StoredPositions }>(
      this.#pool,
      `select id, effective from filter_announcements where effective is not null and not passed
       order by created_at limit $1`,
      [limit],
    )
    return rows.map(({ id, effective }) => ({ id, effective: positionsOf(effective) ?? [] }))
  }

  /**
   * Notes of announcements that all which lies before them has left the log, and forgets the versions that therefore
   * apply to nothing any more. Returns how many those were.
   */
  async pass(ids: readonly string[]): Promise<number> {
    let forgotten = 0
    await inTransaction(
      this.#pool,
      async (tx) => {
        await inTime(tx.query('update filter_announcements set passed = true where id = any ($1)', [ids]))
        // What came before one of them in its filter; and itself, if it is the end of its filter.
        const { rows } = await inTime(
          tx.query<{ announcement: string }>(
            `delete from filter_versions v using filter_versions n
             where n.announcement = any ($1) and v.subscriber_id = n.subscriber_id and v.name = n.name
               and (v.version < n.version or (v.version = n.version and n.current and n.condition is null))
             returning v.announcement`,
            [ids],
          ),
        )
        forgotten = rows.length
        await inTime(
          tx.query(
            `delete from filter_announcements a where a.id = any ($1) and a.passed
               and not exists (select 1 from filter_versions v where v.announcement = a.id)`,
            [[...new Set(rows.map(({ announcement }) => announcement))]],
          ),
        )
      },
      (error) => {
        throw error
      },
    )
    return forgotten
  }
}

async function readState(
  tx: pg.PoolClient,
  wanted: readonly WantedChange[],
  limits: State['limits'],
): Promise<State> {
  const subscribers = wanted.map(({ subscriber }) => subscriber)
  const current = await inTime(
    tx.query<Row>(
      `select ${columns} from ${tables}
       where v.current and (v.subscriber_id, v.name) in (select * from unnest($1::text[], $2::text[]))`,
      [subscribers, wanted.map(({ name }) => name)],
    ),
  )
  const counts = await inTime(
    tx.query<{ subscriber_id: string; count: string }>(
      `select subscriber_id, count(*) as count from filter_versions
       where current and condition is not null and subscriber_id = any ($1) group by subscriber_id`,
      [subscribers],
    ),
  )
  const unselective = await inTime(
    tx.query<{ count: string }>(
      'select count(*) as count from filter_versions where current and not selective',
    ),
  )
  return {
    current: current.rows.map(rowOf),
    counts: new Map(counts.rows.map((row) => [row.subscriber_id, Number(row.count)])),
    unselective: Number(unselective.rows[0]?.count ?? 0),
    limits,
  }
}

async function write(
  tx: pg.PoolClient,
  decisions: readonly Decision[],
  searchedFrom: readonly Position[] | null,
): Promise<Changes> {
  const versions = decisions.flatMap((each) => (each.kind === 'write' ? [each] : []))
  const refusals = decisions.flatMap((each) => (each.kind === 'write' ? [] : [each]))
  if (versions.length === 0) return { changes: refusals, announcement: undefined }
  const id = randomUUID()
  const { rows } = await inTime(
    tx.query<{ created: string }>(
      `insert into filter_announcements (id, searched_from) values ($1, $2) returning ${instantSql('created_at')} as created`,
      [id, searchedFrom && JSON.stringify(storedOf(searchedFrom))],
    ),
  )
  const stored = await insertVersions(tx, id, versions)
  let next = 0
  const changes = decisions.map(
    (each): Change => (each.kind === 'write' ? { kind: 'written', row: stored[next++] as FilterRow } : each),
  )
  const createdAt = rows[0]?.created ?? ''
  return { changes, announcement: { id, createdAt, changes: stored.map((row) => row.id), searchedFrom } }
}

async function insertVersions(
  tx: pg.PoolClient,
  announcement: string,
  versions: readonly Write[],
): Promise<readonly FilterRow[]> {
  const subscribers = versions.map(({ subscriber }) => subscriber)
  const names = versions.map(({ name }) => name)
  await inTime(
    tx.query(
      `update filter_versions set current = false
       where current and (subscriber_id, name) in (select * from unnest($1::text[], $2::text[]))`,
      [subscribers, names],
    ),
  )
  const { rows } = await inTime(
    tx.query<Row>(
      `insert into filter_versions (announcement, subscriber_id, name, version, condition, selective, current, created_at)
       select $1, subscriber_id, name, version, condition, selective, current, coalesce(created_at::timestamptz, now())
       from unnest($2::text[], $3::text[], $4::int[], $5::text[], $6::bool[], $7::bool[], $8::text[])
         with ordinality as w (subscriber_id, name, version, condition, selective, current, created_at, place)
       order by place
       returning id, announcement, subscriber_id, name, version, condition, selective,
         ${instantSql('created_at')} as created, ${instantSql('changed_at')} as changed,
         null::jsonb as effective, false as passed`,
      [
        ...[announcement, subscribers, names, versions.map(({ version }) => version)],
        ...[versions.map(({ condition }) => condition && JSON.stringify(condition))],
        ...[versions.map(({ selective }) => selective), versions.map(({ current }) => current)],
        versions.map(({ createdAt }) => createdAt),
      ],
    ),
  )
  return rows.map(rowOf).sort((a, b) => a.id - b.id)
}

function rowOf(row: Row): FilterRow {
  return {
    id: Number(row.id),
    announcement: row.announcement,
    subscriber: row.subscriber_id,
    name: row.name,
    version: row.version,
    condition: row.condition === null ? null : (JSON.parse(row.condition) as Condition),
    selective: row.selective,
    createdAt: row.created,
    changedAt: row.changed,
    effective: positionsOf(row.effective),
    passed: row.passed,
  }
}

function storedOf(positions: readonly Position[]): StoredPositions {
  return Object.fromEntries(
    positions.map(({ topic, epoch, offsets }) => [
      topic,
      { epoch, offsets: Array.from({ length: offsets.size }, (_, partition) => offsets.get(partition) ?? 0) },
    ]),
  )
}

function positionsOf(stored: StoredPositions | null): readonly Position[] | null {
  if (stored === null) return null
  return Object.entries(stored).map(([topic, { epoch, offsets }]) => ({
    topic,
    epoch,
    offsets: new Map(offsets.entries()),
  }))
}

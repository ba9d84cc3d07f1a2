import { answered } from '@pulse/log/answered'
import type { Pool, QueryResult, QueryResultRow } from 'pg'
import type { Role } from '../http/access.ts'
import { ProblemError } from '../http/problem-error.ts'

/** A key as stored, without its secret. */
export interface KeyRow {
  readonly id: string
  readonly name: string
  readonly scopes: readonly string[]
  readonly rate_limit: string | null
  readonly subscribers: string | null
  readonly created_at: Date
  readonly last_used_at: Date | null
  readonly revoked_at: Date | null
}

/** All that a server needs in memory to know who asks. */
export interface CredentialRows {
  readonly revision: string
  readonly keys: readonly {
    id: string
    name: string
    digest: string
    scopes: string[]
    rate_limit: string | null
    subscribers: string | null
  }[]
  readonly sessions: readonly { id: string; digest: string; role: Role; expires_at: Date }[]
  readonly revokedTokens: readonly { id: string; expires_at: Date }[]
}

/** Digests travel as base64 and are stored as bytes. */
export interface AccountStore {
  revision(): Promise<string>
  credentials(): Promise<CredentialRows>
  addKey(key: NewKey): Promise<KeyRow>
  /** `unknown` if no key has the digest. */
  stateOfKey(digest: string): Promise<'live' | 'revoked' | 'unknown'>
  keys(page: {
    limit: number
    after: { createdAt: string; id: string } | undefined
  }): Promise<readonly KeyRow[]>
  /** False if there is no such key. Revoking twice is harmless. */
  revokeKey(id: string): Promise<boolean>
  writeLastUse(ids: readonly string[]): Promise<void>
  addLink(link: { digest: string; role: Role; seconds: number }): Promise<Date>
  /** Uses a link up and opens a session; undefined if the link is unknown, used or expired. */
  redeemLink(redeem: { link: string; session: string; seconds: number }): Promise<SessionRow | undefined>
  endSession(id: string): Promise<void>
  addTicket(ticket: { digest: string; caller: object; seconds: number }): Promise<Date>
  /** Uses a ticket up; undefined if it is unknown, used or expired. */
  redeemTicket(digest: string): Promise<unknown>
  revokeToken(revoke: { id: string; seconds: number }): Promise<void>
  /** Removes what has expired. */
  clean(): Promise<void>
}

interface NewKey {
  readonly name: string
  readonly digest: string
  readonly scopes: readonly string[]
  readonly rateLimit: string | null
  readonly subscribers: string | null
  readonly createdBy: string
}

interface SessionRow {
  readonly id: string
  readonly role: Role
  readonly expires_at: Date
}

const keyColumns = 'id, name, scopes, rate_limit, subscribers, created_at, last_used_at, revoked_at'
/** Makes a statement that changes credentials tell the other servers so; see account_revision. */
const bump = 'bump as (update pulse.account_revision set revision = revision + 1)'

/** Each statement touches a handful of rows by an index, so one that takes longer waits for a database that hangs. */
const answerMsMax = 5_000

/**
 * The tables of accounts. Every change is one statement, so it happens whole or not at all. Rejects with ProblemError
 * `unavailable` while the database does not answer, also when it hangs.
 */
export function createAccountStore(pool: Pool): AccountStore {
  const query = createQuery(pool)
  return { ...reading(query), ...keys(query), ...people(query) }
}

type Query = <R extends QueryResultRow>(text: string, values?: readonly unknown[]) => Promise<QueryResult<R>>

function createQuery(pool: Pool): Query {
  return async <R extends QueryResultRow>(text: string, values: readonly unknown[] = []) => {
    let broken: Error | undefined
    try {
      const client = await pool.connect()
      try {
        return await answered(client.query<R>(text, [...values]), answerMsMax)
      } catch (error) {
        if (isAway(error)) broken = error as Error
        throw error
      } finally {
        // A connection that is still busy with its statement is closed rather than lent to the next one.
        client.release(broken)
      }
    } catch (error) {
      if (!isAway(error)) throw error
      throw new ProblemError('unavailable', 'The database does not answer.', { cause: error, retryAfter: 2 })
    }
  }
}

/** True unless the database itself refused the statement: a mistake of ours has a SQLSTATE of another class. */
function isAway(error: unknown): boolean {
  const { code = '' } = error as { code?: string }
  return !/^[0-9A-Z]{5}$/.test(code) || /^(08|53|57|58)/.test(code)
}

function reading(query: Query) {
  const revision = async () => {
    const { rows } = await query<{ revision: string }>('select revision::text from pulse.account_revision')
    return rows[0]?.revision ?? '0'
  }
  return {
    revision,
    credentials: async (): Promise<CredentialRows> => {
      // The revision is read first: rows that are newer than it only make the next refresh read them again.
      const before = await revision()
      const { rows: keyRows } = await query<CredentialRows['keys'][number]>(
        `select id, name, encode(secret_hash, 'base64') as digest, scopes, rate_limit, subscribers
         from pulse.account_keys where revoked_at is null`,
      )
      const { rows: sessions } = await query<CredentialRows['sessions'][number]>(
        `select id, encode(secret_hash, 'base64') as digest, role, expires_at
         from pulse.account_sessions where expires_at > now()`,
      )
      const { rows: revokedTokens } = await query<CredentialRows['revokedTokens'][number]>(
        'select id, expires_at from pulse.account_revoked_tokens where expires_at > now()',
      )
      return { revision: before, keys: keyRows, sessions, revokedTokens }
    },
    clean: async () => {
      for (const table of ['sessions', 'sign_in_links', 'tickets', 'revoked_tokens']) {
        await query(`delete from pulse.account_${table} where expires_at < now()`)
      }
    },
  }
}

function keys(query: Query) {
  return {
    addKey: async (key: NewKey): Promise<KeyRow> => {
      const { rows } = await query<KeyRow>(
        `with ${bump}
         insert into pulse.account_keys (name, secret_hash, scopes, rate_limit, subscribers, created_by)
         values ($1, decode($2, 'base64'), $3, $4, $5, $6) returning ${keyColumns}`,
        [key.name, key.digest, key.scopes, key.rateLimit, key.subscribers, key.createdBy],
      )
      return first(rows)
    },
    stateOfKey: async (digest: string) => {
      const { rows } = await query<{ live: boolean }>(
        `select revoked_at is null as live from pulse.account_keys where secret_hash = decode($1, 'base64')`,
        [digest],
      )
      if (rows[0] === undefined) return 'unknown'
      return rows[0].live ? 'live' : 'revoked'
    },
    keys: async (page: { limit: number; after: { createdAt: string; id: string } | undefined }) => {
      const { rows } = await query<KeyRow>(
        `select ${keyColumns} from pulse.account_keys
         where $2::timestamptz is null or (date_trunc('milliseconds', created_at), id) < ($2::timestamptz, $3::uuid)
         order by date_trunc('milliseconds', created_at) desc, id desc limit $1`,
        [page.limit, page.after?.createdAt ?? null, page.after?.id ?? null],
      )
      return rows
    },
    revokeKey: async (id: string) => {
      const { rowCount } = await query(
        `with ${bump} update pulse.account_keys set revoked_at = coalesce(revoked_at, now()) where id = $1`,
        [id],
      )
      return rowCount === 1
    },
    writeLastUse: async (ids: readonly string[]) => {
      // Locked in one order: two servers that write the same keys at once would otherwise deadlock.
      await query(
        `update pulse.account_keys set last_used_at = now()
         where id in (select id from pulse.account_keys where id = any($1::uuid[]) order by id for update)`,
        [ids],
      )
    },
  }
}

function people(query: Query) {
  return {
    addLink: async ({ digest, role, seconds }: { digest: string; role: Role; seconds: number }) => {
      const { rows } = await query<{ expires_at: Date }>(
        `insert into pulse.account_sign_in_links (secret_hash, role, expires_at)
         values (decode($1, 'base64'), $2, now() + make_interval(secs => $3)) returning expires_at`,
        [digest, role, seconds],
      )
      return first(rows).expires_at
    },
    redeemLink: async ({ link, session, seconds }: { link: string; session: string; seconds: number }) => {
      const { rows } = await query<SessionRow>(
        `with link as (
           delete from pulse.account_sign_in_links where secret_hash = decode($1, 'base64') returning role, expires_at
         ), good as (select role from link where expires_at > now()),
         bump as (update pulse.account_revision set revision = revision + 1 where exists (select from good))
         insert into pulse.account_sessions (secret_hash, role, expires_at)
         select decode($2, 'base64'), role, now() + make_interval(secs => $3) from good
         returning id, role, expires_at`,
        [link, session, seconds],
      )
      return rows[0]
    },
    endSession: async (id: string) => {
      await query(`with ${bump} delete from pulse.account_sessions where id = $1`, [id])
    },
    addTicket: async ({ digest, caller, seconds }: { digest: string; caller: object; seconds: number }) => {
      const { rows } = await query<{ expires_at: Date }>(
        `insert into pulse.account_tickets (secret_hash, caller, expires_at)
         values (decode($1, 'base64'), $2, now() + make_interval(secs => $3)) returning expires_at`,
        [digest, JSON.stringify(caller), seconds],
      )
      return first(rows).expires_at
    },
    redeemTicket: async (digest: string): Promise<unknown> => {
      const { rows } = await query<{ caller: unknown; live: boolean }>(
        `delete from pulse.account_tickets where secret_hash = decode($1, 'base64')
         returning caller, expires_at > now() as live`,
        [digest],
      )
      return rows[0]?.live === true ? rows[0].caller : undefined
    },
    revokeToken: async ({ id, seconds }: { id: string; seconds: number }) => {
      await query(
        `with ${bump}
         insert into pulse.account_revoked_tokens (id, expires_at)
         values ($1, now() + make_interval(secs => $2)) on conflict do nothing`,
        [id, seconds],
      )
    },
  }
}

function first<R>(rows: readonly R[]): R {
  const [row] = rows
  if (row === undefined) throw new Error('the statement returned no row')
  return row
}

import { LogError } from '@pulse/log'
import { answered } from '@pulse/log/answered'
import type pg from 'pg'
import { ProblemError } from '../http/problem-error.ts'

/** Time that one query has. */
export const queryMsMax = 5_000
// What the database may take beyond its own limit before it counts as hung.
const answerMsMax = 1_000

/**
 * Runs one read with the time limit of queries. Throws ProblemError `query_timeout` when it is over, `unavailable`
 * when the database does not answer.
 */
export function limitedQuery<Row extends pg.QueryResultRow>(
  pool: pg.Pool,
  text: string,
  values: readonly unknown[],
): Promise<Row[]> {
  return limited(pool, { mode: 'read only', text, values })
}

/** The same for one statement that changes something. After `unavailable` nobody knows whether it has. */
export function limitedWrite<Row extends pg.QueryResultRow>(
  pool: pg.Pool,
  text: string,
  values: readonly unknown[],
): Promise<Row[]> {
  return limited(pool, { mode: 'read write', text, values })
}

interface Statement {
  readonly mode: 'read only' | 'read write'
  readonly text: string
  readonly values: readonly unknown[]
}

async function limited<Row extends pg.QueryResultRow>(pool: pg.Pool, statement: Statement): Promise<Row[]> {
  let client: pg.PoolClient
  try {
    client = await pool.connect()
  } catch (cause) {
    throw unavailable(cause)
  }
  let broken: Error | undefined
  try {
    return await answered(run<Row>(client, statement), queryMsMax + answerMsMax)
  } catch (error) {
    // A connection that does not answer is not asked again: its rollback would wait just as long.
    await answered(client.query('rollback'), error instanceof LogError ? 0 : answerMsMax).catch(
      (failed: Error) => {
        broken = failed
      },
    )
    const { code } = error as { code?: string }
    if (code === '57014') throw timeOver()
    if (broken || code?.startsWith('57P') || code?.startsWith('08')) throw unavailable(error)
    throw error
  } finally {
    client.release(broken)
  }
}

async function run<Row extends pg.QueryResultRow>(
  client: pg.PoolClient,
  { mode, text, values }: Statement,
): Promise<Row[]> {
  await client.query(`begin ${mode}; set local statement_timeout = ${queryMsMax}`)
  const { rows } = await client.query<Row>(text, [...values])
  await client.query('commit')
  return rows
}

/** What a query answers whose time is over. */
export const timeOver = (detail = `The query took over ${queryMsMax / 1000} seconds.`) =>
  new ProblemError('query_timeout', detail, { retryAfter: 5 })

const unavailable = (cause: unknown) =>
  new ProblemError('unavailable', 'The database does not answer.', { retryAfter: 2, cause })

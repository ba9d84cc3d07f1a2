import { LogError } from '@pulse/log'
import { answered } from '@pulse/log/answered'
import type pg from 'pg'

/** Time that the database itself gives one statement of ours. */
const statementMsMax = 10_000
// What an answer may take beyond that before its connection counts as dead.
const answerMsMax = 1_000

/** SQL of an instant as Pulse writes it. */
export const instantSql = (column: string) =>
  `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`

/**
 * Waits for the answer to one statement, a little longer than a statement may take: a database can vanish without
 * closing its connections. Throws LogError `unavailable`; the connection is then to be thrown away.
 */
export const inTime = <T>(answer: Promise<T>): Promise<T> => answered(answer, statementMsMax + answerMsMax)

/**
 * One statement outside any transaction. Throws LogError `unavailable` if the answer does not come in time, else what
 * `pg` throws.
 */
export async function ask<Row extends pg.QueryResultRow>(
  pool: pg.Pool,
  text: string,
  values: readonly unknown[] = [],
): Promise<pg.QueryResult<Row>> {
  const client = await pool.connect()
  let broken: Error | undefined
  try {
    return await inTime(client.query<Row>(text, [...values]))
  } catch (error) {
    if (error instanceof LogError) broken = error
    throw error
  } finally {
    client.release(broken)
  }
}

/**
 * Runs `write` in one transaction whose statements the database gives up after `statementMsMax`. `write` awaits each
 * of its answers with `inTime`. `refused` sees what the commit itself threw and throws it or something better.
 */
export async function inTransaction(
  pool: pg.Pool,
  write: (tx: pg.PoolClient) => Promise<void>,
  refused: (error: unknown) => never,
): Promise<void> {
  const client = await pool.connect()
  let broken: Error | undefined
  try {
    await inTime(client.query(`begin; set local statement_timeout = ${statementMsMax}`))
    await write(client)
    await inTime(client.query('commit')).catch(refused)
  } catch (error) {
    broken = await rolledBack(client, error)
    throw error
  } finally {
    client.release(broken)
  }
}

/** Why the connection is of no more use, if so. One that does not answer is not asked again. */
async function rolledBack(client: pg.PoolClient, failure: unknown): Promise<Error | undefined> {
  if (failure instanceof LogError && failure.code === 'unavailable') return failure
  return await answered(client.query('rollback'), answerMsMax).then(
    () => undefined,
    (error: Error) => error,
  )
}

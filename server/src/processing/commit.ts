import { LogError } from '@pulse/log'
import { ensureDay } from '@pulse/log/postgres/day-partitions'
import type pg from 'pg'
import { inTime, inTransaction } from '../database/ask.ts'
import type { Outcome } from './outcome.ts'

/** PostgreSQL refused what an event brought or its handler made of it; `cause` says why. */
export class RefusedRows extends Error {
  override name = 'RefusedRows'
  constructor(cause: unknown) {
    super('rows were refused', { cause })
  }
}

/**
 * Runs `write` in one transaction. Makes the day partitions of rows that are missing (after a long sleep of the
 * machine, or for events older than the database) and then tries again. Rejects with RefusedRows if the data is at
 * fault, which deferred constraints tell only at the commit; with LogError `unavailable` if an answer does not come in
 * time; else with what was thrown.
 */
export async function commitRows(
  pool: pg.Pool,
  outcomes: readonly Outcome[],
  write: (tx: pg.PoolClient) => Promise<void>,
): Promise<void> {
  try {
    await inTransaction(pool, write, refuseIf(isDataAtFault))
  } catch (error) {
    if (!isMissingDay(error)) throw error
    await makeDays(pool, outcomes)
    await inTransaction(pool, write, refuseIf(isDataAtFault))
  }
}

async function makeDays(pool: pg.Pool, outcomes: readonly Outcome[]): Promise<void> {
  const days = new Set(outcomes.map(({ work }) => Math.floor(work.record.receivedAt / 86_400_000_000)))
  const client = await pool.connect()
  let broken: Error | undefined
  try {
    for (const day of days) await inTime(ensureDay(client, 'events', day * 86_400_000))
  } catch (error) {
    if (error instanceof LogError) broken = error
    throw error
  } finally {
    client.release(broken)
  }
}

/** For `catch`: throws RefusedRows if the test holds, else what it was given. */
export const refuseIf =
  (atFault: (error: unknown) => boolean) =>
  (error: unknown): never => {
    throw atFault(error) ? new RefusedRows(error) : error
  }

const stateOf = (error: unknown): string => {
  const { code } = error as { code?: unknown }
  return typeof code === 'string' ? code : ''
}

/**
 * Class 22: a value, 23: a constraint, 54: too long for an index; P0001: raised by a trigger. Class 42 is not among
 * them: in a statement of ours it means that a table is not as it should be, and no event can help that.
 */
export const isDataAtFault = (error: unknown): boolean =>
  /^(22|23|54)...$|^P0001$/.test(stateOf(error)) && !isMissingDay(error)

// The class of what passes: lost connections, conflicts with others, want of means, and errors of the server itself.
const passing = /^(08|25|40|53|57|58|XX)...$|^55P03$/

/** True if the database gave a statement up because it took too long: half of it may not. */
export const isTooSlow = (error: unknown): boolean => stateOf(error) === '57014'

/** Rows for a team's own tables are refused by all that does not pass by itself, a missing table included. */
export const isRowAtFault = (error: unknown): boolean =>
  /^[0-9A-Z]{5}$/.test(stateOf(error)) && stateOf(error) !== 'EPIPE' && !passing.test(stateOf(error))

function isMissingDay(error: unknown): boolean {
  const { table, constraint } = error as { table?: string; constraint?: string }
  return stateOf(error) === '23514' && table === 'events' && constraint === undefined
}

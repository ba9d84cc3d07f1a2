import type pg from 'pg'

/**
 * Runs the work in a transaction, which is rolled back if it throws. A server that is stopped in the middle (a frozen
 * machine keeps its connections) loses the transaction and the locks in it after five seconds. A lock of the session it
 * would keep for as long as it stands still, so what others wait for is only ever locked in here.
 */
export async function inTransaction<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  await client.query(`begin; set local idle_in_transaction_session_timeout = '5s'`)
  try {
    const result = await work()
    await client.query('commit')
    return result
  } catch (error) {
    await client.query('rollback').catch(() => {})
    throw error
  }
}

import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { openServices } from '@pulse/dev/services'
import pg from 'pg'
import { limitedQuery } from './limited-query.ts'

const services = await openServices(['postgres'])
after(() => services[Symbol.asyncDispose]())

// Both wait for the end of the time that a query has.
describe('a query whose answer does not come', { concurrency: true, skip: services.skip('postgres') }, () => {
  test('a query that is over its time says so', async () => {
    const pool = new pg.Pool({ connectionString: services.address('postgres'), max: 1 })
    await assert.rejects(limitedQuery(pool, 'select pg_sleep(30)', []), { code: 'query_timeout' })
    assert.deepEqual(await limitedQuery(pool, 'select 1 as one', []), [{ one: 1 }])
    await pool.end()
  })

  test('a database that is stopped in the middle is answered for as unavailable, and its connection is given up', async () => {
    const pool = new pg.Pool({ connectionString: services.address('postgres'), max: 1 })
    const [backend] = await limitedQuery<{ pid: number }>(pool, 'select pg_backend_pid() as pid', [])
    const pid = backend?.pid ?? assert.fail('no backend')
    process.kill(pid, 'SIGSTOP')
    try {
      await assert.rejects(limitedQuery(pool, 'select 1 as one', []), { code: 'unavailable' })
      assert.deepEqual(await limitedQuery(pool, 'select 2 as two', []), [{ two: 2 }])
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    await pool.end()
  })
})

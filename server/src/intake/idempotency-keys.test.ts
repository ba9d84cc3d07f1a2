import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { openServices } from '@pulse/dev/services'
import pg from 'pg'
import { claimKey } from './idempotency-keys.ts'

const services = await openServices(['postgres'])
after(() => services[Symbol.asyncDispose]())

test('a claim on a database that is stopped in the middle is given up, so its request can be answered', {
  skip: services.skip('postgres'),
}, async () => {
  const pool = new pg.Pool({ connectionString: services.address('postgres'), max: 1 })
  const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid')
  const pid = rows[0]?.pid ?? assert.fail('no backend')
  process.kill(pid, 'SIGSTOP')
  try {
    await assert.rejects(claimKey(pool, 'somebody', 'a-key', Buffer.from('{}')), { code: 'unavailable' })
  } finally {
    process.kill(pid, 'SIGCONT')
  }
  await pool.end()
})

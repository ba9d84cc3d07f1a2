import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { test } from 'node:test'
import type { Pool } from 'pg'
import type { Database } from './database.ts'
import { ask, openTrial, until } from './database-trial.ts'

/** Close to the most that lies between two checkpoints, or what a slow machine writes in the time. */
const load = { walBytes: 300_000_000, msMax: 20_000, idsPerCommit: 2_000, batchBytes: 150_000 } as const

test('a database killed under load is ready again within 5 seconds, with every acknowledged id and no half batch', async () => {
  await using trial = await openTrial()
  const database = await trial.open()
  await ask(database, 'create table ids (id uuid primary key, batch int, at bigint, position bigint)')
  await ask(database, 'create table batches (batch int primary key, bytes bytea)')
  await ask(database, 'alter table batches alter column bytes set storage external')
  const pool = database.pool('load', { max: 4 })
  const acked: number[] = []
  const stop = new AbortController()
  const lanes = [0, 1, 2, 3].map((lane) => keepWriting(pool, { lane, acked, signal: stop.signal }))
  const startedMs = performance.now()
  await until(
    'enough is written',
    async () => (await walBytes(database)) > load.walBytes || performance.now() - startedMs > load.msMax,
    load.msMax + 10_000,
  )
  process.kill(await trial.postmaster(), 'SIGKILL')
  stop.abort()
  await until('the loss is noticed', () => database.status().kind === 'down', 5_000)
  const tookMs = await until('it is ready again', () => database.status().kind === 'up', 60_000)
  await Promise.all(lanes)
  assert.ok(tookMs < 5_000, `${Math.round(tookMs)} ms`)
  const kept = await ask<{ batch: number; n: number }>(
    database,
    'select batch, count(*)::int as n from ids group by batch',
  )
  const batches = await ask<{ batch: number }>(database, 'select batch from batches')
  const byBatch = new Map(kept.map((row) => [row.batch, row.n]))
  assert.deepEqual(
    acked.filter((batch) => byBatch.get(batch) !== load.idsPerCommit),
    [],
    'acknowledged and lost',
  )
  assert.deepEqual(
    kept.filter((row) => row.n !== load.idsPerCommit),
    [],
    'half a commit',
  )
  assert.equal(batches.length, kept.length)
  assert.ok(
    kept.length - acked.length <= lanes.length,
    'at most what was under way is there without an acknowledgement',
  )
})

async function walBytes(database: Database): Promise<number> {
  const rows = await ask<{ bytes: string }>(
    database,
    'select pg_current_wal_lsn() - redo_lsn as bytes from pg_control_checkpoint()',
  )
  return Number(rows[0]?.bytes)
}

/** Writes what the log writes: random ids into a unique index, and incompressible bytes. Ends with the first error after the signal. */
async function keepWriting(
  pool: Pool,
  to: { lane: number; acked: number[]; signal: AbortSignal },
): Promise<void> {
  const text = `with kept as (insert into ids select id, $2, 1, 1 from unnest($1::uuid[]) id)
    insert into batches values ($2, $3)`
  for (let batch = to.lane; !to.signal.aborted; batch += 4) {
    const ids = Array.from({ length: load.idsPerCommit }, () => randomUUID())
    try {
      await pool.query({ name: 'keep', text, values: [ids, batch, randomBytes(load.batchBytes)] })
      to.acked.push(batch)
    } catch (error) {
      if (!to.signal.aborted) throw error
    }
  }
}

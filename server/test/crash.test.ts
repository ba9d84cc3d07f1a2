import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { assertNoViolation } from '@pulse/dev/faults/audit'
import type { FaultReport } from '@pulse/dev/faults/fault-report'
import { type Fault, killRounds } from '@pulse/dev/faults/kill-rounds'

const readyMsMax = 5_000

async function check(t: TestContext, fault: Fault, rounds: number): Promise<FaultReport> {
  const seed = Math.floor(Math.random() * 2 ** 31)
  t.diagnostic(`seed ${seed}`)
  const report = await killRounds(fault, { rounds, seed, tell: (line) => t.diagnostic(line) })
  assertNoViolation(report.findings)
  const acked = report.ledger.acked.size
  assert.ok(acked > 0 && report.findings.rows >= acked, `${acked} acknowledged, ${report.findings.rows} rows`)
  return report
}

test('EF-10 EF-12 EF-30 EF-39 kill -9 of the server under load: what was acknowledged is there once, in order, nothing else is', async (t) => {
  const { recoveryMs } = await check(t, 'server-killed', 3)
  // The bound is generous on a quiet machine (0.9 s); it is a promise, so it is held on a busy one too.
  for (const ms of recoveryMs) assert.ok(ms < readyMsMax * 3, `ready after ${ms} ms`)
})

test('EF-12 EF-39 kill -9 of the database under load: the server brings it back by itself and loses nothing it acknowledged', async (t) => {
  await check(t, 'database-killed', 3)
})

test('EF-12 EF-39 a server and a database that are stopped for a while under load go on without loss or repeat', async (t) => {
  await check(t, 'server-stopped', 1)
  await check(t, 'database-stopped', 1)
})

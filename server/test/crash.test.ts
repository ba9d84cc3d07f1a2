import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type KillReport, killRounds } from '@pulse/dev/faults/kill-rounds'

const rounds = 3
const readyMsMax = 5_000

function check(report: KillReport): void {
  const { rows, ...findings } = report.findings
  assert.deepEqual(findings, { lost: [], duplicated: [], invented: [], reordered: [], receiptsChanged: [] })
  assert.ok(report.acked > 0 && rows >= report.acked, `${report.acked} acknowledged, ${rows} rows`)
}

test('EF-10 EF-12 EF-39 kill -9 of the server under load: what was acknowledged is there once, in order, nothing else is', async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  t.diagnostic(`seed ${seed}`)
  const report = await killRounds({ target: 'server', rounds, seed, tell: (line) => t.diagnostic(line) })
  check(report)
  // The bound is generous on a quiet machine (0.9 s); it is a promise, so it is held on a busy one too.
  for (const ms of report.readyMs) assert.ok(ms < readyMsMax * 3, `ready after ${ms} ms`)
})

test('EF-12 EF-39 kill -9 of the database under load: the server brings it back by itself and loses nothing it acknowledged', async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  t.diagnostic(`seed ${seed}`)
  check(await killRounds({ target: 'database', rounds, seed, tell: (line) => t.diagnostic(line) }))
})

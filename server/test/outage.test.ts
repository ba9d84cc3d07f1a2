import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { assertNoViolation, audit, untilQuiet } from '@pulse/dev/faults/audit'
import { type Installation, openInstallation } from '@pulse/dev/faults/installation'
import { Ledger, produce } from '@pulse/dev/faults/ledger'
import { signalTree } from '@pulse/dev/faults/process-tree'
import { randomOf } from '@pulse/dev/faults/random'
import { eventually } from '@pulse/dev/services/eventually'
import { findPostgres, freshDatabase, type Postgres, startPostgres } from '@pulse/dev/services/postgres'
import type { PulseProcess } from '@pulse/dev/services/pulse'
import { type Answer, aPurchase, callerOf } from './journey.ts'

// A database that hangs is given 10 s per statement and as long again to come back, before the answer is "not now".
const answerMsMax = 25_000

let postgres: Postgres
before(async () => {
  const bin = await findPostgres()
  assert.ok(bin, 'npm’s PostgreSQL is not installed')
  postgres = await startPostgres(bin)
})
after(() => postgres[Symbol.asyncDispose]())

async function onFreshDatabase(settings: Readonly<Record<string, string>> = {}): Promise<Installation> {
  const database = await freshDatabase(postgres.address)
  const installation = await openInstallation({ databaseUrl: database.url, settings })
  return {
    ...installation,
    [Symbol.asyncDispose]: async () => {
      await installation[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    },
  }
}

const postmaster = async () =>
  Number((await readFile(join(postgres.dataFolder, 'postmaster.pid'), 'utf8')).split('\n', 1)[0])

const statusOf = async (server: PulseProcess, path: string) => (await fetch(`${server.url}${path}`)).status

const untilStatus = (server: PulseProcess, path: string, status: number, msMax: number) =>
  eventually(
    `${path} answers ${status}`,
    async () => ((await statusOf(server, path)) === status ? true : undefined),
    msMax,
  )

function assertNotNow(answer: Answer): void {
  assert.equal(answer.status, 503, JSON.stringify(answer.body))
  assert.ok(Number(answer.headers.get('retry-after')) > 0)
  assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/)
  assert.equal(answer.body.code, 'unavailable')
}

/** Looks at everything that says how the server is, while its database is away. */
async function assertTold(server: PulseProcess): Promise<void> {
  await untilStatus(server, '/readyz', 503, 5_000)
  await untilStatus(server, '/health', 503, 5_000)
  // The log may be missed before the database is: each is asked by itself.
  const isMissed = async () => {
    const health = (await (await fetch(`${server.url}/health`)).json()) as Record<string, unknown>
    return health.database === false ? health : undefined
  }
  const health = await eventually('/health misses the database', isMissed, 5_000)
  assert.equal(health.status, 'unhealthy')
  assert.deepEqual(health.services, { ...(health.services as object), database: 'down' })
  assert.equal(await statusOf(server, '/livez'), 200)
}

test('EF-05 without any worker events are accepted, and processed as soon as a worker starts', async () => {
  await using installation = await onFreshDatabase()
  const front = await installation.start({ ROLES: 'intake,query' })
  const call = callerOf(front)
  const sent = [aPurchase(), aPurchase(), aPurchase()]
  for (const event of sent) assert.equal((await call('POST', '/events', event)).status, 202)
  assert.equal((await call('GET', `/events/${sent[0]?.event_id}`)).body.status, 'accepted')
  assert.equal((await installation.query('select 1 from events')).length, 0)
  await installation.start({ ROLES: 'processing' })
  for (const event of sent)
    await eventually(
      'it is processed',
      async () =>
        (await call('GET', `/events/${event.event_id}`)).body.status === 'processed' ? true : undefined,
      10_000,
    )
})

test('EF-12 EF-13 kill -9 of an external database: 503 with Retry-After within 25 s, the same event sent again is one row, and no hand is needed', async (t) => {
  await using installation = await onFreshDatabase()
  const server = await installation.start()
  const call = callerOf(server)
  const before = aPurchase()
  const first = await call('POST', '/events', before)
  assert.equal(first.status, 202)
  await signalTree(await postmaster(), 'SIGKILL')
  const during = aPurchase()
  const askedMs = performance.now()
  assertNotNow(await call('POST', '/events', during))
  const tookMs = performance.now() - askedMs
  t.diagnostic(`503 after ${Math.round(tookMs)} ms`)
  assert.ok(tookMs < answerMsMax)
  // One that was acknowledged may be asked for again as well: nothing wrong is said about it.
  const repeated = await call('POST', '/events', before)
  assert.ok([202, 503].includes(repeated.status))
  await assertTold(server)
  const list = await call('POST', '/events', [during])
  assert.equal(list.status, 503)
  assert.ok(Number(list.headers.get('retry-after')) > 0)
  await postgres.start()
  await untilStatus(server, '/readyz', 200, 15_000)
  const kept = await call('POST', '/events', during)
  assert.equal(kept.status, 202)
  const again = await call('POST', '/events', during)
  assert.deepEqual(again.body.receipt, kept.body.receipt)
  assert.deepEqual((await call('POST', '/events', before)).body.receipt, first.body.receipt)
  await untilQuiet(server)
  const rows = await installation.query('select event_id from events order by received_at')
  assert.deepEqual(
    rows.map((row) => row.event_id),
    [before.event_id, during.event_id],
  )
})

test('EF-13 a database that hangs: the answer is 503 with Retry-After within 25 s, and what hung is there at most once afterwards', async (t) => {
  await using installation = await onFreshDatabase()
  const server = await installation.start()
  const call = callerOf(server)
  const before = aPurchase()
  assert.equal((await call('POST', '/events', before)).status, 202)
  const pid = await postmaster()
  await signalTree(pid, 'SIGSTOP')
  const during = aPurchase()
  try {
    const askedMs = performance.now()
    const asked = call('POST', '/events', during)
    await assertTold(server)
    assertNotNow(await asked)
    const tookMs = performance.now() - askedMs
    t.diagnostic(`503 after ${Math.round(tookMs)} ms`)
    assert.ok(tookMs < answerMsMax)
  } finally {
    await signalTree(pid, 'SIGCONT')
  }
  await untilStatus(server, '/readyz', 200, 15_000)
  const sendAgain = async () => {
    const answer = await call('POST', '/events', during)
    return answer.status === 202 ? answer : undefined
  }
  const kept = await eventually('it is accepted', sendAgain, 15_000)
  assert.deepEqual((await call('POST', '/events', during)).body.receipt, kept.body.receipt)
  await untilQuiet(server)
  const rows = await installation.query('select event_id from events')
  assert.deepEqual(new Set(rows.map((row) => row.event_id)), new Set([before.event_id, during.event_id]))
  assert.equal(rows.length, 2)
})

test('EF-08 EF-13 the database stops for 5 s under load: what was accepted is processed after it is back, nothing is lost or doubled', async () => {
  await using installation = await onFreshDatabase()
  const server = await installation.start()
  const ledger = new Ledger()
  const ended = new AbortController()
  const target = { url: () => server.url, key: server.key }
  const producers = Array.from({ length: 4 }, (_, n) =>
    produce(target, ledger, { key: `key-${n}`, batch: 20, random: randomOf(n + 1), signal: ended.signal }),
  )
  const untilAcked = (count: number) =>
    eventually(`${count} acknowledged`, async () => (ledger.acked.size >= count ? true : undefined), 30_000)
  await untilAcked(300)
  await postgres.stop('crash')
  const stoppedMs = performance.now()
  await assertTold(server)
  // What was committed before the stop may have been answered, or read here, a moment after it.
  const lastAcked = ledger.acked.size
  const fiveSeconds = async () => (performance.now() - stoppedMs > 5_000 ? true : undefined)
  await eventually('5 s have passed', fiveSeconds, 6_000)
  assert.equal(ledger.acked.size, lastAcked, 'something was acknowledged without a database')
  await postgres.start()
  await untilAcked(lastAcked + 300)
  ended.abort()
  await Promise.all(producers)
  await untilQuiet(server)
  const findings = await audit(server, ledger)
  assertNoViolation(findings)
  assert.ok(findings.rows >= ledger.acked.size)
})

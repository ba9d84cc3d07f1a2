import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { assertNoViolation, audit, untilQuiet } from '@pulse/dev/faults/audit'
import { type Installation, openInstallation } from '@pulse/dev/faults/installation'
import { Ledger } from '@pulse/dev/faults/ledger'
import { openServices, type Services } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { freshDatabase } from '@pulse/dev/services/postgres'
import { databasePidOf, type PulseProcess, startPulse } from '@pulse/dev/services/pulse'
import { callerOf } from './journey.ts'

const exitMsMax = 10_000

let services: Services
before(async () => {
  services = await openServices(['postgres'])
})
after(() => services[Symbol.asyncDispose]())

/** What clients that go on sending see while a server ends. */
interface Seen {
  readonly ledger: Ledger
  readonly statuses: Map<number, number>
  /** Requests that ended in anything but an answer or a refused connection, and answers that lacked what they owe. */
  readonly improper: string[]
}

/** Sends one event after the other, over a connection that is kept, until it is told to go elsewhere. */
async function sendUntilTold(server: PulseProcess, seen: Seen, key: string): Promise<void> {
  for (let n = 0; ; n++) {
    const event = { event_id: randomUUID(), event_type: 'custom', user_id: key, properties: { n } }
    seen.ledger.unknown.add(event.event_id)
    try {
      const answer = await fetch(`${server.url}/events`, {
        method: 'POST',
        headers: { authorization: `Bearer ${server.key}`, 'content-type': 'application/json' },
        body: JSON.stringify(event),
      })
      const body = (await answer.json()) as { code?: string; receipt?: { position: string } }
      seen.statuses.set(answer.status, (seen.statuses.get(answer.status) ?? 0) + 1)
      if (answer.status === 202) seen.ledger.ack(event.event_id, body.receipt?.position ?? '')
      else {
        seen.ledger.unknown.delete(event.event_id)
        if (answer.status !== 503 || body.code !== 'shutting_down' || !answer.headers.has('retry-after'))
          seen.improper.push(`${answer.status} ${JSON.stringify(body)}`)
        return
      }
    } catch (error) {
      const { cause } = error as { cause?: { code?: string; message?: string } }
      if (cause?.code !== 'ECONNREFUSED') seen.improper.push(`${cause?.code}: ${cause?.message}`)
      return
    }
  }
}

/** Looks at readiness, as a load balancer does, until the server cannot be reached any more. */
async function watchReadiness(server: PulseProcess): Promise<string[]> {
  const changes: string[] = []
  for (;;) {
    const now = await fetch(`${server.url}/readyz`).then(
      async (answer) => {
        await answer.arrayBuffer()
        return String(answer.status)
      },
      () => undefined,
    )
    if (now === undefined) return [...changes, 'gone']
    if (now !== changes.at(-1)) changes.push(now)
  }
}

test('EF-11 SIGTERM under load: not ready first, what was accepted is finished, exit 0 within 10 s, the database stops, nothing is lost', async (t) => {
  const data = await mkdtemp(join(tmpdir(), 'pulse-shutdown-'))
  // The one before left its database running, as a crash does: the one that is stopped has adopted it.
  await (await startPulse(data)).kill()
  const server = await startPulse(data)
  let again: PulseProcess | undefined
  try {
    const adopted = await databasePidOf(data)
    const seen: Seen = { ledger: new Ledger(), statuses: new Map(), improper: [] }
    const senders = Array.from({ length: 16 }, (_, n) => sendUntilTold(server, seen, `key-${n}`))
    const readiness = watchReadiness(server)
    await eventually('load', async () => (seen.ledger.acked.size > 500 ? true : undefined), 20_000)
    const askedMs = performance.now()
    assert.equal(await server.stop(), 0)
    const tookMs = performance.now() - askedMs
    await Promise.all(senders)
    t.diagnostic(`exit after ${Math.round(tookMs)} ms; ${[...seen.statuses].map(([s, n]) => `${n} x ${s}`)}`)
    t.diagnostic(`readiness: ${(await readiness).join(', ')}`)
    assert.ok(tookMs < exitMsMax, `exit after ${tookMs} ms`)
    assert.deepEqual(seen.improper, [])
    assert.deepEqual(await readiness, ['200', '503', 'gone'])
    assert.ok((seen.statuses.get(503) ?? 0) > 0, 'nobody was told that it is shutting down')
    assert.ok(adopted !== undefined)
    assert.equal(await databasePidOf(data), undefined, 'the adopted database still runs')
    again = await startPulse(data)
    await untilQuiet(again)
    const findings = await audit(again, seen.ledger)
    assertNoViolation(findings)
    assert.equal(findings.rows, seen.ledger.acked.size, 'a refused event was kept')
  } finally {
    await server.kill()
    await again?.stop()
    await rm(data, { recursive: true, force: true, maxRetries: 5 })
  }
})

const slowConfig = `
import { appendFileSync } from 'node:fs'
export default {
  partitions: 2,
  handlerConcurrency: 2,
  handlers: {
    'slow.*': async (event) => {
      appendFileSync(process.env.TRACES + '/begun', event.event_id + '\\n')
      await new Promise((done) => setTimeout(done, Number(process.env.SLOW_MS)))
    },
  },
}`

interface Slow extends AsyncDisposable {
  readonly installation: Installation
  start(slowMs: number): Promise<PulseProcess>
  begun(): Promise<string[]>
  rows(): Promise<number>
}

async function openSlow(): Promise<Slow> {
  const database = await freshDatabase(services.address('postgres'))
  const installation = await openInstallation({ databaseUrl: database.url, configText: slowConfig })
  const { folder } = installation
  return {
    installation,
    start: (slowMs) => installation.start({ TRACES: folder, SLOW_MS: String(slowMs) }),
    begun: async () =>
      (await readFile(join(folder, 'begun'), 'utf8').catch(() => '')).split('\n').filter((id) => id !== ''),
    rows: async () => (await installation.query('select 1 from events')).length,
    async [Symbol.asyncDispose]() {
      await installation[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    },
  }
}

const slowEvents = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ event_type: 'slow.work', user_id: `user-${n}` }))

test('EF-11 SIGTERM in front of a long backlog: the events in work are committed, no other is begun, and none is done twice', async () => {
  await using slow = await openSlow()
  // Fifteen seconds of work: more than the time that a server may take to end.
  const server = await slow.start(50)
  await callerOf(server)('POST', '/events', slowEvents(600))
  await eventually('some are done', async () => ((await slow.begun()).length > 20 ? true : undefined), 10_000)
  const askedMs = performance.now()
  assert.equal(await server.stop(), 0)
  assert.ok(performance.now() - askedMs < exitMsMax, 'it went on with its backlog')
  const begun = await slow.begun()
  assert.ok(begun.length < 300)
  assert.equal(await slow.rows(), begun.length, 'what was in work is not committed')
  await slow.start(0)
  await eventually('the rest is done', async () => ((await slow.rows()) === 600 ? true : undefined), 20_000)
  const all = await slow.begun()
  assert.equal(new Set(all).size, all.length, 'an event was handled twice')
})

test('a signal that arrives twice at once is one; a second one later ends the server now, and its work is done by the next', async () => {
  await using slow = await openSlow()
  const patient = await slow.start(1_000)
  await callerOf(patient)('POST', '/events', slowEvents(1))
  const inWork = (count: number) => async () => ((await slow.begun()).length === count ? true : undefined)
  await eventually('the first is in work', inWork(1), 10_000)
  patient.process.kill('SIGTERM')
  assert.equal(await patient.stop(), 0)
  assert.equal(await slow.rows(), 1)

  const pressed = await slow.start(20_000)
  await callerOf(pressed)('POST', '/events', slowEvents(1))
  await eventually('the second is in work', inWork(2), 10_000)
  pressed.process.kill('SIGTERM')
  const askedMs = performance.now()
  const later = async () => (performance.now() - askedMs > 700 ? true : undefined)
  await eventually('it is no echo any more', later, 2_000)
  assert.equal(await pressed.stop(), 143, pressed.log().slice(-2_000))
  assert.ok(performance.now() - askedMs < exitMsMax)
  await slow.start(0)
  await eventually(
    'the next server does it',
    async () => ((await slow.rows()) === 2 ? true : undefined),
    30_000,
  )
})

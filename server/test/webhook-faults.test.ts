import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type Installation, openInstallation } from '@pulse/dev/faults/installation'
import { openServices, type Services } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { freshDatabase } from '@pulse/dev/services/postgres'
import { databasePidOf, type PulseProcess, startPulse } from '@pulse/dev/services/pulse'
import type { Webhook } from '@pulse/protocol/webhook'
import { callerOf } from './journey.ts'
import { openReceiver, orderFaults, slow, type WebhookReceiver } from './webhook-receiver.ts'

// What webhooks do when servers die, stop or lose their lease: nothing is lost, keys stay in order, a repeat has its id.

const settings = {
  RATE_LIMIT_KEY: '',
  WEBHOOK_ALLOW_PRIVATE: 'true',
  WEBHOOK_RETRY_BASE_MS: '50',
  WEBHOOK_RETRY_MAX_MS: '200',
}

let services: Services
before(async () => {
  services = await openServices(['postgres'])
})
after(() => services[Symbol.asyncDispose]())

const type = 'hook.fault'

async function makeWebhook(server: PulseProcess, receiver: WebhookReceiver): Promise<string> {
  const made = await callerOf(server)('POST', '/webhooks', {
    ...{ subscriber_id: 'faults', url: receiver.url },
    filter: { event_types: [type] },
  })
  assert.equal(made.status, 201, JSON.stringify(made.body))
  return (made.body as unknown as Webhook).id
}

const get = async (server: PulseProcess, id: string) =>
  (await callerOf(server)('GET', `/webhooks/${id}`)).body as unknown as Webhook

/** Posts events whose `n` counts up per key, and knows what was acknowledged. */
function createProducer(keys: number) {
  const next = new Array<number>(keys).fill(0)
  const sent: string[] = []
  return {
    sent,
    async post(server: PulseProcess, count: number): Promise<void> {
      const events = Array.from({ length: count }, (_, i) => {
        const key = i % keys
        const n = next[key] ?? 0
        next[key] = n + 1
        return { event_id: randomUUID(), event_type: type, user_id: `key_${key}`, properties: { n } }
      })
      const { body } = await callerOf(server)('POST', '/events', events)
      assert.equal(body.accepted, count)
      sent.push(...events.map(({ event_id }) => event_id))
    },
  }
}

/** Fails unless every event has come, in order per key, one at a time. */
function assertSound(receiver: WebhookReceiver, sent: readonly string[]): { repeats: number } {
  const came = new Set(receiver.requests.map(({ id }) => id))
  assert.deepEqual(
    sent.filter((id) => !came.has(id)),
    [],
    'nothing is lost',
  )
  assert.equal(came.size, sent.length, 'nothing is invented')
  assert.deepEqual(orderFaults(receiver.requests), [])
  assert.equal(receiver.atOnceOfKey(), 1, 'one request of a key at a time')
  return { repeats: receiver.requests.length - came.size }
}

test('kill -9 of the server while it delivers: every event comes, in order per key, repeats with their ids', async (t) => {
  const data = await mkdtemp(join(tmpdir(), 'pulse-webhooks-'))
  t.after(() => rm(data, { recursive: true, force: true, maxRetries: 5 }))
  // Slow enough that every kill meets requests under way.
  await using receiver = await openReceiver(slow(5))
  let server = await startPulse(data, settings)
  t.after(() => server.stop())
  const id = await makeWebhook(server, receiver)
  const producer = createProducer(20)
  for (let round = 0; round < 3; round++) {
    await producer.post(server, 400)
    await receiver.events(producer.sent.length - 300, 30_000)
    await server.kill()
    server = await startPulse(data, settings)
  }
  await producer.post(server, 20)
  await receiver.events(producer.sent.length, 30_000)
  const { repeats } = assertSound(receiver, producer.sent)
  t.diagnostic(`${repeats} of ${producer.sent.length} came again`)
  await eventually(
    'all is dealt with',
    async () => (await get(server, id)).status === 'active' || undefined,
    5_000,
  )
})

async function onFreshDatabase(): Promise<Installation> {
  const database = await freshDatabase(services.address('postgres'))
  const installation = await openInstallation({ databaseUrl: database.url, settings })
  return {
    ...installation,
    [Symbol.asyncDispose]: async () => {
      await installation[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    },
  }
}

/** The server of these that delivers. */
async function holderOf(servers: readonly PulseProcess[]): Promise<PulseProcess> {
  return await eventually(
    'one server delivers',
    async () => {
      const holding: PulseProcess[] = []
      for (const server of servers) {
        const { data } = (await callerOf(server)('GET', '/streams?subscriber=faults')).body
        if (data.some(({ transport }) => transport === 'webhook')) holding.push(server)
      }
      assert.ok(holding.length <= 1, 'never two at once')
      return holding[0]
    },
    15_000,
  )
}

test('a receiver that is down for long costs the server no memory and nothing is lost: it waits in the log', async () => {
  await using installation = await onFreshDatabase()
  const server = await installation.start({ WEBHOOK_ATTEMPTS: '100' })
  let isDown = true
  await using receiver = await openReceiver((_request, response) => {
    response.writeHead(isDown ? 502 : 200).end()
  })
  const id = await makeWebhook(server, receiver)
  const producer = createProducer(200)
  for (let n = 0; n < 5; n++) await producer.post(server, 2_000)
  const stalled = async () => {
    const { data } = (await callerOf(server)('GET', '/streams')).body
    const stream = data.find(({ transport }) => transport === 'webhook')
    return stream && Number(stream.delivered) >= 1_000 && Number(stream.delivered) < 5_000 ? true : undefined
  }
  await eventually('it takes no more', stalled, 30_000)
  const isFailing = async () => (await get(server, id)).status === 'failing' || undefined
  await eventually('it is failing', isFailing, 15_000)
  isDown = false
  await receiver.events(10_000, 60_000)
  const { repeats: failedRequests } = assertSound(receiver, producer.sent)
  assert.ok(failedRequests > 0)
  const done = await eventually(
    'all are counted',
    async () => {
      const now = await get(server, id)
      return now.delivered === 10_000 ? now : undefined
    },
    10_000,
  )
  assert.deepEqual([done.status, done.reason, done.given_up], ['active', null, 0])
})

test('the database dies while it delivers: what was taken is not lost, dead letters are kept, and it goes on', async (t) => {
  const data = await mkdtemp(join(tmpdir(), 'pulse-webhooks-'))
  t.after(() => rm(data, { recursive: true, force: true, maxRetries: 5 }))
  // The first of every key is never taken, so that dead letters are to be kept while there is nothing to keep them in.
  await using receiver = await openReceiver(({ event }, response) => {
    setTimeout(() => response.writeHead(event.properties.n === 0 ? 500 : 200).end(), 5)
  })
  const server = await startPulse(data, { ...settings, WEBHOOK_ATTEMPTS: '3' })
  t.after(() => server.stop())
  const id = await makeWebhook(server, receiver)
  const producer = createProducer(20)
  await producer.post(server, 400)
  const pid = await databasePidOf(data)
  assert.ok(pid !== undefined)
  await receiver.count(20)
  process.kill(pid, 'SIGKILL')
  const back = async () => ((await fetch(`${server.url}/readyz`)).status === 200 ? true : undefined)
  await receiver.count(40)
  await eventually('the database is back', back, 60_000)
  await receiver.events(400, 60_000)
  const settled = await eventually(
    'all is counted',
    async () => {
      const now = await get(server, id)
      return now.given_up >= 20 && now.delivered >= 380 ? now : undefined
    },
    30_000,
  )
  t.diagnostic(
    `${settled.delivered} taken, ${settled.given_up} given up, ${receiver.requests.length} requests`,
  )
  const { data: letters } = (await callerOf(server)('GET', `/dead-letters?event_type=${type}&limit=100`)).body
  assert.equal(letters.length, 20, 'each is a dead letter once')
  assert.deepEqual(orderFaults(receiver.requests), [])
  assert.equal(server.process.exitCode, null)
})

// Each has servers of its own, and most of their time is waiting: for a lease, or for what a receiver takes its time for.
describe('webhooks whose server stops, dies or freezes', { concurrency: 2 }, () => {
  test('two servers, one delivers; when it is killed the other one goes on once the lease is over', async (t) => {
    await using installation = await onFreshDatabase()
    const servers = [await installation.start(), await installation.start()] as const
    await using receiver = await openReceiver(slow(5))
    await makeWebhook(servers[0], receiver)
    const producer = createProducer(20)
    await producer.post(servers[1], 200)
    await receiver.events(200)
    const holder = await holderOf(servers)
    const other = servers.find((server) => server !== holder)
    assert.ok(other)
    await producer.post(other, 400)
    await receiver.events(300)
    await holder.kill()
    const came = new Set(receiver.requests.map(({ id }) => id)).size
    const killedMs = performance.now()
    // A lease of six seconds and a turn of two.
    await receiver.events(came + 1, 15_000)
    t.diagnostic(`taken over after ${Math.round(performance.now() - killedMs)} ms`)
    await receiver.events(producer.sent.length, 20_000)
    assertSound(receiver, producer.sent)
  })

  test('an owner that freezes past its lease does not move the position when it wakes, and nothing is lost', async (t) => {
    await using installation = await onFreshDatabase()
    const servers = [await installation.start(), await installation.start()] as const
    await using receiver = await openReceiver(slow(5))
    const id = await makeWebhook(servers[0], receiver)
    const producer = createProducer(10)
    const holder = await holderOf(servers)
    const other = servers.find((server) => server !== holder)
    assert.ok(other)
    await producer.post(other, 300)
    await receiver.events(100)
    holder.process.kill('SIGSTOP')
    await receiver.events(producer.sent.length, 30_000)
    await producer.post(other, 100)
    await receiver.events(producer.sent.length, 30_000)
    // Everything is counted and nothing waits, so a position that stays is the last one.
    const looks: string[] = []
    const settled = await eventually(
      'the new owner has committed',
      async () => {
        const { delivered, waiting_since, position } = await get(other, id)
        if (delivered < producer.sent.length || waiting_since !== null) return undefined
        looks.unshift(position)
        return looks.length >= 20 && looks.slice(0, 20).every((one) => one === looks[0])
          ? looks[0]
          : undefined
      },
      30_000,
    )
    const before = receiver.requests.length
    holder.process.kill('SIGCONT')
    const hasNoticed = async () => /no longer delivers a webhook/.test(holder.log()) || undefined
    await eventually('the old owner lets go', hasNoticed, 15_000)
    assert.equal((await get(other, id)).position, settled)
    t.diagnostic(`${receiver.requests.length - before} requests of the old owner came after it woke`)
    await producer.post(other, 50)
    await receiver.events(producer.sent.length, 15_000)
    const came = new Set(receiver.requests.map(({ id: one }) => one))
    assert.deepEqual(
      producer.sent.filter((one) => !came.has(one)),
      [],
    )
  })

  test('a stop lets go at once: the next start sends nothing again', async (t) => {
    const data = await mkdtemp(join(tmpdir(), 'pulse-webhooks-'))
    t.after(() => rm(data, { recursive: true, force: true, maxRetries: 5 }))
    // Four seconds of work for each key: the stop comes long before its end.
    await using receiver = await openReceiver(slow(100))
    let server = await startPulse(data, settings)
    t.after(() => server.stop())
    await makeWebhook(server, receiver)
    const producer = createProducer(10)
    await producer.post(server, 400)
    await receiver.events(50)
    assert.equal(await server.stop(), 0)
    assert.ok(receiver.requests.length < 400)
    server = await startPulse(data, settings)
    const startedMs = performance.now()
    await receiver.events(400, 60_000)
    t.diagnostic(`went on and was done ${Math.round(performance.now() - startedMs)} ms after it was ready`)
    assert.deepEqual(assertSound(receiver, producer.sent), { repeats: 0 })
  })

  test('a receiver that never answers does not hold up a stop, and gets its event again from the next start', async (t) => {
    const data = await mkdtemp(join(tmpdir(), 'pulse-webhooks-'))
    t.after(() => rm(data, { recursive: true, force: true, maxRetries: 5 }))
    await using receiver = await openReceiver(() => {})
    let server = await startPulse(data, settings)
    t.after(() => server.stop())
    await makeWebhook(server, receiver)
    const producer = createProducer(1)
    await producer.post(server, 1)
    await receiver.count(1)
    const askedMs = performance.now()
    assert.equal(await server.stop(), 0)
    const tookMs = Math.round(performance.now() - askedMs)
    t.diagnostic(`stopped after ${tookMs} ms`)
    assert.ok(tookMs < 10_000)
    receiver.behave((_request, response) => void response.end())
    server = await startPulse(data, settings)
    await receiver.count(2)
    assert.equal(receiver.requests[0]?.id, receiver.requests[1]?.id)
  })
})

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import { openInstallation } from '@pulse/dev/faults/installation'
import { openServices } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { freshDatabase } from '@pulse/dev/services/postgres'
import { startPulse } from '@pulse/dev/services/pulse'
import type { NewWebhook, Webhook } from '@pulse/protocol/webhook'
import { callerOf } from './journey.ts'
import {
  damageBatch,
  ofAnotherLog,
  openStreamJourney,
  restoreAtNextStart,
  type StreamJourney,
  trimTo,
} from './stream-journey.ts'
import { isSigned, openReceiver, type ReceivedRequest, type WebhookReceiver } from './webhook-receiver.ts'

// A receiver is told of events that it will not get, before it gets those that follow.

const settings = {
  ...{ RATE_LIMIT_KEY: '', WEBHOOK_ALLOW_PRIVATE: 'true', WEBHOOK_ATTEMPTS: '4' },
  ...{ WEBHOOK_RETRY_BASE_MS: '50', WEBHOOK_RETRY_MAX_MS: '200' },
}

let journey: StreamJourney
before(async () => {
  journey = await openStreamJourney(settings)
})
after(() => journey?.[Symbol.asyncDispose]())

type Call = ReturnType<typeof callerOf>

const shown = (call: Call, id: string, is: (webhook: Webhook) => boolean) =>
  eventually(
    'the webhook shows it',
    async () => {
      const now = (await call('GET', `/webhooks/${id}`)).body as unknown as Webhook
      return is(now) ? now : undefined
    },
    30_000,
  )

const typesOf = (requests: readonly ReceivedRequest[]) => requests.map(({ event }) => event.event_type)

const anEvent = (type: string, user = 'u') => ({
  ...{ event_id: randomUUID(), event_type: type, user_id: user, properties: {} },
})

test('what retention took is told in a signed message, before what follows, until the receiver has taken it', async () => {
  const type = `gap.${randomUUID().slice(0, 8)}`
  let refusals = 0
  await using receiver = await openReceiver(({ event }, response) => {
    const isRefused = event.event_type === 'pulse.gap' && refusals++ < 2
    void response.writeHead(isRefused ? 500 : 200).end()
  })
  const subscriber_id = await journey.subscriber({ event_types: [type] })
  const made = await journey.call('POST', '/webhooks', { subscriber_id, url: receiver.url })
  const { id, secret, position } = made.body as unknown as NewWebhook
  assert.equal((await journey.call('PATCH', `/webhooks/${id}`, { status: 'paused' })).status, 200)
  const isLetGo = async () => {
    const { data } = (await journey.call('GET', `/streams?subscriber=${subscriber_id}`)).body
    return data.length === 0 ? true : undefined
  }
  await eventually('it is let go', isLetGo, 15_000)
  const lost = anEvent(type)
  await journey.post([lost])
  await journey.until(lost.event_id, 'processed')
  const to = await journey.end()
  await trimTo(journey, to)
  // Of several keys, none of which may overtake the message.
  const kept = ['a', 'b', 'c', 'd'].map((user) => anEvent(type, user))
  await journey.post(kept)
  assert.equal((await journey.call('PATCH', `/webhooks/${id}`, { status: 'active' })).status, 200)
  await receiver.count(7)
  assert.deepEqual(typesOf(receiver.requests), [...Array(3).fill('pulse.gap'), ...Array(4).fill(type)])
  const [first, second, third] = receiver.requests
  assert.ok(first && second && third)
  for (const told of [first, second, third]) {
    assert.ok(await isSigned(secret, told))
    assert.deepEqual([told.id, told.body], [first.id, first.body])
  }
  const { properties } = first.event
  assert.deepEqual([properties.reason, properties.from], ['retention', position])
  const told = await shown(journey.call, id, ({ delivered }) => delivered === 4)
  const { from, reason } = told.last_gap ?? {}
  assert.deepEqual([told.gaps, from, reason, told.last_gap?.told], [1, position, 'retention', 'yes'])
  assert.equal(told.last_gap?.to, properties.to)
  assert.notEqual(told.last_gap_at, null)
})

test('a receiver that never takes the message gets what follows after the last attempt, and the webhook says so', async () => {
  const type = `gap.${randomUUID().slice(0, 8)}`
  let letGo = () => {}
  const held = new Promise<void>((resolve) => {
    letGo = resolve
  })
  await using receiver = await openReceiver(async ({ event }, response) => {
    const isGap = event.event_type === 'pulse.gap'
    if (isGap) await held
    response.writeHead(isGap ? 400 : 200).end()
  })
  const filter = { event_types: [type] }
  const position = ofAnotherLog(await journey.end())
  const body = { subscriber_id: `gap_${randomUUID()}`, url: receiver.url, filter, position }
  const { id } = (await journey.call('POST', '/webhooks', body)).body as unknown as NewWebhook
  await receiver.count(1)
  const { received_at } = (await journey.call('POST', '/events', anEvent(type))).body
  // What is kept behind the message makes the webhook late, before the first answer too.
  const late = await shown(journey.call, id, ({ waiting_since }) => waiting_since !== null)
  assert.deepEqual([Date.parse(late.waiting_since ?? ''), late.failures], [Date.parse(received_at), 0])
  letGo()
  await receiver.count(5)
  assert.deepEqual(typesOf(receiver.requests), [...Array(4).fill('pulse.gap'), type])
  const told = await shown(journey.call, id, ({ delivered }) => delivered === 1)
  const { gaps, given_up, last_gap, waiting_since } = told
  assert.deepEqual([gaps, given_up, last_gap?.reason, last_gap?.told], [1, 0, 'epoch', 'never'])
  assert.equal(waiting_since, null)
})

/** A receiver that takes nothing until it is told to. */
async function openDown() {
  let isDown = true
  const receiver = await openReceiver((_request, response) => {
    void response.writeHead(isDown ? 500 : 200).end()
  })
  const takeAll = () => {
    isDown = false
  }
  return { receiver, takeAll }
}

const patient = { ...settings, WEBHOOK_ATTEMPTS: '100' }

/** Fails unless one gap was told, again and again, and then these events came; returns the gap. */
function assertOneGap({ requests }: WebhookReceiver, events: readonly { readonly event_id: string }[]) {
  const [first] = requests
  assert.ok(first)
  const came = requests.slice(-events.length).map(({ id }) => id)
  assert.deepEqual(
    came,
    events.map(({ event_id }) => event_id),
  )
  for (const told of requests.slice(0, -events.length)) {
    const { event_type, properties } = told.event
    assert.deepEqual([event_type, told.id, properties], ['pulse.gap', first.id, first.event.properties])
  }
  return first.event.properties
}

/** A server with a webhook that has met a gap of another log, which its receiver was not told of. */
async function openUntold(t: TestContext) {
  const data = await mkdtemp(join(tmpdir(), 'pulse-gaps-'))
  t.after(() => rm(data, { recursive: true, force: true, maxRetries: 5 }))
  const { receiver, takeAll } = await openDown()
  t.after(() => receiver[Symbol.asyncDispose]())
  let server = await startPulse(data, patient)
  t.after(() => server.stop())
  const call: Call = (...asked) => callerOf(server)(...asked)
  const oldest = await call('GET', '/streams/position?at=1970-01-01T00:00:00Z')
  const position = ofAnotherLog((oldest.body as unknown as { position: string }).position)
  const body = { subscriber_id: 'gap', url: receiver.url, filter: { event_types: ['gap.killed'] }, position }
  const { id } = (await call('POST', '/webhooks', body)).body as unknown as NewWebhook
  const untold = await shown(call, id, ({ last_gap }) => last_gap !== null)
  assert.deepEqual([untold.last_gap?.told, untold.position], ['not_yet', position])
  await receiver.count(1)
  const post = async (event: object) => assert.equal((await call('POST', '/events', event)).status, 202)
  const kill = () => server.kill()
  const start = async () => {
    server = await startPulse(data, patient)
  }
  return { data, receiver, takeAll, call, id, untold, post, kill, start }
}

// Each has a server and a database of its own, and most of their time is waiting: for the lease of the killed one.
describe('gaps that a killed server has met', { concurrency: 2 }, () => {
  test('a gap that a killed server could not tell of is told by the next one as it was, counted once, and what came since then is sent', async (t) => {
    const { receiver, takeAll, call, id, untold, post, kill, start } = await openUntold(t)
    const events = [anEvent('gap.killed'), anEvent('gap.killed')]
    for (const event of events) await post(event)
    await kill()
    takeAll()
    await start()
    const told = await shown(call, id, ({ delivered }) => delivered === 2)
    assert.deepEqual([told.gaps, told.last_gap], [1, { ...untold.last_gap, told: 'yes' }])
    assert.notEqual(told.position, untold.position)
    const { reason, from, to } = assertOneGap(receiver, events)
    assert.deepEqual([reason, from, to], ['epoch', untold.position, untold.last_gap?.to])
    const { data } = (await call('GET', '/streams?subscriber=gap')).body
    assert.deepEqual(
      data.map(({ gaps }) => gaps),
      [1],
    )
  })

  test('a gap that was not told before the log became another one once more reaches from the first log to the last', async (t) => {
    const { data, receiver, takeAll, call, id, untold, post, kill, start } = await openUntold(t)
    await post(anEvent('gap.killed'))
    await restoreAtNextStart(data)
    await kill()
    await start()
    const again = await shown(call, id, ({ last_gap }) => last_gap?.to !== untold.last_gap?.to)
    assert.deepEqual([again.gaps, again.position, again.last_gap?.told], [1, untold.position, 'not_yet'])
    const event = anEvent('gap.killed')
    await post(event)
    await kill()
    const { length: before } = receiver.requests
    takeAll()
    await start()
    const told = await shown(call, id, ({ delivered }) => delivered === 1)
    assert.deepEqual([told.gaps, told.last_gap], [1, { ...again.last_gap, told: 'yes' }])
    assert.deepEqual(
      receiver.requests.slice(before).map(({ event }) => [event.event_type, event.properties.to]),
      [
        ['pulse.gap', again.last_gap?.to],
        ['gap.killed', undefined],
      ],
    )
  })

  test('a gap of damage that a killed server could not tell of is told by another one as it was, and what came since then is sent', async (t) => {
    await using services = await openServices(['postgres'])
    await using database = await freshDatabase(services.address('postgres'))
    const one = { ...patient, PARTITIONS: '1' }
    await using installation = await openInstallation({ databaseUrl: database.url, settings: one })
    const { receiver, takeAll } = await openDown()
    t.after(() => receiver[Symbol.asyncDispose]())
    const owner = await installation.start()
    const call = callerOf(owner)
    const { receipt } = (await call('POST', '/events', anEvent('gap.damaged'))).body
    await damageBatch(database.url, receipt.position)
    const oldest = await call('GET', '/streams/position?at=1970-01-01T00:00:00Z')
    const { position } = oldest.body as unknown as { position: string }
    const body = {
      subscriber_id: 'gap',
      url: receiver.url,
      filter: { event_types: ['gap.damaged'] },
      position,
    }
    const { id } = (await call('POST', '/webhooks', body)).body as unknown as NewWebhook
    const untold = await shown(call, id, ({ last_gap }) => last_gap !== null)
    assert.deepEqual([untold.last_gap?.told, untold.position], ['not_yet', position])
    const event = anEvent('gap.damaged')
    assert.equal((await call('POST', '/events', event)).status, 202)
    const other = callerOf(await installation.start())
    await receiver.count(1)
    await owner.kill()
    takeAll()
    const told = await shown(other, id, ({ delivered }) => delivered === 1)
    assert.deepEqual([told.gaps, told.last_gap], [1, { ...untold.last_gap, told: 'yes' }])
    assert.equal(assertOneGap(receiver, [event]).reason, 'corrupt')
  })

  for (const taken of ['nothing', 'the message of it only'])
    test(`a gap of damage reaches as far as it did, although events before it are sent again, where the receiver had taken ${taken}`, async (t) => {
      await using services = await openServices(['postgres'])
      await using database = await freshDatabase(services.address('postgres'))
      const two = { ...patient, PARTITIONS: '2' }
      await using installation = await openInstallation({ databaseUrl: database.url, settings: two })
      const receiver = await openReceiver(({ event }, response) => {
        // What is not answered does not fail: a second failure would block its key, and the position pass it.
        if (taken !== 'nothing' && event.event_type === 'pulse.gap') response.end()
      })
      t.after(() => receiver[Symbol.asyncDispose]())
      const owner = await installation.start()
      const call = callerOf(owner)
      const post = async (event: object) => (await call('POST', '/events', event)).body.receipt.position
      const before = anEvent('gap.behind')
      await post(before)
      await damageBatch(database.url, await post(anEvent('gap.behind')))
      const oldest = await call('GET', '/streams/position?at=1970-01-01T00:00:00Z')
      const { position } = oldest.body as unknown as { position: string }
      const filter = { event_types: ['gap.behind'] }
      const body = { subscriber_id: 'gap', url: receiver.url, filter, position }
      const { id } = (await call('POST', '/webhooks', body)).body as unknown as NewWebhook
      const told = taken === 'nothing' ? 'not_yet' : 'yes'
      const met = await shown(call, id, ({ last_gap }) => last_gap?.told === told)
      assert.deepEqual([met.last_gap?.reason, met.position], ['corrupt', position])
      // Of the partition that is damaged, and of others: where a stream stands there differs from run to run.
      const since = ['u', 'a', 'b', 'c', 'd'].map((user) => anEvent('gap.behind', user))
      for (const event of since) await post(event)
      const other = callerOf(await installation.start())
      const { length } = receiver.requests
      await owner.kill()
      receiver.behave((_request, response) => void response.end())
      const done = await shown(
        other,
        id,
        ({ delivered, last_gap }) => delivered === 6 && last_gap?.told === 'yes',
      )
      assert.deepEqual([done.gaps, done.last_gap], [1, { ...met.last_gap, told: 'yes' }])
      const messages = receiver.requests.filter(({ event }) => event.event_type === 'pulse.gap')
      assert.equal(new Set(messages.map((one) => one.id)).size, 1)
      const came = new Set(receiver.requests.slice(length).map((one) => one.id))
      for (const { event_id } of [before, ...since]) assert.ok(came.has(event_id))
    })
})

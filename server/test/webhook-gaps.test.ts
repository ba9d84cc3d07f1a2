import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { eventually } from '@pulse/dev/services/eventually'
import { startPulse } from '@pulse/dev/services/pulse'
import type { NewWebhook, Webhook } from '@pulse/protocol/webhook'
import { callerOf } from './journey.ts'
import { ofAnotherLog, openStreamJourney, type StreamJourney, trimTo } from './stream-journey.ts'
import { isSigned, openReceiver, type ReceivedRequest } from './webhook-receiver.ts'

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
    15_000,
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

test('a gap that a killed server could not tell of is told by the next one, with the same id, and counted once', async (t) => {
  const data = await mkdtemp(join(tmpdir(), 'pulse-gaps-'))
  t.after(() => rm(data, { recursive: true, force: true, maxRetries: 5 }))
  const type = 'gap.killed'
  let isDown = true
  await using receiver = await openReceiver((_request, response) => {
    void response.writeHead(isDown ? 500 : 200).end()
  })
  const patient = { ...settings, WEBHOOK_ATTEMPTS: '100' }
  let server = await startPulse(data, patient)
  t.after(() => server.stop())
  const call: Call = (...asked) => callerOf(server)(...asked)
  const body = { subscriber_id: 'gap', url: receiver.url, filter: { event_types: [type] } }
  const { position: now } = (await call('POST', '/webhooks', body)).body as unknown as NewWebhook
  const position = ofAnotherLog(now)
  const made = await call('POST', '/webhooks', { ...body, position })
  const { id } = made.body as unknown as NewWebhook
  const waiting = await shown(call, id, ({ last_gap }) => last_gap !== null)
  assert.deepEqual([waiting.last_gap?.told, waiting.position], ['not_yet', position])
  await receiver.count(1)
  await server.kill()
  const before = receiver.requests.length
  isDown = false
  server = await startPulse(data, patient)
  await receiver.count(before + 1, 30_000)
  const told = await shown(call, id, ({ last_gap }) => last_gap?.told === 'yes')
  assert.equal(told.gaps, 1)
  assert.notEqual(told.position, position)
  assert.deepEqual(new Set(typesOf(receiver.requests)), new Set(['pulse.gap']))
  assert.equal(new Set(receiver.requests.map((request) => request.id)).size, 1)
})

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { eventually } from '@pulse/dev/services/eventually'
import type { NewWebhook, Webhook, WebhookTest } from '@pulse/protocol/webhook'
import { metric, openStreamJourney, type StreamJourney } from './stream-journey.ts'
import { answer, isSigned, openReceiver, orderFaults } from './webhook-receiver.ts'

let journey: StreamJourney
before(async () => {
  journey = await openStreamJourney({
    RATE_LIMIT_KEY: '',
    WEBHOOK_ALLOW_PRIVATE: 'true',
    WEBHOOK_ATTEMPTS: '4',
    WEBHOOK_RETRY_BASE_MS: '50',
    WEBHOOK_RETRY_MAX_MS: '200',
    WEBHOOK_TIMEOUT_MS: '1000',
  })
})
after(() => journey?.[Symbol.asyncDispose]())

async function make(body: object): Promise<NewWebhook> {
  const answer = await journey.call('POST', '/webhooks', body)
  assert.equal(answer.status, 201, JSON.stringify(answer.body))
  return answer.body as unknown as NewWebhook
}

const get = async (id: string) => (await journey.call('GET', `/webhooks/${id}`)).body as unknown as Webhook

/** Events of a type that no other test uses, `n` counting up per key. */
function eventsOf(type: string, count: number, keys = 5) {
  return Array.from({ length: count }, (_, i) => ({
    ...{ event_id: randomUUID(), event_type: type, user_id: `${type}_${i % keys}` },
    properties: { n: Math.floor(i / keys) },
  }))
}

const freshType = () => `hook.${randomUUID().slice(0, 8)}`

async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  return await eventually(what, look, 15_000)
}

test('what a subscriber’s stored filter matches is sent, in order per key, signed as another implementation signs it', async () => {
  await using receiver = await openReceiver()
  const type = freshType()
  const subscriber = await journey.subscriber({ event_types: [type] })
  const { secret, ...made } = await make({ subscriber_id: subscriber, url: receiver.url })
  assert.deepEqual(await get(made.id), made)
  assert.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/)
  const events = eventsOf(type, 40)
  await journey.post([...events, ...eventsOf(`${type}.other`, 5)])
  await receiver.events(40)
  assert.deepEqual(orderFaults(receiver.requests), [])
  assert.equal(receiver.atOnceOfKey(), 1)
  assert.deepEqual(
    receiver.requests.map(({ id }) => id).sort(),
    events.map(({ event_id }) => event_id).sort(),
  )
  for (const request of receiver.requests) {
    assert.equal(request.headers['content-type'], 'application/json')
    assert.equal(request.id, request.event.event_id)
    assert.ok(await isSigned(secret, request))
  }
  const [first] = receiver.requests
  assert.ok(first)
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64').toString('hex')
  const signed = `${first.id}.${first.headers['webhook-timestamp']}.${first.body}`
  const openssl = ['dgst', '-sha256', '-mac', 'HMAC', '-macopt', `hexkey:${key}`, '-binary']
  const expected = execFileSync('openssl', openssl, { input: signed }).toString('base64')
  assert.equal(first.headers['webhook-signature'], `v1,${expected}`)
  assert.ok(Math.abs(Number(first.headers['webhook-timestamp']) - Date.now() / 1_000) < 60)
  const done = await until('40 counted', async () => {
    const now = await get(made.id)
    return now.delivered === 40 ? now : undefined
  })
  assert.equal(done.status, 'active')
  assert.notEqual(done.position, made.position)
})

test('a filter of its own needs no stored one, and events since a position are sent too', async () => {
  await using receiver = await openReceiver()
  const type = freshType()
  const position = await journey.end()
  await journey.post(eventsOf(type, 10))
  const { id } = await make({
    ...{ subscriber_id: `sub_${randomUUID()}`, url: receiver.url, position },
    filter: { expression: `event_type = "${type}" and properties.n = 1` },
  })
  await receiver.events(5)
  await journey.post(eventsOf(type, 10))
  await receiver.events(10)
  assert.ok(receiver.requests.every(({ event }) => event.properties.n === 1))
  const streams = (await journey.call('GET', '/streams')).body.data
  assert.ok(streams.some(({ transport }) => transport === 'webhook'))
  await journey.call('DELETE', `/webhooks/${id}`)
})

test('a receiver that fails holds up its key and no other, and gets the same id again', async () => {
  const type = freshType()
  const tries = new Map<string, number>()
  await using receiver = await openReceiver((request, response) => {
    const before = tries.get(request.id) ?? 0
    tries.set(request.id, before + 1)
    const isFirstOfKey = request.event.user_id === `${type}_0` && request.event.properties.n === 0
    void response.writeHead(isFirstOfKey && before < 2 ? 500 : 200).end()
  })
  const subscriber = await journey.subscriber({ event_types: [type] })
  const { id } = await make({ subscriber_id: subscriber, url: receiver.url })
  const events = eventsOf(type, 20)
  await journey.post(events)
  await receiver.count(22)
  assert.deepEqual(orderFaults(receiver.requests), [])
  assert.equal(tries.get(events[0]?.event_id ?? ''), 3)
  const ofKey = receiver.requests.filter(({ event }) => event.user_id === `${type}_0`)
  assert.deepEqual(
    ofKey.map(({ event }) => event.properties.n),
    [0, 0, 0, 1, 2, 3],
  )
  await until('all counted', async () => ((await get(id)).delivered === 20 ? true : undefined))
})

test('what no attempt delivers becomes a dead letter, the next of its key comes, and a redrive sends it again', async () => {
  const type = freshType()
  let isBroken = true
  await using receiver = await openReceiver(({ event }, response) => {
    void response.writeHead(isBroken && event.properties.n === 0 ? 503 : 204).end()
  })
  const subscriber = await journey.subscriber({ event_types: [type] })
  const { id } = await make({ subscriber_id: subscriber, url: receiver.url })
  const [event, next] = eventsOf(type, 2, 1)
  assert.ok(event && next)
  await journey.post([event, next])
  await receiver.events(2)
  assert.deepEqual(
    receiver.requests.map((request) => request.event.properties.n),
    [0, 0, 0, 0, 1],
  )
  const letters = async () => (await journey.call('GET', `/dead-letters?event_type=${type}`)).body.data
  const [letter] = await until('a dead letter', async () => {
    const found = await letters()
    return found.length > 0 ? found : undefined
  })
  assert.ok(letter)
  assert.equal(letter.handler, `webhook:${id}`)
  assert.equal(letter.attempts, 4)
  assert.deepEqual(letter.error, { class: 'Status', message: 'the receiver answered 503' })
  assert.equal((await get(id)).given_up, 1)
  // The event itself was processed: that nobody took its webhook is another matter.
  await journey.until(event.event_id, 'processed')
  isBroken = false
  const redriven = await journey.call('POST', `/dead-letters/${letter.id}/redrive`)
  assert.equal(redriven.status, 202, JSON.stringify(redriven.body))
  await receiver.count(6)
  assert.equal(receiver.requests.at(-1)?.id, event.event_id)
  await until('it is counted', async () => ((await get(id)).delivered === 2 ? true : undefined))
  assert.equal((await letters())[0]?.state, 'redriven')
  assert.equal((await journey.call('POST', `/dead-letters/${letter.id}/redrive`)).status, 409)
})

test('a redriven letter that fails again is the same dead letter again', async () => {
  const type = freshType()
  await using receiver = await openReceiver(answer(400))
  const subscriber = await journey.subscriber({ event_types: [type] })
  const { id } = await make({ subscriber_id: subscriber, url: receiver.url })
  await journey.post(eventsOf(type, 1))
  const dead = () =>
    until('a dead letter', async () => {
      const { data } = (await journey.call('GET', `/dead-letters?event_type=${type}&state=dead`)).body
      return data[0]
    })
  const first = await dead()
  // What was given up waits no more, although nothing comes after it.
  await until('nothing waits', async () => ((await get(id)).waiting_since === null ? true : undefined))
  const listed = await journey.call('GET', `/dead-letters?handler=webhook:${id}`)
  assert.deepEqual(
    listed.body.data.map((letter) => letter.id),
    [first.id],
  )
  assert.deepEqual((await journey.call('GET', '/dead-letters?handler=nobody')).body.data, [])
  assert.equal((await journey.call('POST', `/dead-letters/${first.id}/redrive`)).status, 202)
  await receiver.count(8)
  assert.equal((await dead()).id, first.id)
})

test('a receiver that hangs is given up after the time-out, and the attempt counts', async () => {
  const type = freshType()
  let hangs = true
  await using receiver = await openReceiver((_request, response) => {
    if (!hangs) response.end()
    hangs = false
  })
  const subscriber = await journey.subscriber({ event_types: [type] })
  const { id } = await make({ subscriber_id: subscriber, url: receiver.url })
  await journey.post(eventsOf(type, 1))
  await receiver.count(2)
  const [first, second] = receiver.requests
  assert.ok(first && second && second.atMs - first.atMs >= 990)
  await until('delivered', async () => ((await get(id)).delivered === 1 ? true : undefined))
  assert.notEqual((await get(id)).last_failure_at, null)
})

test('since when the oldest event waits is told, until a receiver has taken it', async () => {
  const type = freshType()
  // It stays away for longer than any test: only a new beginning asks it again.
  await using receiver = await openReceiver(answer(503, { 'retry-after': '3600' }))
  const subscriber = await journey.subscriber({ event_types: [type] })
  const { id, waiting_since, failures } = await make({ subscriber_id: subscriber, url: receiver.url })
  assert.deepEqual({ waiting_since, failures }, { waiting_since: null, failures: 0 })
  const [event] = eventsOf(type, 1)
  assert.ok(event)
  await journey.post([event])
  // It may be stored before the first attempt has failed.
  const waiting = await until('it waits, and its attempt has failed', async () => {
    const now = await get(id)
    return now.waiting_since === null || now.failures === 0 ? undefined : now
  })
  const { received_at } = (await journey.call('GET', `/events/${event.event_id}`)).body
  assert.equal(Date.parse(waiting.waiting_since ?? ''), Date.parse(received_at))
  assert.equal(waiting.failures, 1)
  receiver.behave(answer(204))
  await journey.call('PATCH', `/webhooks/${id}`, { status: 'paused' })
  assert.equal((await get(id)).waiting_since, waiting.waiting_since)
  await journey.call('PATCH', `/webhooks/${id}`, { status: 'active' })
  // Nothing is known to wait before the new beginning has read as far, either.
  await until('it is taken, and nothing waits', async () => {
    const now = await get(id)
    return now.delivered === 1 && now.waiting_since === null ? true : undefined
  })
})

test('a redirect is not followed: it is a failed attempt', async () => {
  const type = freshType()
  await using target = await openReceiver()
  await using receiver = await openReceiver(answer(307, { location: target.url }))
  const subscriber = await journey.subscriber({ event_types: [type] })
  const { id } = await make({ subscriber_id: subscriber, url: receiver.url })
  await journey.post(eventsOf(type, 1))
  await receiver.count(4)
  const failing = await until('it is failing', async () => {
    const now = await get(id)
    return now.status === 'failing' ? now : undefined
  })
  assert.match(failing.reason ?? '', /answered 307; redirects are not followed/)
  assert.equal(target.requests.length, 0)
})

test('410 pauses a webhook; resumed, it begins with the event that was refused', async () => {
  const type = freshType()
  await using receiver = await openReceiver(answer(410))
  const subscriber = await journey.subscriber({ event_types: [type] })
  const { id } = await make({ subscriber_id: subscriber, url: receiver.url })
  await journey.post(eventsOf(type, 3, 1))
  const paused = await until('it is paused', async () => {
    const now = await get(id)
    return now.status === 'paused' ? now : undefined
  })
  assert.equal(paused.reason, 'the receiver answered 410')
  assert.equal(receiver.requests.length, 1)
  receiver.behave(answer(200))
  const resumed = await journey.call('PATCH', `/webhooks/${id}`, { status: 'active' })
  assert.equal(resumed.body.status, 'active')
  await receiver.count(4)
  assert.deepEqual(
    receiver.requests.map(({ event }) => event.properties.n),
    [0, 0, 1, 2],
  )
})

test('429 with Retry-After keeps the whole webhook quiet for so long', async () => {
  const type = freshType()
  let refusals = 0
  await using receiver = await openReceiver((_request, response) => {
    if (refusals++ === 0) response.writeHead(429, { 'retry-after': '2' })
    response.end()
  })
  const subscriber = await journey.subscriber({ event_types: [type] })
  await make({ subscriber_id: subscriber, url: receiver.url })
  const [first, ...others] = eventsOf(type, 10, 10)
  assert.ok(first)
  await journey.post([first])
  await receiver.count(1)
  // Other keys wait too, because it is the receiver that asks for quiet.
  await journey.post(others)
  await receiver.events(10)
  const [refused, next] = receiver.requests
  assert.ok(
    refused && next && next.atMs - refused.atMs >= 1_950,
    `${(next?.atMs ?? 0) - (refused?.atMs ?? 0)}`,
  )
})

test('a paused webhook sends nothing and loses nothing; changed, it sends to the new address', async () => {
  const type = freshType()
  await using before = await openReceiver()
  await using after = await openReceiver()
  const subscriber = await journey.subscriber({ event_types: [type] })
  const { id } = await make({ subscriber_id: subscriber, url: before.url })
  await journey.post(eventsOf(type, 1))
  await before.count(1)
  await journey.call('PATCH', `/webhooks/${id}`, { status: 'paused' })
  await until('it is let go', async () => {
    const { data } = (await journey.call('GET', `/streams?subscriber=${subscriber}`)).body
    return data.length === 0 ? true : undefined
  })
  await journey.post(eventsOf(type, 5))
  const changed = await journey.call('PATCH', `/webhooks/${id}`, { status: 'active', url: after.url })
  assert.equal(changed.status, 200)
  await after.count(5)
  assert.equal(before.requests.length, 1)
  assert.equal((await journey.call('DELETE', `/webhooks/${id}`)).status, 204)
  assert.equal((await journey.call('GET', `/webhooks/${id}`)).status, 404)
})

test('a test event is sent at once, signed, and its fate is the answer', async () => {
  await using receiver = await openReceiver()
  const { id, secret } = await make({ subscriber_id: 'tester', url: receiver.url })
  const good = (await journey.call('POST', `/webhooks/${id}/test`)).body as unknown as WebhookTest
  assert.equal(good.delivered, true)
  const [request] = receiver.requests
  assert.ok(request && (await isSigned(secret, request)))
  assert.equal(request.event.event_type, 'pulse.webhook.test')
  receiver.behave(answer(500))
  const bad = (await journey.call('POST', `/webhooks/${id}/test`)).body as unknown as WebhookTest
  assert.deepEqual([bad.delivered, bad.status], [false, 500])
})

test('what is dealt with is told: metrics by outcome', async () => {
  const text = await (
    await fetch(`${journey.server.url}/metrics`, {
      headers: { authorization: `Bearer ${journey.server.key}` },
    })
  ).text()
  assert.ok(metric(text, 'pulse_webhook_taken_total') > 50)
  assert.ok(metric(text, 'pulse_webhook_given_up_total') >= 2)
  assert.ok(metric(text, 'pulse_webhook_attempts_total', { outcome: '5xx' }) > 0)
  assert.ok(metric(text, 'pulse_webhooks_held') > 0)
})

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { eventually } from '@pulse/dev/services/eventually'
import { databaseUrlOf } from '@pulse/dev/services/pulse'
import type { NewWebhook, Webhook, WebhookTest } from '@pulse/protocol/webhook'
import pg from 'pg'
import { callerOf } from './journey.ts'
import { openStreamJourney, type StreamJourney } from './stream-journey.ts'
import { openReceiver } from './webhook-receiver.ts'

// Who may make webhooks, of whose events, and where to.

let open: StreamJourney
let closed: StreamJourney
before(async () => {
  open = await openStreamJourney({ RATE_LIMIT_KEY: '', WEBHOOK_ALLOW_PRIVATE: 'true' })
  closed = await openStreamJourney({
    ...{ RATE_LIMIT_KEY: '', WEBHOOK_ATTEMPTS: '2', WEBHOOK_RETRY_BASE_MS: '10' },
  })
})
after(async () => {
  await open?.[Symbol.asyncDispose]()
  await closed?.[Symbol.asyncDispose]()
})

const as = (key: string, { server }: StreamJourney = open) => callerOf({ url: server.url, key })
const both = ['filters:write', 'stream:read']
const url = 'https://hooks.example.com/'

test('a token makes webhooks of its own subscriber only, and sees no other’s', async () => {
  const [a, b] = [`a_${randomUUID()}`, `b_${randomUUID()}`]
  const tokenA = as((await open.token(a, { scopes: both })).token)
  const mine = await tokenA('POST', '/webhooks', { subscriber_id: a, url })
  assert.equal(mine.status, 201)
  assert.equal((await tokenA('POST', '/webhooks', { subscriber_id: b, url })).status, 403)
  const other = await open.call('POST', '/webhooks', { subscriber_id: b, url })
  const { id } = other.body as unknown as Webhook
  // Not even that it is there is told.
  for (const [method, path, body] of [
    ['GET', `/webhooks/${id}`, undefined],
    ['PATCH', `/webhooks/${id}`, { url }],
    ['DELETE', `/webhooks/${id}`, undefined],
    ['POST', `/webhooks/${id}/test`, undefined],
  ] as const)
    assert.equal((await tokenA(method, path, body)).status, 404, `${method} ${path}`)
  assert.equal((await tokenA('GET', `/webhooks?subscriber_id=${b}`)).status, 403)
  const listed = (await tokenA('GET', '/webhooks')).body.data as unknown as Webhook[]
  assert.deepEqual(
    listed.map((one) => one.id),
    [(mine.body as unknown as Webhook).id],
  )
  assert.ok(!JSON.stringify((await open.call('GET', '/webhooks?limit=1000')).body).includes('whsec_'))
})

test('a webhook reads a stream: whoever may only write filters can neither make nor redirect one, but pause it', async () => {
  const writer = as((await open.key(['filters:write'])).key)
  assert.equal((await writer('POST', '/webhooks', { subscriber_id: 'a', url })).status, 403)
  const { id } = (await open.call('POST', '/webhooks', { subscriber_id: 'a', url }))
    .body as unknown as Webhook
  assert.equal((await writer('PATCH', `/webhooks/${id}`, { url: `${url}2` })).status, 403)
  assert.equal((await writer('PATCH', `/webhooks/${id}`, { filter: null })).status, 403)
  assert.equal((await writer('PATCH', `/webhooks/${id}`, { status: 'paused' })).status, 200)
  const reader = as((await open.key(['stream:read'])).key)
  assert.equal((await reader('GET', `/webhooks/${id}`)).status, 200)
  assert.equal((await reader('DELETE', `/webhooks/${id}`)).status, 403)
})

test('what a token’s own filter lets through at most holds for its webhooks, also for one that it redirects', async () => {
  const type = `enforced.${randomUUID().slice(0, 8)}`
  const subscriber = await open.subscriber({ event_types: [type] })
  const filter = { expression: 'properties.region = "eu"' }
  const { token } = await open.token(subscriber, { scopes: both, filter })
  await using own = await openReceiver()
  await using led = await openReceiver()
  await using whole = await openReceiver()
  assert.equal(
    (await as(token)('POST', '/webhooks', { subscriber_id: subscriber, url: own.url })).status,
    201,
  )
  const everything = await open.call('POST', '/webhooks', { subscriber_id: subscriber, url: whole.url })
  const { id } = everything.body as unknown as NewWebhook
  const post = async (regions: readonly string[]) =>
    void (await open.post(
      regions.map((region) => ({ event_type: type, user_id: region, properties: { region } })),
    ))
  // Streams of webhooks are shown to those who may read their subscriber.
  const filtered = {
    subscriber_id: `other_${subscriber}`,
    url: whole.url,
    filter: { event_types: [`${type}.x`] },
  }
  await open.call('POST', '/webhooks', filtered)
  await open.live(filtered.subscriber_id)
  const seen = (await as(token)('GET', '/streams')).body.data
  assert.deepEqual([...new Set(seen.map((one) => one.subscriber))], [subscriber])
  await post(['us', 'eu'])
  await whole.count(2)
  assert.equal((await as(token)('PATCH', `/webhooks/${id}`, { url: led.url })).status, 200)
  await post(['us', 'eu', 'us', 'eu'])
  await led.count(2)
  await own.count(3)
  await post(['eu'])
  await Promise.all([led.count(3), own.count(4)])
  for (const receiver of [led, own])
    assert.ok(receiver.requests.every(({ event }) => event.properties.region === 'eu'))
  assert.deepEqual([led.requests.length, own.requests.length, whole.requests.length], [3, 4, 2])
})

test('without WEBHOOK_ALLOW_PRIVATE private places are refused, and the refusal says what would allow them', async () => {
  for (const place of [
    ...['http://hooks.example.com/', 'https://127.0.0.1/', 'https://localhost:9/', 'https://[::1]/'],
    ...['https://169.254.169.254/latest/', 'https://10.0.0.1/', 'https://[fd00::1]/', 'https://0/'],
  ]) {
    const answer = await closed.call('POST', '/webhooks', { subscriber_id: 'a', url: place })
    assert.equal(answer.status, 400, place)
    const { code, errors } = answer.body as unknown as {
      code: string
      errors: { pointer: string; detail: string }[]
    }
    assert.equal(code, 'invalid_request')
    assert.equal(errors[0]?.pointer, '/url')
    assert.match(errors[0]?.detail ?? '', /WEBHOOK_ALLOW_PRIVATE=true/)
  }
  const made = await closed.call('POST', '/webhooks', { subscriber_id: 'a', url })
  const { id } = made.body as unknown as NewWebhook
  assert.equal((await closed.call('PATCH', `/webhooks/${id}`, { url: 'https://127.0.0.1/' })).status, 400)
})

test('a webhook that a server without WEBHOOK_ALLOW_PRIVATE finds with a private address is not sent to', async () => {
  // As after a restart with another setting: the row is there already. A made-up host cannot be resolved everywhere.
  await using receiver = await openReceiver()
  const type = `private.${randomUUID().slice(0, 8)}`
  const made = await closed.call('POST', '/webhooks', {
    ...{ subscriber_id: 'a', url: 'https://hooks.example.com/', filter: { event_types: [type] } },
  })
  const { id } = made.body as unknown as NewWebhook
  await closed.call('PATCH', `/webhooks/${id}`, { status: 'paused' })
  await withDatabase(closed, 'update pulse.webhooks set url = $2 where id = $1', [id, receiver.url])
  await closed.call('PATCH', `/webhooks/${id}`, { status: 'active' })
  const tried = async () => {
    const result = (await closed.call('POST', `/webhooks/${id}/test`)).body as unknown as WebhookTest
    assert.match(result.error ?? '', /127\.0\.0\.1 is not an address of the public internet/)
  }
  await tried()
  await closed.post([{ event_type: type, user_id: 'u', properties: {} }])
  const letter = await eventually(
    'a dead letter',
    async () => (await closed.call('GET', `/dead-letters?event_type=${type}`)).body.data[0],
    15_000,
  )
  assert.deepEqual((letter.error as { class: string }).class, 'RefusedAddressError')
  assert.equal(receiver.requests.length, 0)
})

async function withDatabase(
  { server }: StreamJourney,
  text: string,
  values: readonly unknown[],
): Promise<void> {
  const client = new pg.Client({ connectionString: await databaseUrlOf(server.data) })
  await client.connect()
  await client.query(text, [...values])
  await client.end()
}

test('a body that is wrong says where; a subscriber has at most 20; ids that are none are refused', async () => {
  const wrong = [
    [{ subscriber_id: 'a', url: 'there' }, 400],
    [{ subscriber_id: 'a', url: 'https://u:p@hooks.example.com/' }, 400],
    [{ subscriber_id: 'a', url, filter: { expression: 'nonsense =' } }, 422],
    [{ subscriber_id: 'a', url, position: 'nowhere' }, 400],
    [{ subscriber_id: 'a', url, position: 'events~1~99.0~0' }, 400],
    [{ subscriber_id: 'a', url, more: true }, 400],
    [{ url }, 400],
  ] as const
  for (const [body, status] of wrong)
    assert.equal((await open.call('POST', '/webhooks', body)).status, status, JSON.stringify(body))
  const subscriber_id = `many_${randomUUID()}`
  for (let n = 0; n < 20; n++)
    assert.equal((await open.call('POST', '/webhooks', { subscriber_id, url })).status, 201)
  assert.equal((await open.call('POST', '/webhooks', { subscriber_id, url })).status, 409)
  const first = (await open.call('GET', `/webhooks?subscriber_id=${subscriber_id}&limit=15`)).body
  assert.deepEqual([first.data.length, first.has_more], [15, true])
  const query = `subscriber_id=${subscriber_id}&limit=15&cursor=${first.cursor}`
  const second = (await open.call('GET', `/webhooks?${query}`)).body
  assert.deepEqual([second.data.length, second.has_more, second.cursor], [5, false, null])
  assert.equal((await open.call('GET', `/webhooks/${randomUUID()}`)).status, 404)
  assert.equal((await open.call('GET', '/webhooks/none')).status, 400)
})

test('filters that are stored, changed and deleted later change what is sent, from their place on', async () => {
  const type = `later.${randomUUID().slice(0, 8)}`
  const subscriber_id = `later_${randomUUID()}`
  await using receiver = await openReceiver()
  const post = async (...kinds: string[]) =>
    void (await open.post(
      kinds.map((kind) => ({ event_type: `${type}.${kind}`, user_id: 'u', properties: {} })),
    ))
  assert.equal((await open.call('POST', '/webhooks', { subscriber_id, url: receiver.url })).status, 201)
  await post('a')
  await open.call('POST', '/filters', { subscriber_id, event_types: [`${type}.b`] })
  await post('a', 'b')
  await receiver.count(1)
  await open.call('PUT', `/filters/${subscriber_id}`, { event_types: [`${type}.c`] })
  await post('b', 'c')
  await receiver.count(2)
  await open.call('DELETE', `/filters/${subscriber_id}/default`)
  await post('c')
  await open.call('POST', '/filters', { subscriber_id, name: 'again', event_types: [`${type}.d`] })
  await post('c', 'd')
  await receiver.count(3)
  assert.deepEqual(
    receiver.requests.map(({ event }) => event.event_type.slice(-1)),
    ['b', 'c', 'd'],
  )
})

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { eventually } from '@pulse/dev/services/eventually'
import { subprotocol } from '@pulse/protocol/frames'
import { EventStreamReader, FrameReader, handshakeStatus, idsOf, TestSocket } from './stream-client.ts'
import { openStreamJourney, type StreamJourney } from './stream-journey.ts'

// Who may open which stream, what of it they see, and when that ends.

/** A revoked credential closes its sockets within a few seconds. */
const revokedMsMax = 10_000

let journey: StreamJourney
before(async () => {
  journey = await openStreamJourney({ RATE_LIMIT_KEY: '' })
})
after(() => journey[Symbol.asyncDispose]())

const bearer = (credential: string) => ({ authorization: `Bearer ${credential}` })
const statusOf = (path: string, headers: Readonly<Record<string, string>> = {}) =>
  handshakeStatus(`${journey.server.url}${path}`, headers)
const aPurchase = (amount: number, region = 'eu') => ({
  ...{ event_id: randomUUID(), event_type: 'purchase', user_id: `user_${amount}` },
  properties: { amount, region },
})

test('ES-19 ES-31 without a credential there is no stream and no filter', async () => {
  const subscriber = await journey.subscriber({ event_types: ['purchase'] })
  assert.equal(await statusOf(`/ws/${subscriber}`, bearer('pulse_wrong')), 401)
  const open = (path: string, init: RequestInit = {}) => fetch(`${journey.server.url}${path}`, init)
  assert.equal((await open(`/stream?subscriber=${subscriber}`)).status, 401)
  assert.equal((await open(`/filters/${subscriber}`)).status, 401)
  assert.equal((await open('/streams')).status, 401)
  const body = JSON.stringify({ event_types: ['click'] })
  const headers = { 'content-type': 'application/json' }
  assert.equal((await open(`/filters/${subscriber}`, { method: 'PUT', body, headers })).status, 401)
  await using socket = await TestSocket.open(journey.server, subscriber, { credential: null })
  assert.equal((await socket.ended()).code, 4401, 'a plain socket has no frame to send one in')
  await using late = await TestSocket.open(journey.server, subscriber, {
    credential: null,
    protocol: subprotocol,
  })
  late.send({ type: 'auth', credential: journey.server.key })
  await late.count(1)
  assert.equal(late.messages[0]?.type, 'hello')
})

test('the cookie that a browser adds for a page of another port counts for nothing, and the socket says itself who it is', async () => {
  const { url, key } = journey.server
  const own = await journey.subscriber({ event_types: ['purchase'] })
  const link = (await journey.call('POST', '/admin/sign-in-links', { role: 'admin' })).body
  const token = new URL((link as unknown as { url: string }).url).hash.slice(1)
  const { status, headers } = await journey.call('POST', '/auth/sign-in', { token }, { origin: url })
  assert.equal(status, 200)
  const cookie = String(headers.get('set-cookie')).split(';', 1)[0] ?? ''
  const as = (origin: string) => ({ credential: null, headers: { cookie, origin } })
  const elsewhere = as('http://127.0.0.1:3000')
  await using plain = await TestSocket.open(journey.server, own, elsewhere)
  assert.equal((await plain.ended()).code, 4401)
  // The same cookie from a page of the server's own.
  await using ours = await TestSocket.open(journey.server, own, as(url))
  await journey.live(own)
  await journey.post([aPurchase(1)])
  await ours.count(1)
  await using late = await TestSocket.open(journey.server, own, { ...elsewhere, protocol: subprotocol })
  late.send({ type: 'auth', credential: key })
  await late.count(1)
  assert.equal(late.messages[0]?.type, 'hello')
})

test('ES-19 ES-31 a token for A opens the stream of A, not that of B, and changes no filter of B', async () => {
  const a = await journey.subscriber({ event_types: ['purchase'] })
  const b = await journey.subscriber({ event_types: ['purchase'] })
  const { token } = await journey.token(a, { scopes: ['stream:read', 'filters:write'] })
  assert.equal(await statusOf(`/ws/${b}`, bearer(token)), 403)
  await assert.rejects(EventStreamReader.open(journey.server, { subscriber: b }, bearer(token)), /403/)
  const as = (method: string, path: string, body?: unknown) => journey.call(method, path, body, bearer(token))
  assert.equal((await as('PUT', `/filters/${b}`, { event_types: ['click'] })).status, 403)
  assert.equal((await as('DELETE', `/filters/${b}/default`)).status, 403)
  assert.equal((await as('GET', `/filters/${b}`)).status, 403)
  assert.equal((await as('POST', '/filters', { subscriber_id: b, name: 'x', event_types: [] })).status, 403)
  const [{ event_id } = aPurchase(1)] = [aPurchase(1)]
  assert.equal((await as('GET', `/explain?event=${event_id}&subscriber=${b}`)).status, 403)
  await using other = await TestSocket.open(journey.server, b)
  await journey.live(b)
  using everyone = await EventStreamReader.open(journey.server, { filter: 'event_id exists' })
  assert.ok(everyone)
  const { data } = (await as('GET', '/streams')).body
  assert.deepEqual(data, [], 'nor does it see who listens to B')
  assert.equal((await as('PUT', `/filters/${a}`, { event_types: ['purchase', 'click'] })).status, 200)
  await using own = await FrameReader.open(journey.server, a, { credential: token })
  await journey.post([aPurchase(2)])
  await Promise.all([own.count(1), other.count(1)])
})

test('a filter that the token enforces is asked beside every other: the stored one, that of the socket, and none', async () => {
  const subscriber = await journey.subscriber({ event_types: ['purchase'] })
  const filter = { expression: 'properties.region = "eu"' }
  const { token } = await journey.token(subscriber, { filter })
  await using stored = await FrameReader.open(journey.server, subscriber, { credential: token })
  const first = { filter: { expression: 'event_type = "refund"' } }
  await using own = await FrameReader.open(journey.server, subscriber, { credential: token, first })
  await using socket = await TestSocket.open(journey.server, subscriber, { credential: token })
  const everything = { filter: 'event_id exists' }
  using all = await EventStreamReader.open(journey.server, everything, bearer(token))
  using named = await EventStreamReader.open(journey.server, { subscriber }, bearer(token))
  await journey.live(subscriber, 4)
  const allowed = [aPurchase(1, 'eu'), { ...aPurchase(2, 'eu'), event_type: 'refund' }]
  const hidden = [aPurchase(3, 'us'), { ...aPurchase(4, 'us'), event_type: 'refund' }]
  await journey.post([...hidden, ...allowed])
  const changed = await journey.call('PUT', `/filters/${subscriber}`, { event_types: ['purchase', 'gift'] })
  assert.equal(changed.status, 200)
  const gifts = ['us', 'eu'].map((region) => ({ ...aPurchase(5, region), event_type: 'gift' }))
  await journey.post(gifts)
  await stored.reaches(await journey.end())
  await own.reaches(stored.position)
  await Promise.all([socket.count(2), all.count(3), named.count(2)])
  const [purchase, refund] = idsOf(allowed)
  const gift = idsOf(gifts)[1]
  const both = [purchase, gift].sort()
  for (const ids of [stored.ids, idsOf(socket.messages), idsOf(named.events)])
    assert.deepEqual(ids.toSorted(), both)
  const three = [purchase, refund, gift].sort()
  for (const ids of [own.ids, idsOf(all.events)]) assert.deepEqual(ids.toSorted(), three)
})

test('what the enforced filter hides is not told by /explain either', async () => {
  const subscriber = await journey.subscriber({ event_types: ['purchase'] })
  const filter = { expression: 'properties.region = "eu"' }
  const { token } = await journey.token(subscriber, { filter })
  const [seen, hidden] = [aPurchase(1, 'eu'), aPurchase(2, 'us')]
  await journey.post([seen, hidden])
  const explain = (event: { event_id: string }, credential: string) =>
    journey.call(
      'GET',
      `/explain?event=${event.event_id}&subscriber=${subscriber}`,
      undefined,
      bearer(credential),
    )
  assert.equal((await explain(seen, token)).status, 200)
  assert.equal((await explain(hidden, token)).status, 404)
  assert.equal((await explain(hidden, journey.server.key)).status, 200)
})

test('revoking a key, and a token, closes what is open with 4401, and the stream of nobody else', async () => {
  const subscriber = await journey.subscriber({ event_types: ['purchase'] })
  const key = await journey.key(['stream:read'], 'sub_*')
  const { id, token } = await journey.token(subscriber)
  await using bystander = await TestSocket.open(journey.server, subscriber)
  for (const [credential, revoke] of [
    [key.key, `/admin/keys/${key.id}`],
    [token, `/auth/tokens/${id}`],
  ] as const) {
    await using plain = await TestSocket.open(journey.server, subscriber, { credential })
    await using frames = await FrameReader.open(journey.server, subscriber, { credential })
    using stream = await EventStreamReader.open(journey.server, { subscriber }, bearer(credential))
    await journey.live(subscriber, 4)
    const askedMs = performance.now()
    assert.equal((await journey.call('DELETE', revoke)).status, 204)
    assert.equal((await plain.ended()).code, 4401)
    assert.equal((await frames.socket.ended()).code, 4401)
    assert.deepEqual((await stream.named('close')).data, {
      ...{ code: 4401, reason: 'the credential is not valid any more', come_back: 'never' },
    })
    await eventually('the stream has ended', async () => stream.ended || undefined, revokedMsMax)
    await journey.live(subscriber, 1)
    assert.ok(performance.now() - askedMs < revokedMsMax)
    assert.equal(await statusOf(`/ws/${subscriber}`, bearer(credential)), 401)
  }
  assert.equal(bystander.closedWith, undefined)
})

test('a token that expires closes its socket with 4401', async () => {
  const subscriber = await journey.subscriber({ event_types: ['purchase'] })
  const { token } = await journey.token(subscriber, { expires_in_seconds: 60 })
  const { token: short } = await journey.token(subscriber, { expires_in_seconds: 2 })
  await using long = await TestSocket.open(journey.server, subscriber, { credential: token })
  await using socket = await TestSocket.open(journey.server, subscriber, { credential: short })
  assert.equal((await socket.ended()).code, 4401)
  assert.equal(long.closedWith, undefined)
})

test('a ticket opens one socket, once, for whoever asked for it', async () => {
  const subscriber = await journey.subscriber({ event_types: ['purchase'] })
  const { token } = await journey.token(subscriber)
  const ticket = async () => {
    const { status, body } = await journey.call('POST', '/tickets', undefined, bearer(token))
    assert.ok(status < 300)
    return (body as unknown as { ticket: string }).ticket
  }
  const query = { ticket: await ticket() }
  await using socket = await TestSocket.open(journey.server, subscriber, { credential: null, query })
  await journey.live(subscriber)
  await journey.post([aPurchase(1)])
  await socket.count(1)
  assert.equal(await statusOf(`/ws/${subscriber}?ticket=${query.ticket}`), 401)
  const other = await journey.subscriber({ event_types: ['purchase'] })
  assert.equal(await statusOf(`/ws/${other}?ticket=${await ticket()}`), 403)
  const address = `${journey.server.url}/stream?subscriber=${subscriber}&ticket=${await ticket()}`
  const stop = new AbortController()
  assert.equal((await fetch(address, { signal: stop.signal })).status, 200)
  stop.abort()
  assert.equal((await fetch(address)).status, 401)
})

test('ES-28 whoever asks more often than allowed is told 429 and when to come back, and open streams go on', async () => {
  await using limited = await openStreamJourney({ RATE_LIMIT_KEY: '40/1m' })
  const subscriber = await limited.subscriber({ event_types: ['purchase'] })
  await using socket = await TestSocket.open(limited.server, subscriber)
  await limited.live(subscriber)
  await limited.post([aPurchase(1)])
  let refused: Awaited<ReturnType<typeof limited.call>> | undefined
  for (let n = 0; n < 50 && !refused; n++) {
    const answer = await limited.call('GET', `/filters/${subscriber}`)
    if (answer.status === 429) refused = answer
    else assert.equal(answer.status, 200)
  }
  assert.equal(refused?.body.code, 'rate_limited')
  assert.ok(Number(refused?.headers.get('retry-after')) > 0)
  const address = `${limited.server.url}/ws/${subscriber}`
  assert.equal(await handshakeStatus(address, bearer(limited.server.key)), 429)
  await socket.count(1)
  assert.equal(socket.closedWith, undefined)
})

test('one subscriber may have so many streams and no more; the next is told to come back later', async () => {
  await using limited = await openStreamJourney({
    ...{ STREAM_CONNECTIONS_PER_SUBSCRIBER_MAX: '2', STREAM_CONNECTIONS_MAX: '3', RATE_LIMIT_KEY: '' },
  })
  const subscriber = await limited.subscriber({ event_types: ['purchase'] })
  const other = await limited.subscriber({ event_types: ['purchase'] })
  await using stack = new AsyncDisposableStack()
  const open = async (name: string) => stack.use(await TestSocket.open(limited.server, name))
  const first = await open(subscriber)
  await open(subscriber)
  await limited.live(subscriber, 2)
  assert.equal((await (await open(subscriber)).ended()).code, 4429)
  await assert.rejects(EventStreamReader.open(limited.server, { subscriber }), /429/)
  await open(other)
  await limited.live(other)
  assert.equal((await (await open(other)).ended()).code, 4429, 'the process as a whole has a limit too')
  await first[Symbol.asyncDispose]()
  await limited.live(subscriber, 1)
  await open(subscriber)
  await limited.live(subscriber, 2)
})

test('a key for some subscribers reads what their stored filters let through, and brings no filter of its own', async () => {
  const subscriber = await journey.subscriber({ event_types: ['purchase'] })
  const { key } = await journey.key(['stream:read'], `${subscriber}*`)
  const filter = { expression: 'event_id exists' }
  const open = async () => {
    const socket = await TestSocket.open(journey.server, subscriber, {
      credential: key,
      protocol: subprotocol,
    })
    await socket.count(1)
    return socket
  }
  const refused = (socket: TestSocket) =>
    eventually('a refusal', async () => socket.messages.find(({ type }) => type === 'error'), 20_000)
  await using first = await open()
  first.send({ type: 'subscribe', filter })
  assert.equal((await refused(first)).code, 'forbidden')
  await using later = await open()
  later.send({ type: 'subscribe' })
  later.send({ type: 'filter', filter })
  assert.equal((await refused(later)).code, 'forbidden')
  await journey.post([{ ...aPurchase(1), event_type: 'hidden' }, aPurchase(2)])
  const events = () => later.messages.filter(({ type }) => type === 'event' || type === 'batch')
  await eventually('the event', async () => events()[0], 20_000)
  assert.deepEqual(
    events().map(({ event }) => (event as { event_type: string }).event_type),
    ['purchase'],
  )
  assert.ok(!first.messages.some(({ type }) => type === 'event' || type === 'batch'))
})

test('a member of the query that nobody knows is refused by name, wherever streams are asked for', async () => {
  const subscriber = await journey.subscriber({ event_types: ['purchase'] })
  const event = aPurchase(1)
  await journey.post([event])
  const query = `subscriber=${subscriber}&positon=1`
  for (const path of [
    `/stream?${query}`,
    `/streams?${query}`,
    `/explain?event=${event.event_id}&${query}`,
    `/streams/position?at=2026-01-01T00:00:00Z&positon=1`,
  ]) {
    const answer = await journey.call('GET', path)
    assert.equal(answer.status, 400, path)
    const { code, errors } = answer.body as unknown as { code: string; errors: { pointer: string }[] }
    assert.deepEqual([code, errors.map(({ pointer }) => pointer)], ['invalid_request', ['/positon']], path)
  }
  assert.equal(await statusOf(`/ws/${subscriber}?positon=1`, bearer(journey.server.key)), 400)
  const { status, body } = await journey.call('GET', '/stream?position=1')
  const { detail } = body as unknown as { detail: string }
  assert.deepEqual([status, detail], [400, 'Name exactly one of subscriber and filter.'])
})

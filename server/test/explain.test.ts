import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { eventually } from '@pulse/dev/services/eventually'
import { databaseUrlOf } from '@pulse/dev/services/pulse'
import { subprotocol } from '@pulse/protocol/frames'
import { formatStreamPosition, parseStreamPosition } from '@pulse/protocol/stream-position'
import { FrameReader, TestSocket } from './stream-client.ts'
import { damageBatch, openStreamJourney, type StreamJourney, trimTo } from './stream-journey.ts'
import { openReceiver } from './webhook-receiver.ts'

// Why a subscriber got an event or did not: what each of its open streams says, and to whom.

const settings = { RATE_LIMIT_KEY: '', WEBHOOK_ALLOW_PRIVATE: 'true' }

let journey: StreamJourney
before(async () => {
  journey = await openStreamJourney(settings)
})
after(() => journey?.[Symbol.asyncDispose]())

/** What of an explanation is looked at here. */
interface Explained {
  readonly code?: string
  readonly detail?: string
  readonly verdict: string
  readonly answer: string
  readonly replayable: boolean
  readonly filters: readonly { readonly failed: readonly string[] }[]
  readonly streams: readonly {
    readonly session: string
    readonly transport: string
    readonly state: string
    readonly outcome: string
    readonly reason: string | null
    readonly answer: string
    readonly failed: readonly string[]
  }[]
}

const anEvent = (type = 'purchase', properties: Readonly<Record<string, unknown>> = {}) => ({
  ...{ event_id: randomUUID(), event_type: type, user_id: 'one', properties: { amount: 1, ...properties } },
})

async function ask({ call }: StreamJourney, event: string, subscriber: string, credential?: string) {
  const headers = credential === undefined ? {} : { authorization: `Bearer ${credential}` }
  const path = `/explain?event=${event}&subscriber=${subscriber}`
  const { status, body } = await call('GET', path, undefined, headers)
  return { status, body: body as unknown as Explained }
}

/** What the only stream of a subscriber says. */
async function onlyStream(event: { readonly event_id: string }, subscriber: string, of = journey) {
  const { status, body } = await ask(of, event.event_id, subscriber)
  assert.deepEqual([status, body.streams.length], [200, 1], JSON.stringify(body))
  return { ...body, stream: body.streams[0] as Explained['streams'][number] }
}

const sessionOf = async (reader: FrameReader) => (await reader.frame('hello')).session

test('a stream has sent an event, has not begun, or began behind it', async () => {
  const subscriber = await journey.subscriber({ event_types: ['purchase'] })
  await using early = await FrameReader.open(journey.server, subscriber)
  await using quiet = await TestSocket.open(journey.server, subscriber, { protocol: subprotocol })
  await quiet.count(1)
  const event = anEvent()
  await journey.post([event])
  await early.count(1)
  await using late = await FrameReader.open(journey.server, subscriber)
  await using past = await FrameReader.open(journey.server, subscriber, { position: early.position })
  await using back = await FrameReader.open(journey.server, subscriber, {
    position: (await quiet.messages[0]?.position) as string,
  })
  await back.count(1)
  const { body } = await ask(journey, event.event_id, subscriber)
  assert.deepEqual(Object.fromEntries(body.streams.map(({ session, outcome }) => [session, outcome])), {
    [await sessionOf(early)]: 'sent',
    [String(quiet.messages[0]?.session)]: 'not_yet',
    [await sessionOf(late)]: 'began_after',
    [await sessionOf(past)]: 'began_after',
    [await sessionOf(back)]: 'sent',
  })
  assert.equal(body.verdict, 'matches')
  assert.match(body.answer, /^It matches default\. The socket has sent it\. .*The socket began behind it/)
})

test('a filter of the connection is asked beside the stored ones; what another one did before it is not known', async () => {
  const subscriber = await journey.subscriber({ event_types: ['purchase'] })
  const first = { filter: { expression: 'event_type = "refund"' } }
  await using reader = await FrameReader.open(journey.server, subscriber, { first })
  const [refund, view] = [anEvent('refund'), anEvent('view')]
  await journey.post([refund])
  await reader.count(1)
  const own = await onlyStream(refund, subscriber)
  assert.deepEqual([own.verdict, own.stream.outcome], ['does_not_match', 'sent'])
  reader.socket.send({ type: 'filter', filter: { expression: 'event_type = "click"' } })
  reader.socket.send({ type: 'ping', id: 'changed' })
  const isChanged = async () =>
    reader.frames.some((frame) => frame.type === 'checkpoint' && frame.id === 'changed') || undefined
  await eventually('the filter is changed', isChanged, 20_000)
  await journey.post([view])
  assert.equal((await onlyStream(refund, subscriber)).stream.outcome, 'unknown')
  const { stream } = await onlyStream(view, subscriber)
  assert.deepEqual([stream.outcome, stream.failed], ['no_match', ['event_type = "click": found "view"']])
})

test('a webhook with a filter of its own is among the streams of its subscriber', async () => {
  await using receiver = await openReceiver((_request, response) => void response.writeHead(200).end())
  const subscriber_id = `explained_${randomUUID()}`
  const type = `explained.${randomUUID().slice(0, 8)}`
  const webhook = { subscriber_id, url: receiver.url, filter: { event_types: [type] } }
  assert.equal((await journey.call('POST', '/webhooks', webhook)).status, 201)
  const [event, other] = [anEvent(type), anEvent('view')]
  await journey.post([event, other])
  await receiver.count(1)
  const got = await onlyStream(event, subscriber_id)
  assert.deepEqual([got.verdict, got.stream.transport, got.stream.outcome], ['no_filter', 'webhook', 'sent'])
  assert.match(got.answer, /The webhook has taken it/)
  const { stream } = await onlyStream(other, subscriber_id)
  assert.deepEqual([stream.outcome, stream.failed], ['no_match', [`event_type = "${type}": found "view"`]])
})

test('what a token hides is told to an operator with the test that failed, to another token without it, to its own bearer never', async () => {
  const subscriber = await journey.subscriber({ event_types: ['purchase'] })
  const { token } = await journey.token(subscriber, { filter: { expression: 'properties.region = "eu"' } })
  const { token: free } = await journey.token(subscriber)
  await using reader = await FrameReader.open(journey.server, subscriber, { credential: token })
  const [hidden, seen] = [anEvent('purchase', { region: 'us' }), anEvent('purchase', { region: 'eu' })]
  await journey.post([hidden, seen])
  await reader.count(1)
  assert.equal((await onlyStream(seen, subscriber)).stream.outcome, 'sent')
  const { verdict, stream } = await onlyStream(hidden, subscriber)
  assert.deepEqual([verdict, stream.outcome], ['matches', 'no_permission'])
  assert.deepEqual(stream.failed, ['properties.region = "eu": found "us"'])
  const asFree = (await ask(journey, hidden.event_id, subscriber, free)).body.streams
  assert.deepEqual(
    asFree.map(({ outcome, failed }) => [outcome, failed]),
    [['no_permission', []]],
  )
  const own = await ask(journey, hidden.event_id, subscriber, token)
  const none = await ask(journey, randomUUID(), subscriber, token)
  assert.deepEqual([own.status, own.body.code, own.body.detail], [404, none.body.code, none.body.detail])
})

test('who may read only what the stored filters let through learns which test failed, not what was found', async () => {
  const subscriber = await journey.subscriber({ event_types: ['purchase'] })
  const { token } = await journey.token(subscriber)
  const { token: reading } = await journey.token(subscriber, { scopes: ['stream:read', 'events:read'] })
  const bound = await journey.key(['stream:read'], 'sub_*')
  const elsewhere = await journey.key(['stream:read'], 'user_*')
  const event = anEvent('secret')
  await journey.post([event])
  const failed = async (credential?: string) => {
    const { status, body } = await ask(journey, event.event_id, subscriber, credential)
    return status === 200 ? [...(body.filters[0]?.failed ?? []), body.answer] : [status]
  }
  for (const credential of [token, bound.key]) {
    const told = await failed(credential)
    assert.deepEqual(told, [
      'event_type = "purchase"',
      'No filter matches it. default: event_type = "purchase"',
    ])
  }
  for (const credential of [undefined, reading])
    assert.equal((await failed(credential))[0], 'event_type = "purchase": found "secret"')
  assert.deepEqual(await failed(elsewhere.key), [403])
})

test('readers that are too slow: replay has lost nothing, drop-oldest and conflate say what of it never came', async () => {
  await using stack = new AsyncDisposableStack()
  const subscriber = await journey.subscriber({ event_types: ['large'] })
  const open = async (first: Readonly<Record<string, unknown>>) => {
    const reader = stack.use(await FrameReader.open(journey.server, subscriber, { first }))
    // One that is never resumed does not tell that it was closed.
    stack.defer(() => reader.socket.webSocket.resume())
    reader.socket.webSocket.pause()
    return { reader, session: await sessionOf(reader) }
  }
  const replay = await open({ slow: 'replay' })
  const newest = await open({ slow: 'drop-oldest' })
  const latest = await open({ slow: 'conflate', conflate_by: '/user_id' })
  const all = [replay, newest, latest]
  const saysOf = async (id: string) => {
    const { streams } = (await ask(journey, id, subscriber)).body
    return all.map(({ session }) => streams.find((each) => each.session === session))
  }
  const ids: string[] = []
  const areStuck = async () => {
    const events = Array.from({ length: 20 }, () => anEvent('large', { text: 'x'.repeat(50_000) }))
    await journey.post(events)
    ids.push(...events.map(({ event_id }) => event_id))
    const { data } = (await journey.call('GET', `/streams?subscriber=${subscriber}`)).body
    const hasDropped = data.some(({ session, gaps }) => session === newest.session && Number(gaps) > 0)
    const [waits] = await saysOf(ids.at(-1) ?? '')
    const [, , replaced] = await saysOf(ids.at(-2) ?? '')
    const isLagging = waits?.state === 'lagging' && waits.outcome === 'not_yet'
    return (isLagging && hasDropped && replaced?.outcome === 'replaced') || undefined
  }
  await eventually('all three are too slow', areStuck, 60_000)
  for (const { reader } of all) reader.socket.webSocket.resume()
  const last = anEvent('large')
  await journey.post([last])
  const areBack = async () => all.every(({ reader }) => reader.ids.at(-1) === last.event_id) || undefined
  await eventually('all three are back', areBack, 60_000)
  for (const id of [...ids, last.event_id])
    assert.deepEqual(
      (await saysOf(id)).map((says) => says?.outcome),
      [
        replay.reader.ids.includes(id) ? 'sent' : 'never',
        newest.reader.ids.includes(id) ? 'sent' : 'dropped',
        latest.reader.ids.includes(id) ? 'sent' : 'replaced',
      ],
    )
  for (const { reader } of [newest, latest])
    assert.ok(reader.ids.length <= ids.length, 'something never came')
})

test('a gap of retention, and of a position of another log, says of the events in it why they never come', async () => {
  const subscriber = await journey.subscriber({ event_types: ['purchase'] })
  const from = await journey.end()
  const lost = anEvent()
  await journey.post([lost])
  await journey.until(lost.event_id, 'processed')
  await trimTo(journey, await journey.end())
  const kept = anEvent()
  await journey.post([kept])
  {
    await using reader = await FrameReader.open(journey.server, subscriber, { position: from })
    await reader.count(1)
    const { stream, replayable, answer } = await onlyStream(lost, subscriber)
    assert.deepEqual([stream.outcome, stream.reason, replayable], ['gap', 'retention', false])
    assert.match(answer, /told of a gap that it lies in: retention/)
    assert.equal((await onlyStream(kept, subscriber)).stream.outcome, 'sent')
  }
  await journey.live(subscriber, 0)
  const here = parseStreamPosition(await journey.end()) ?? []
  const ofAnother = here.map((one) => ({ ...one, epoch: one.epoch + 1 }))
  // As after a restore that the log's epoch does not tell of.
  const beyond = here.map(({ offsets, ...one }) => ({
    ...one,
    offsets: new Map([...offsets].map(([partition, offset]) => [partition, offset + 1_000])),
  }))
  for (const positions of [ofAnother, beyond]) {
    const position = formatStreamPosition(positions)
    await using reader = await FrameReader.open(journey.server, subscriber, { position })
    assert.equal((await reader.frame('gap')).reason, 'epoch')
    const { stream, replayable } = await onlyStream(kept, subscriber)
    assert.deepEqual([stream.outcome, stream.reason, replayable], ['gap', 'epoch', true])
    await reader[Symbol.asyncDispose]()
    await journey.live(subscriber, 0)
  }
})

test('a damaged batch makes a gap that says so, also of its events', async () => {
  // A server of its own: nobody has listened yet, so nothing is kept in memory, and the damage stays.
  await using damaged = await openStreamJourney(settings)
  const subscriber = await damaged.subscriber({ event_types: ['purchase'] })
  const oldest = await damaged.call('GET', '/streams/position?at=1970-01-01T00:00:00Z')
  const { position } = oldest.body as unknown as { position: string }
  const event = anEvent()
  const [receipt] = await damaged.post([event])
  await damaged.until(event.event_id, 'processed')
  await damageBatch(await databaseUrlOf(damaged.server.data), receipt?.position ?? '')
  await using reader = await FrameReader.open(damaged.server, subscriber, { position })
  assert.equal((await reader.frame('gap')).reason, 'corrupt')
  const { stream } = await onlyStream(event, subscriber, damaged)
  assert.deepEqual([stream.outcome, stream.reason], ['gap', 'corrupt'])
})

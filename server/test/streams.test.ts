import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { eventually } from '@pulse/dev/services/eventually'
import { databaseUrlOf } from '@pulse/dev/services/pulse'
import { parsePosition } from '@pulse/protocol/position'
import { parseStreamPosition } from '@pulse/protocol/stream-position'
import pg from 'pg'
import { EventStreamReader, FrameReader, idsOf, TestSocket } from './stream-client.ts'
import { metric, openStreamJourney, type StreamJourney } from './stream-journey.ts'

// Plain sockets, sockets with frames and event streams of one server, by the lines of the checklist.

let journey: StreamJourney
before(async () => {
  journey = await openStreamJourney({ RATE_LIMIT_KEY: '' })
})
after(() => journey[Symbol.asyncDispose]())

/** The filter of the original's text. */
const premium = { event_types: ['purchase'], user_tiers: ['premium'], min_amount: 100 }
const anEvent = (event_type: string, user_tier: string, amount?: number) => ({
  ...{ event_id: randomUUID(), event_type, user_id: `user_${Math.floor(Math.random() * 100)}` },
  properties: { user_tier, ...(amount === undefined ? {} : { amount, currency: 'USD' }) },
})

test('ES-01 ES-16 an event that is posted reaches the plain socket of a subscriber whose filter it matches, whole and with its position', async () => {
  const subscriber = await journey.subscriber(premium)
  await using socket = await TestSocket.open(journey.server, subscriber)
  await journey.live(subscriber)
  const event = anEvent('purchase', 'premium', 123.45)
  const [receipt] = await journey.post([event])
  await socket.count(1)
  const { position, ...received } = socket.messages[0] ?? {}
  assert.deepEqual(received.properties, event.properties)
  assert.equal(received.event_id, event.event_id)
  assert.equal(received.event_type, 'purchase')
  const own = parsePosition(receipt?.position ?? '')
  const stream = parseStreamPosition(String(position))?.find(({ topic }) => topic === own?.topic)
  const [partition, offset] = [...(own?.offsets ?? [])][0] ?? [0, 0]
  assert.equal(stream?.offsets.get(partition), offset + 1, 'the position lies just behind the event')
})

test('ES-02 ES-07 the filter of the original’s text is stored in PostgreSQL, shown as it was sent, and made once', async () => {
  const body = { subscriber_id: `user_${randomUUID()}`, ...premium }
  const path = `/filters/${body.subscriber_id}`
  const made = await journey.call('POST', '/filters', body)
  assert.deepEqual([made.status, made.body.status], [200, 'created'])
  const client = new pg.Client({ connectionString: await databaseUrlOf(journey.server.data) })
  await client.connect()
  const text = 'select condition::jsonb from pulse.filter_versions where subscriber_id = $1'
  const { rows } = await client.query(text, [body.subscriber_id]).finally(() => client.end())
  assert.deepEqual(rows, [{ condition: premium }])
  const shown = (await journey.call('GET', path)).body as unknown as Record<string, unknown>
  const { event_types, user_tiers, min_amount } = shown
  assert.deepEqual({ event_types, user_tiers, min_amount }, premium)
  assert.equal((await journey.call('POST', '/filters', body)).status, 409)
  assert.equal((await journey.call('PUT', `${path}_not`, premium)).status, 404)
})

test('ES-08 ES-09 ES-10 ES-11 a filter lets through exactly what it names: type, tier and an amount that is included', async () => {
  const subscriber = await journey.subscriber(premium)
  await using socket = await TestSocket.open(journey.server, subscriber)
  await using reader = await FrameReader.open(journey.server, subscriber)
  await journey.live(subscriber, 2)
  const taken = [anEvent('purchase', 'premium', 100), anEvent('purchase', 'premium', 250)]
  const others = [
    anEvent('purchase', 'premium', 99.99),
    anEvent('purchase', 'free', 500),
    anEvent('click', 'premium', 500),
    anEvent('view', 'premium', 500),
    anEvent('signup', 'premium'),
    anEvent('Purchase', 'premium', 500),
  ]
  await journey.post([...others, ...taken])
  await reader.reaches(await journey.end())
  await socket.count(2)
  const expected = taken.map(({ event_id }) => event_id).sort()
  assert.deepEqual(reader.ids.toSorted(), expected)
  assert.deepEqual(idsOf(socket.messages).toSorted(), expected)
  assert.deepEqual(reader.broken, [])
})

test('ES-12 two subscribers with disjoint filters each receive only their own events', async () => {
  const buyers = await journey.subscriber({ event_types: ['purchase'] })
  const clickers = await journey.subscriber({ event_types: ['click'] })
  await using one = await FrameReader.open(journey.server, buyers)
  await using other = await FrameReader.open(journey.server, clickers)
  const events = Array.from({ length: 40 }, (_, n) => anEvent(n % 2 ? 'purchase' : 'click', 'free', 10))
  await journey.post(events)
  const end = await journey.end()
  await Promise.all([one.reaches(end), other.reaches(end)])
  const idsOfType = (type: string) => idsOf(events.filter(({ event_type }) => event_type === type)).toSorted()
  assert.deepEqual(one.ids.toSorted(), idsOfType('purchase'))
  assert.deepEqual(other.ids.toSorted(), idsOfType('click'))
})

test('ES-14 a changed filter holds for a connected subscriber without a new connection', async () => {
  const subscriber = await journey.subscriber({ event_types: ['purchase'] })
  await using socket = await TestSocket.open(journey.server, subscriber)
  await journey.live(subscriber)
  const before = anEvent('purchase', 'free', 1)
  await journey.post([before])
  await socket.count(1)
  const changed = await journey.call('PUT', `/filters/${subscriber}`, { event_types: ['view'] })
  assert.equal(changed.status, 200)
  const later = anEvent('view', 'free')
  await journey.post([anEvent('purchase', 'free', 2), later])
  await socket.count(2)
  assert.deepEqual(idsOf(socket.messages), [before.event_id, later.event_id])
  assert.equal(socket.closedWith, undefined)
})

test('ES-15 ES-29 a changed filter of an absent subscriber holds from its answer on: what was missed meanwhile follows it', async () => {
  const subscriber = await journey.subscriber({ event_types: ['purchase'] })
  let position: string
  {
    await using reader = await FrameReader.open(journey.server, subscriber)
    position = reader.position
  }
  const first = anEvent('purchase', 'free', 1)
  await journey.post([first, anEvent('view', 'free')])
  assert.equal((await journey.call('PUT', `/filters/${subscriber}`, { event_types: ['view'] })).status, 200)
  const second = anEvent('view', 'free')
  await journey.post([second, anEvent('purchase', 'free', 1)])
  await using back = await FrameReader.open(journey.server, subscriber, { position })
  await back.reaches(await journey.end())
  assert.deepEqual(back.ids.toSorted(), [first.event_id, second.event_id].sort())
  assert.deepEqual(back.broken, [])
})

test('ES-03 ES-18 ES-26 a subscriber that comes back with its position gets exactly what it missed, over each transport', async () => {
  const subscriber = await journey.subscriber({ event_types: ['purchase'] })
  const some = () =>
    Array.from({ length: 300 }, (_, n) => anEvent(n % 3 ? 'purchase' : 'click', 'free', n + 1))
  const wanted = (events: readonly ReturnType<typeof anEvent>[]) =>
    idsOf(events.filter(({ event_type }) => event_type === 'purchase')).toSorted()
  const there = some()
  const places = { plain: '', sse: '', frames: '' }
  {
    await using socket = await TestSocket.open(journey.server, subscriber)
    using stream = await EventStreamReader.open(journey.server, { subscriber })
    await using reader = await FrameReader.open(journey.server, subscriber)
    await journey.live(subscriber, 3)
    await journey.post(there)
    await Promise.all([socket.count(200), stream.count(200), reader.count(200)])
    assert.deepEqual(idsOf(socket.messages).toSorted(), wanted(there))
    places.plain = String(socket.messages.at(-1)?.position)
    places.sse = stream.lastEventId
    places.frames = reader.position
  }
  const missed = some()
  await journey.post(missed)
  await using socket = await TestSocket.open(journey.server, subscriber, {
    query: { position: places.plain },
  })
  using stream = await EventStreamReader.open(journey.server, { subscriber }, { 'last-event-id': places.sse })
  await using reader = await FrameReader.open(journey.server, subscriber, { position: places.frames })
  await Promise.all([socket.count(200), stream.count(200), reader.count(200)])
  const live = some()
  await journey.post(live)
  await Promise.all([socket.count(400), stream.count(400), reader.count(400)])
  const expected = [...wanted(missed), ...wanted(live)].sort()
  for (const ids of [idsOf(socket.messages), idsOf(stream.events), reader.ids])
    assert.deepEqual(ids.toSorted(), expected)
  assert.deepEqual(reader.broken, [])
})

test('two sockets of one subscriber both receive, and closing one leaves the other', async () => {
  const subscriber = await journey.subscriber({ event_types: ['purchase'] })
  const one = await TestSocket.open(journey.server, subscriber)
  await using other = await TestSocket.open(journey.server, subscriber)
  await journey.live(subscriber, 2)
  const first = anEvent('purchase', 'free', 1)
  await journey.post([first])
  await Promise.all([one.count(1), other.count(1)])
  await one[Symbol.asyncDispose]()
  await journey.live(subscriber, 1)
  const second = anEvent('purchase', 'free', 2)
  await journey.post([second])
  await other.count(2)
  assert.deepEqual(idsOf(other.messages), [first.event_id, second.event_id])
  assert.equal(one.messages.length, 1)
})

test('ES-32 50 sockets stay open, idle and under traffic: each gets every event once, and one event reaches all within 1 s', async (t) => {
  const subscriber = await journey.subscriber({ event_types: ['purchase'] })
  const names = await Promise.all(
    Array.from({ length: 5 }, () => journey.subscriber({ event_types: ['purchase'] })),
  )
  const all = Array.from({ length: 50 }, (_, n) => names[n % names.length] ?? subscriber)
  await using stack = new AsyncDisposableStack()
  const sockets = await Promise.all(all.map((name) => TestSocket.open(journey.server, name)))
  for (const socket of sockets) stack.use(socket)
  for (const name of names) await journey.live(name, 10)
  const slowest: number[] = []
  let sent = 0
  // One event, then nothing for longer than a checkpoint takes, and again, for a while: sockets that idle stay good.
  for (let round = 0; round < 3; round++) {
    const askedMs = performance.now()
    await journey.post([anEvent('purchase', 'free', 1)])
    sent++
    await Promise.all(sockets.map((socket) => socket.count(sent)))
    slowest.push(Math.max(...sockets.map(({ times }) => times.at(-1) ?? Number.POSITIVE_INFINITY)) - askedMs)
    await pause(1_500)
  }
  t.diagnostic(`from POST to the last of 50 sockets: ${slowest.map(Math.round).join(', ')} ms`)
  assert.ok(Math.min(...slowest) < 1_000, `${slowest}`)
  for (let n = 0; n < 100; n++) {
    await journey.post([anEvent('purchase', 'free', n + 1)])
    sent++
    await pause(20)
  }
  await Promise.all(sockets.map((socket) => socket.count(sent)))
  for (const { messages, closedWith } of sockets) {
    assert.equal(closedWith, undefined)
    assert.equal(new Set(idsOf(messages)).size, sent)
    assert.equal(messages.length, sent)
  }
})

test('changes of a filter amid traffic land on the stated side, per partition', async () => {
  const subscriber = await journey.subscriber({ event_types: ['side.a'] })
  await using reader = await FrameReader.open(journey.server, subscriber)
  const begun = reader.position
  const ended = new AbortController()
  const posted = new Map<string, { type: string; position: string }>()
  const traffic = async () => {
    while (!ended.signal.aborted) {
      const events = Array.from({ length: 8 }, (_, n) => anEvent(n % 2 ? 'side.a' : 'side.b', 'free'))
      const receipts = await journey.post(events)
      for (const [n, { event_id, event_type }] of events.entries())
        posted.set(event_id, { type: event_type, position: receipts[n]?.position ?? '' })
    }
  }
  const senders = Promise.all([traffic(), traffic(), traffic()])
  const sides: { type: string; effective: string }[] = []
  for (let n = 0; n < 12; n++) {
    const type = n % 2 ? 'side.a' : 'side.b'
    const { status, body } = await journey.call('PUT', `/filters/${subscriber}`, { event_types: [type] })
    assert.equal(status, 200)
    sides.push({ type, effective: (body as unknown as { effective: string }).effective })
  }
  ended.abort()
  await senders
  await reader.reaches(await journey.end())
  await using again = await FrameReader.open(journey.server, subscriber, { position: begun })
  await again.reaches(await journey.end())
  const expected = [...posted].filter(([, { type, position }]) => sideAt(sides, position) === type)
  const ids = expected.map(([id]) => id).sort()
  assert.ok(ids.length > 50 && ids.length < posted.size, `${ids.length} of ${posted.size}`)
  assert.deepEqual(reader.ids.toSorted(), ids, 'as they came')
  assert.deepEqual(again.ids.toSorted(), ids, 'replayed')
  assert.deepEqual([...reader.broken, ...again.broken], [])
})

/** The type that the subscriber wanted where an event stands. */
function sideAt(sides: readonly { type: string; effective: string }[], position: string): string {
  const own = parsePosition(position)
  const [partition, offset] = [...(own?.offsets ?? [])][0] ?? [0, 0]
  const holds = ({ effective }: { effective: string }) => {
    const from = parseStreamPosition(effective)?.find(({ topic }) => topic === own?.topic)
    return offset >= (from?.offsets.get(partition) ?? Number.POSITIVE_INFINITY)
  }
  return sides.findLast(holds)?.type ?? 'side.a'
}

test('events that are malformed stop neither the socket nor what comes after them', async () => {
  const subscriber = await journey.subscriber({ event_types: ['purchase'] })
  await using socket = await TestSocket.open(journey.server, subscriber)
  await journey.live(subscriber)
  for (const body of ['{', '[]', '[{}]', '{"event_type":7}', 'null', '\u0000', '{"event_type":"purchase"'])
    assert.ok((await journey.call('POST', '/events', body)).status < 500)
  // Accepted in shape and refused by its handler: a purchase without an amount is dead-lettered, and delivered all the same.
  const odd = { ...anEvent('purchase', 'premium'), properties: { amount: -1, deep: [[{}]], text: '💥 "\\' } }
  const good = anEvent('purchase', 'premium', 7)
  await journey.post([odd, good])
  await socket.count(2)
  assert.deepEqual(idsOf(socket.messages).toSorted(), [odd.event_id, good.event_id].sort())
  const oddly = socket.messages.find(({ event_id }) => event_id === odd.event_id)
  assert.deepEqual(oddly?.properties, odd.properties)
})

test('ES-33 the metrics of streams equal what happened: connections by transport, events sent, closes by code', async () => {
  const subscriber = await journey.subscriber({ event_types: ['metered'] })
  const read = async () => (await journey.call('GET', '/metrics')).body as unknown as string
  const openOf = (text: string, transport: string) => metric(text, 'pulse_stream_connections', { transport })
  const before = await read()
  {
    await using one = await TestSocket.open(journey.server, subscriber)
    await using two = await FrameReader.open(journey.server, subscriber)
    using three = await EventStreamReader.open(journey.server, { subscriber })
    await journey.live(subscriber, 3)
    const open = await read()
    for (const transport of ['plain', 'websocket', 'sse'])
      assert.equal(openOf(open, transport), openOf(before, transport) + 1, transport)
    await journey.post(Array.from({ length: 25 }, () => anEvent('metered', 'free')))
    await journey.post(Array.from({ length: 5 }, () => anEvent('not.metered', 'free')))
    await Promise.all([one.count(25), two.count(25), three.count(25)])
    const sent = await read()
    assert.equal(metric(sent, 'pulse_deliveries_total') - metric(before, 'pulse_deliveries_total'), 75)
    one.webSocket.close(1000)
    await one.ended()
  }
  await journey.live(subscriber, 0)
  const ended = await read()
  for (const transport of ['plain', 'websocket', 'sse'])
    assert.equal(openOf(ended, transport), openOf(before, transport), transport)
  const closes = (text: string) =>
    metric(text, 'pulse_stream_closed_total', { transport: 'plain', code: '1000' })
  assert.equal(closes(ended), closes(before) + 1)
})

test('ES-20 what streams do is logged as JSON lines with levels, and names the subscriber', async () => {
  await using loud = await openStreamJourney({ LOG_LEVEL: 'debug' })
  const subscriber = await loud.subscriber({ event_types: ['purchase'] })
  {
    await using reader = await FrameReader.open(loud.server, subscriber)
    await loud.post([anEvent('purchase', 'free', 3)])
    await reader.count(1)
  }
  await loud.live(subscriber, 0)
  const lines = () =>
    loud.server
      .log()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
  const about = (module: string, level: string) => () =>
    lines().filter(
      (line) => line.module === module && line.level === level && line.subscriber_id === subscriber,
    )
  const logged = async (what: string, found: () => unknown[], count: number) =>
    eventually(what, async () => (found().length >= count ? true : undefined), 5_000)
  await logged('the stored filter', about('subscriptions', 'info'), 1)
  await logged('the stream that was opened and has ended', about('delivery', 'debug'), 2)
})

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { eventually } from '@pulse/dev/services/eventually'
import { frameLimits } from '@pulse/protocol/frames'
import { formatStreamPosition, parseStreamPosition } from '@pulse/protocol/stream-position'
import { EventStreamReader, FrameReader, idsOf, TestSocket } from './stream-client.ts'
import { openStreamJourney, type StreamJourney, trimTo } from './stream-journey.ts'

// What server-sent events say beside the events, and what becomes of positions that cannot be honoured.

let journey: StreamJourney
before(async () => {
  journey = await openStreamJourney({ RATE_LIMIT_KEY: '' })
})
after(() => journey[Symbol.asyncDispose]())

const anEvent = (event_type: string, n = 1) => ({
  ...{ event_id: randomUUID(), event_type, user_id: `user_${n}` },
  properties: { amount: n, text: 'a\nline\r\nbreak \u2028 and 💥' },
})

test('an event stream begins with its place, says how far it has come while nothing matches, and how soon to come back', async () => {
  const subscriber = await journey.subscriber({ event_types: ['rare'] })
  using stream = await EventStreamReader.open(journey.server, { subscriber })
  const first = await stream.named('checkpoint')
  assert.equal(first.id, first.data.position, 'a browser that leaves before any event comes back to here')
  assert.match(String(stream.headers['content-type']), /^text\/event-stream/)
  assert.equal(stream.headers['cache-control'], 'no-store')
  assert.equal(stream.headers['x-accel-buffering'], 'no')
  assert.ok((stream.retryMs ?? 0) > 0)
  await journey.post(Array.from({ length: 20 }, (_, n) => anEvent('common', n)))
  const end = await journey.end()
  const hasPassed = async () => (reaches(stream.lastEventId, end) ? true : undefined)
  await eventually('a checkpoint behind what did not match', hasPassed, 3 * frameLimits.checkpointMs)
  assert.deepEqual(stream.events, [])
  using back = await EventStreamReader.open(
    journey.server,
    { subscriber },
    { 'last-event-id': stream.lastEventId },
  )
  const event = anEvent('rare')
  // Written over several lines, with breaks of every kind, because a line that breaks ends a field of an event stream.
  const text = JSON.stringify(event, undefined, 2).replaceAll('\n', '\r\n')
  assert.equal((await journey.call('POST', '/events', text)).status, 202)
  await Promise.all([stream.count(1), back.count(1)])
  assert.deepEqual(back.events[0]?.properties, event.properties)
})

/** Whether a position lies at or behind another one everywhere. */
function reaches(position: string, other: string): boolean {
  const own = parseStreamPosition(position)
  return (parseStreamPosition(other) ?? []).every(({ topic, offsets }) => {
    const next = own?.find((each) => each.topic === topic)?.offsets
    return [...offsets].every(([partition, offset]) => (next?.get(partition) ?? 0) >= offset)
  })
}

test('a filter alone may be followed too; what is asked for wrongly is a problem and no stream', async () => {
  const filter = 'event_type = "own" and properties.amount >= 10'
  using stream = await EventStreamReader.open(journey.server, { filter })
  await stream.named('checkpoint')
  const [small, large] = [anEvent('own', 9), anEvent('own', 10)]
  await journey.post([small, large])
  await stream.count(1)
  assert.deepEqual(idsOf(stream.events), [large.event_id])
  const subscriber = await journey.subscriber({ event_types: ['x'] })
  const refused = async (
    query: Record<string, string>,
    status: number,
    headers: Record<string, string> = {},
  ) => assert.rejects(EventStreamReader.open(journey.server, query, headers), new RegExp(`status ${status}`))
  // Without any parameter it is the stream of measurements.
  await refused({ position: 'nowhere' }, 400)
  await refused({ filter, subscriber }, 400)
  await refused({ filter: 'nonsense ((' }, 422)
  await refused({ subscriber: 'nobody' }, 404)
  await refused({ subscriber, position: 'nowhere' }, 400)
  await refused({ subscriber }, 400, { 'last-event-id': 'nowhere' })
})

test('HEAD is answered at once and opens no stream', async () => {
  const subscriber = await journey.subscriber({ event_types: ['x'] })
  const answer = await fetch(`${journey.server.url}/stream?subscriber=${subscriber}`, {
    method: 'HEAD',
    headers: { authorization: `Bearer ${journey.server.key}` },
    signal: AbortSignal.timeout(10_000),
  })
  assert.deepEqual([answer.status, answer.headers.get('allow')], [405, 'GET'])
  await journey.live(subscriber, 0)
})

test('Last-Event-ID, which a browser sends by itself, comes before the position of the address', async () => {
  const subscriber = await journey.subscriber({ event_types: ['twice'] })
  await using reader = await FrameReader.open(journey.server, subscriber)
  const start = reader.position
  const events = [anEvent('twice', 1), anEvent('twice', 2)]
  for (const event of events) {
    await journey.post([event])
    await reader.count(events.indexOf(event) + 1)
  }
  const query = { subscriber, position: start }
  using afresh = await EventStreamReader.open(journey.server, query)
  await afresh.count(2)
  const headers = { 'last-event-id': String(afresh.blocks.find(({ event }) => event === 'message')?.id) }
  using back = await EventStreamReader.open(journey.server, query, headers)
  await back.count(1)
  assert.deepEqual(idsOf(back.events), [events[1]?.event_id])
})

test('a subscriber without any filter is told so, also one whose filter was deleted, unless it asks for what was before', async () => {
  const subscriber = await journey.subscriber({ event_types: ['gone'] })
  await using reader = await FrameReader.open(journey.server, subscriber)
  const { position } = reader
  const event = anEvent('gone')
  await journey.post([event])
  await reader.count(1)
  assert.equal((await journey.call('DELETE', `/filters/${subscriber}/default`)).status, 204)
  await journey.post([anEvent('gone')])
  await assert.rejects(EventStreamReader.open(journey.server, { subscriber }), /404/)
  await using plain = await TestSocket.open(journey.server, subscriber)
  assert.equal((await plain.ended()).code, 4404)
  using before = await EventStreamReader.open(journey.server, { subscriber, position })
  await before.count(1)
  assert.deepEqual(idsOf(before.events), [event.event_id])
})

test('a position that retention has passed is a gap that says from where to where, and 4410 for a plain socket', async () => {
  const subscriber = await journey.subscriber({ event_types: ['kept'] })
  await using reader = await FrameReader.open(journey.server, subscriber)
  const from = reader.position
  const lost = Array.from({ length: 40 }, (_, n) => anEvent('kept', n))
  await journey.post(lost)
  await reader.count(lost.length)
  const to = await journey.end()
  await trimTo(journey, to)
  const kept = [anEvent('kept', 1), anEvent('kept', 2)]
  await journey.post(kept)
  await using frames = await FrameReader.open(journey.server, subscriber, { position: from })
  const told = await frames.frame('gap')
  assert.deepEqual([told.reason, told.from], ['retention', from])
  assert.ok(reaches(to, told.to) && told.to !== from)
  using stream = await EventStreamReader.open(journey.server, { subscriber }, { 'last-event-id': from })
  const gap = await stream.named('gap')
  assert.deepEqual([gap.data.reason, gap.data.from, gap.id], ['retention', from, gap.data.to])
  await Promise.all([frames.count(2), stream.count(2)])
  for (const ids of [frames.ids, idsOf(stream.events)])
    assert.deepEqual(ids.toSorted(), idsOf(kept).toSorted())
  assert.deepEqual(frames.broken, [])
  await using plain = await TestSocket.open(journey.server, subscriber, { query: { position: from } })
  assert.equal((await plain.ended()).code, 4410)
  assert.deepEqual(plain.messages, [])
})

test('a position of another log is a gap, behind which the stream goes on from now', async () => {
  const subscriber = await journey.subscriber({ event_types: ['other'] })
  await using reader = await FrameReader.open(journey.server, subscriber)
  const foreign = formatStreamPosition(
    (parseStreamPosition(reader.position) ?? []).map((each) => ({ ...each, epoch: each.epoch + 1 })),
  )
  using stream = await EventStreamReader.open(journey.server, { subscriber }, { 'last-event-id': foreign })
  const gap = await stream.named('gap')
  assert.deepEqual([gap.data.reason, gap.id], ['epoch', gap.data.to])
  await using moved = await FrameReader.open(journey.server, subscriber, { position: foreign })
  assert.equal((await moved.frame('gap')).reason, 'epoch')
  await using plain = await TestSocket.open(journey.server, subscriber, { query: { position: foreign } })
  assert.equal((await plain.ended()).code, 4410)
  const event = anEvent('other')
  await journey.post([event])
  await Promise.all([stream.count(1), moved.count(1)])
  assert.deepEqual([...idsOf(stream.events), ...moved.ids], [event.event_id, event.event_id])
  assert.deepEqual(plain.messages, [], 'a plain socket has no words for a gap')
})

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import {
  type ConnectionState,
  createClient,
  memoryStore,
  type ReceivedEvent,
  type StreamItem,
  type Subscription,
} from '@pulse/client'
import { openServices, type Services } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { trimLog } from '@pulse/dev/services/trimmed-log'
import {
  collect,
  filter,
  isExact,
  isLive,
  numberOf,
  openSubscribeWorld,
  startAgain,
} from './subscribe-world.ts'

// Subscribers of the SDK against the real server: what `subscription.model.test.ts` proves of the client alone holds for
// both together.

let services: Services
before(async () => {
  services = await openServices(['postgres'])
})
after(() => services[Symbol.asyncDispose]())

const openWorld = () => openSubscribeWorld(services.address('postgres'))

test('ES-26 a subscriber misses nothing and gets nothing twice while its server is killed, drained and started again under load', async () => {
  await using world = await openWorld()
  const { client, installation } = world
  let server = world.server
  const collected = collect(world, { store: memoryStore() })
  await isLive(collected.subscription)
  await using publisher = client.publisher()
  let published = 0
  let isPublishing = true
  const publishing = (async () => {
    while (isPublishing) {
      await publisher.room()
      const receipts = Array.from({ length: 20 }, () => {
        const n = published++
        return publisher.publish({ event_type: `sdk.${n % 3}`, user_id: `user_${n % 7}`, properties: { n } })
      })
      await Promise.all(receipts)
    }
  })()
  for (const end of ['kill', 'stop', 'kill'] as const) {
    const before = collected.events.length
    await eventually('events flow', async () => collected.events.length > before + 100 || undefined, 30_000)
    await server[end]()
    server = await startAgain(installation, server)
  }
  isPublishing = false
  await publishing
  await eventually('all have come', async () => collected.events.length >= published || undefined, 30_000)
  isExact(collected.events, published)
  assert.deepEqual(collected.gaps, [])
  assert.deepEqual(
    collected.notices.filter(({ kind }) => kind === 'mismatch' || kind === 'bad-frame'),
    [],
  )
  assert.ok(collected.states.filter(({ kind }) => kind === 'live').length >= 4, 'it came back each time')
})

test('a consumer that crashes over an event gets that one again, and all others once', async () => {
  await using world = await openWorld()
  const { client } = world
  const store = memoryStore()
  const publish = (from: number, count: number) =>
    Promise.all(
      Array.from({ length: count }, (_, n) =>
        client.events.publish({ event_type: 'sdk.x', user_id: 'ann', properties: { n: from + n } }),
      ),
    )
  const seen: number[] = []
  const consume = async (until: number) => {
    await using subscription = client.subscribe({ subscriber: 'user_1', filter, store, from: 'start' })
    for await (const item of subscription) {
      assert.equal(item.kind, 'event')
      seen.push(numberOf(item as ReceivedEvent))
      if (seen.length === until) throw new Error('the consumer has crashed')
    }
  }
  // In one batch their order would be that of the requests.
  for (let n = 0; n < 10; n++) await publish(n, 1)
  await assert.rejects(consume(4), /crashed/)
  await assert.rejects(consume(11), /crashed/)
  assert.deepEqual(seen, [0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9])
})

test('events that retention has taken are told as a gap, and the stream goes on behind it', async () => {
  await using world = await openWorld()
  const { client, database } = world
  const store = memoryStore()
  const publish = (n: number) =>
    client.events.publish({ event_type: 'sdk.x', user_id: 'ann', properties: { n } })
  const first = collect(world, { store })
  await isLive(first.subscription)
  await publish(0)
  await eventually('the first', async () => first.events.length === 1 || undefined, 10_000)
  await first.subscription.close()
  const leftAt = first.subscription.position

  for (let n = 1; n < 6; n++) await publish(n)
  const { partition, offset } = first.events[0] as ReceivedEvent
  await eventually(
    'the log is trimmed below the fourth',
    async () => {
      const starts = await trimLog(database.url, 'events', new Map([[partition, offset + 3]]))
      return starts.get(partition) === offset + 3 || undefined
    },
    20_000,
  )

  const second = collect(world, { store })
  await eventually('the rest', async () => second.events.length === 3 || undefined, 20_000)
  assert.deepEqual(second.events.map(numberOf), [3, 4, 5])
  assert.equal(second.gaps.length, 1)
  assert.deepEqual([second.gaps[0]?.from, second.gaps[0]?.reason], [leftAt, 'retention'])
})

test('a consumer that is slower than its stream holds the connection back, and gets everything in the end', async () => {
  await using world = await openWorld()
  const { client } = world
  const states: ConnectionState[] = []
  await using subscription = client.subscribe({
    subscriber: 'user_1',
    filter,
    limits: { eventsMax: 20 },
    onConnection: (state) => states.push(state),
  })
  await isLive(subscription)
  await using publisher = client.publisher()
  const count = 300
  await Promise.all(
    Array.from({ length: count }, (_, n) =>
      publisher.publish({ event_type: 'sdk.x', user_id: `user_${n % 20}`, properties: { n } }),
    ),
  )
  await eventually('held', async () => subscription.connection.holds.includes('full') || undefined, 10_000)
  const items: StreamItem[] = []
  for await (const item of subscription) {
    items.push(item)
    if (items.length === count) break
  }
  isExact(items as ReceivedEvent[], count)
  assert.ok(states.filter(({ kind }) => kind === 'held').length > 1, 'it was held more than once')
})

test('a subscription ends with the reason when its key is revoked, and goes on when another key is to be had', async () => {
  await using world = await openWorld()
  const { client, server } = world
  const makeKey = () => client.keys.create({ name: 'sdk', scopes: ['stream:read'] })
  const [stale, fresh] = [await makeKey(), await makeKey()]
  const ending = collect(world, {}, createClient({ url: server.url, credential: stale.key }))
  let current = stale.key
  const renewing = collect(world, {}, createClient({ url: server.url, credential: () => current }))
  await Promise.all([isLive(ending.subscription), isLive(renewing.subscription)])
  current = fresh.key
  await client.keys.revoke(stale.id)
  const error = await ending.subscription.ended
  assert.equal((error as { code?: string } | undefined)?.code, 'unauthenticated')
  await eventually(
    'the other has come back',
    async () => renewing.states.filter(({ kind }) => kind === 'live').length === 2 || undefined,
    20_000,
  )
  await client.events.publish({ event_type: 'sdk.x', properties: { n: 7 } })
  await eventually('its event', async () => renewing.events.length === 1 || undefined, 10_000)
})

test('another filter applies from then on and over a restart, and the server knows what was taken', async () => {
  await using world = await openWorld()
  const { client, installation } = world
  const collected = collect(world)
  const { subscription, events, notices } = collected
  await isLive(subscription)
  const publish = (event_type: string, n: number) =>
    client.events.publish({ event_type, user_id: 'ann', properties: { n } })
  const comes = (...numbers: number[]) =>
    eventually(`${numbers}`, async () => `${events.map(numberOf)}` === `${numbers}` || undefined, 20_000)
  await publish('sdk.a', 0)
  await comes(0)
  const ofSubscriber = async () => (await client.streams.list({ subscriber: 'user_1' })).data[0]
  await eventually(
    'the server knows',
    async () => ((await ofSubscriber())?.acked === subscription.position ? true : undefined),
    20_000,
  )

  subscription.setFilter({ expression: 'event_type = "other"' })
  await eventually(
    'the filter is changed',
    async () => {
      await publish('other', 1)
      return events.length > 1 || undefined
    },
    20_000,
  )
  await publish('sdk.a', 2)
  await world.server.kill()
  await startAgain(installation, world.server)
  await publish('sdk.a', 3)
  await publish('other', 4)
  await eventually('the last', async () => events.some((one) => numberOf(one) === 4) || undefined, 20_000)
  assert.deepEqual([...new Set(events.map(numberOf))], [0, 1, 4])

  subscription.setFilter({ expression: 'event_type = = 7' })
  await eventually(
    'the refusal',
    async () => notices.some((one) => one.kind === 'error' && one.code === 'invalid_filter') || undefined,
    20_000,
  )
  assert.equal(subscription.connection.kind, 'live')
})

test('what cannot be had is an error with its reason, by every way of saying who one is', async () => {
  await using world = await openWorld()
  const { client, server } = world
  const codeOf = async (subscription: Subscription) =>
    ((await subscription.ended) as { code?: string } | undefined)?.code
  for (const access of ['header', 'frame', 'ticket'] as const) {
    const stranger = createClient({ url: server.url, credential: 'nonsense', access })
    assert.equal(await codeOf(collect(world, {}, stranger).subscription), 'unauthenticated', access)
  }
  assert.throws(() => collect(world, {}, createClient({ url: '' })), /An empty address is no address/)
  const reader = await client.keys.create({ name: 'stats', scopes: ['read:stats'] })
  for (const access of ['header', 'frame'] as const) {
    const other = createClient({ url: server.url, credential: reader.key, access })
    assert.equal(await codeOf(collect(world, {}, other).subscription), 'forbidden', access)
  }
  assert.equal(
    await codeOf(collect(world, { subscriber: 'nobody', filter: undefined }).subscription),
    'no_filter',
  )
  const wrong = { expression: 'event_type = = 7' }
  assert.equal(await codeOf(collect(world, { filter: wrong }).subscription), 'invalid_filter')
  assert.equal(await codeOf(collect(world, { from: 'nowhere' }).subscription), 'invalid_position')
  for (const access of ['header', 'frame', 'ticket'] as const) {
    const known = createClient({ url: server.url, credential: server.key, access })
    const { subscription } = collect(world, {}, known)
    await isLive(subscription)
  }
})

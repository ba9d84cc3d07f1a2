import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { newEventId, type PositionStore } from '@pulse/client'
import { openServices } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { collect, isExact, isLive, numberOf, openSubscribeWorld, startAgain } from './subscribe-world.ts'

// Kafka cannot refuse a repeat as it appends, so the log holds some events twice, and the SDK is what makes one of them.

const services = await openServices(['kafka', 'postgres'])
after(() => services[Symbol.asyncDispose]())

const eventType = 'sdk.bought'
const users = 7

/** Keeps the position in a file, as a program that may be started again would. */
const fileStore = (path: string): PositionStore => ({
  load: () => readFile(path, 'utf8').catch(() => undefined),
  save: (position) => writeFile(path, position),
})

const openKafkaWorld = (topic: string) =>
  openSubscribeWorld(services.address('postgres'), {
    configText: `export default { eventTypes: { '${eventType}': { topic: '${topic}', partitions: 3 } } }`,
    settings: { LOG_DRIVER: 'kafka', KAFKA_BROKERS: services.address('kafka'), RATE_LIMIT_KEY: '' },
  })

type Subscriber = ReturnType<typeof collect> & { readonly wants: (n: number) => boolean }

/** Waits for the last event of each user, and looks at all that came. */
async function gotAll({ wants, events, gaps, notices }: Subscriber, published: number): Promise<void> {
  const last = Array.from({ length: users }, (_, n) => published - users + n).filter(wants)
  const hasLast = () => last.every((n) => events.some((event) => numberOf(event) === n))
  await eventually('the last of each user', async () => hasLast() || undefined, 60_000)
  isExact(events, published, wants)
  assert.deepEqual(gaps, [])
  assert.deepEqual(
    notices.filter(({ kind }) => kind === 'mismatch' || kind === 'bad-frame'),
    [],
  )
}

test('ES-26 on Kafka subscribers miss nothing and get nothing twice while their server is killed and started again under load', {
  skip: services.skip('kafka', 'postgres'),
}, async () => {
  const topic = `sdk-${randomUUID()}`
  await using world = await openKafkaWorld(topic)
  const { client, installation } = world
  let server = world.server
  await client.filters.create({ subscriber_id: 'stored', expression: `event_type = "${eventType}"` })
  const store = fileStore(join(installation.folder, 'position'))
  const user = { expression: 'user_id = "user_3"' }
  const late = { expression: `event_type = "${eventType}" and properties.n >= 500` }
  const subscribers = [
    { wants: () => true, ...collect(world) },
    { wants: () => true, ...collect(world, { subscriber: 'stored', filter: undefined, store }) },
    { wants: (n: number) => n % users === 3, ...collect(world, { filter: user }) },
    { wants: (n: number) => n >= 500, ...collect(world, { filter: late }) },
  ]
  for (const { subscription } of subscribers) await isLive(subscription)

  await using publisher = client.publisher()
  const published: Parameters<typeof publisher.publish>[0][] = []
  const publish = () => {
    const n = published.length
    const names = { event_id: newEventId(), event_type: eventType, user_id: `user_${n % users}` }
    const event = { ...names, properties: { n } }
    published.push(event)
    return publisher.publish(event)
  }
  let isPublishing = true
  const publishing = (async () => {
    while (isPublishing) await Promise.all(Array.from({ length: 20 }, publish))
  })()
  const arrived = subscribers[0]?.events ?? []
  for (let kills = 0; kills < 3; kills++) {
    const before = arrived.length
    await eventually('events flow', async () => arrived.length > before + 300 || undefined, 60_000)
    await server.kill()
    server = await startAgain(installation, server)
    // Kept before the kill and sent again behind it, as by one who lost the answer.
    for (const one of arrived.slice(before, before + 20)) {
      const event = published[numberOf(one)] ?? assert.fail('nobody sent it')
      await client.events.publish(event)
    }
  }
  isPublishing = false
  await publishing
  // The last event of each user stands behind all that was sent again: whoever has these has come past those.
  for (let n = 0; n < users; n++) await publish()
  for (const one of subscribers) await gotAll(one, published.length)

  const processed = async () => {
    const [counted] = await installation.query<{ processed: number; repeated: number }>(
      `select sum(processed)::int as processed, sum(repeated)::int as repeated
         from log_group_partitions where topic = $1`,
      [topic],
    )
    return counted && counted.processed >= published.length ? counted : undefined
  }
  const counted = await eventually('all rows', processed, 60_000)
  assert.equal(counted.processed, published.length, 'the rows say the same')
  assert.ok(counted.repeated >= 60, `the log holds only ${counted.repeated} events twice`)

  // A program that is started again goes on from what its store has kept.
  await subscribers[1]?.subscription.close()
  const again = collect(world, { subscriber: 'stored', filter: undefined, store })
  const next = await client.events.publish({ event_type: eventType, properties: { n: published.length } })
  await eventually('the next event', async () => again.events.length > 0 || undefined, 20_000)
  assert.deepEqual(
    again.events.map(({ event }) => event.event_id),
    [next.event_id],
  )
})

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import { openInstallation } from '@pulse/dev/faults/installation'
import { openServices } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { freshDatabase } from '@pulse/dev/services/postgres'
import type { PulseProcess } from '@pulse/dev/services/pulse'
import { partitionOf } from '@pulse/log/murmur2'
import type { Webhook } from '@pulse/protocol/webhook'
import { callerOf } from './journey.ts'
import { openReceiver, orderFaults, slow } from './webhook-receiver.ts'

const services = await openServices(['kafka', 'postgres'])
after(() => services[Symbol.asyncDispose]())

const [keys, partitions] = [6, 3]
const userOf = (at: number) => `user_${at % keys}`
const samePartition = (one: number, other: number) =>
  partitionOf(userOf(one), partitions) === partitionOf(userOf(other), partitions)

const repeatsOf = (ids: readonly string[]) => ids.filter((one, at) => ids.indexOf(one) !== at)

/** Whether one before it in its partition had not come: its key went on above the place that was committed. */
function hasOvertaken(id: string, sent: readonly string[], came: ReadonlySet<string>): boolean {
  const at = sent.indexOf(id)
  return sent.slice(0, at).some((one, i) => samePartition(i, at) && !came.has(one))
}

test('on Kafka a webhook delivers in order per key, repeats after a clean stop only what overtook others, and loses nothing when its server is killed', {
  skip: services.skip('kafka', 'postgres'),
}, async (t) => {
  await using database = await freshDatabase(services.address('postgres'))
  const topic = `hooked-${randomUUID()}`
  const event_type = 'hook.kafka'
  await using installation = await openInstallation({
    databaseUrl: database.url,
    configText: `export default { eventTypes: { '${event_type}': { topic: '${topic}', partitions: ${partitions} } } }`,
    settings: {
      ...{ LOG_DRIVER: 'kafka', KAFKA_BROKERS: services.address('kafka'), RATE_LIMIT_KEY: '' },
      ...{ WEBHOOK_ALLOW_PRIVATE: 'true', WEBHOOK_RETRY_BASE_MS: '50', WEBHOOK_RETRY_MAX_MS: '200' },
    },
  })
  await using receiver = await openReceiver(slow(20))
  let server = await installation.start()
  const call = (...asked: Parameters<ReturnType<typeof callerOf>>) => callerOf(server)(...asked)
  const made = await call('POST', '/webhooks', {
    ...{ subscriber_id: 'kafka', url: receiver.url },
    filter: { event_types: [event_type] },
  })
  assert.equal(made.status, 201, JSON.stringify(made.body))
  const { id } = made.body as unknown as Webhook
  const sent: string[] = []
  const post = async (count: number) => {
    const from = sent.length
    const events = Array.from({ length: count }, (_, i) => {
      const [user_id, n] = [userOf(from + i), Math.floor((from + i) / keys)]
      return { event_id: randomUUID(), event_type, user_id, properties: { n } }
    })
    assert.equal((await call('POST', '/events', events)).body.accepted, count)
    sent.push(...events.map(({ event_id }) => event_id))
  }
  const startAgain = async ({ data }: PulseProcess) => {
    server = await installation.start({}, data)
  }
  const assertSound = () => {
    const came = new Set(receiver.requests.map((request) => request.id))
    assert.deepEqual([came.size, sent.filter((one) => !came.has(one))], [sent.length, []])
    assert.deepEqual(orderFaults(receiver.requests), [])
    assert.equal(receiver.atOnceOfKey(), 1)
  }

  await post(600)
  await receiver.events(50, 60_000)
  assert.equal(await server.stop(), 0)
  const before = new Set(receiver.requests.map((request) => request.id))
  assert.ok(before.size < 600, 'it was stopped on the way')
  await startAgain(server)
  await receiver.events(600, 60_000)
  assertSound()
  const again = repeatsOf(receiver.requests.map((request) => request.id))
  assert.deepEqual(
    again.filter((one) => !hasOvertaken(one, sent, before)),
    [],
  )
  t.diagnostic(`${again.length} of ${before.size} came again after the stop`)

  await post(600)
  await receiver.events(700, 60_000)
  await server.kill()
  await startAgain(server)
  await receiver.events(1_200, 60_000)
  assertSound()
  t.diagnostic(`${receiver.requests.length - 1_200} of 1200 came again after the kill`)
  const isCounted = async () => {
    const { delivered, given_up, gaps } = (await call('GET', `/webhooks/${id}`)).body as unknown as Webhook
    return delivered >= 1_200 && given_up === 0 && gaps === 0 ? true : undefined
  }
  await eventually('all is counted', isCounted, 15_000)
})

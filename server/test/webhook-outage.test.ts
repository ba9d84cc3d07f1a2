import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { after, before, test } from 'node:test'
import { openInstallation } from '@pulse/dev/faults/installation'
import { eventually } from '@pulse/dev/services/eventually'
import { findPostgres, freshDatabase, type Postgres, startPostgres } from '@pulse/dev/services/postgres'
import type { PulseProcess } from '@pulse/dev/services/pulse'
import type { Webhook } from '@pulse/protocol/webhook'
import { callerOf } from './journey.ts'
import { openReceiver, orderFaults, type WebhookReceiver } from './webhook-receiver.ts'

// What a webhook has in its memory alone when its database goes away.

const settings = {
  ...{ RATE_LIMIT_KEY: '', WEBHOOK_ALLOW_PRIVATE: 'true', WEBHOOK_ATTEMPTS: '100', PARTITIONS: '1' },
  ...{ WEBHOOK_RETRY_BASE_MS: '20', WEBHOOK_RETRY_MAX_MS: '100', WEBHOOK_TIMEOUT_MS: '60000' },
}

let postgres: Postgres
before(async () => {
  const bin = await findPostgres()
  assert.ok(bin, 'npm’s PostgreSQL is not installed')
  postgres = await startPostgres(bin)
})
after(() => postgres?.[Symbol.asyncDispose]())

const type = 'hook.outage'

/** A receiver that refuses the first key, until each request of every key waits for its answer. */
async function openHolding() {
  const held = new Map<string, ServerResponse>()
  let isHolding = false
  const receiver = await openReceiver(({ event: { user_id } }, response) => {
    if (isHolding) held.set(user_id, response)
    else response.writeHead(user_id === 'first' ? 500 : 200).end()
  })
  /** Answers the request of a key that waits, if one does. */
  const answer = (user: string, status: number) => {
    held.get(user)?.writeHead(status).end()
    return held.delete(user)
  }
  const waits = (user: string) =>
    eventually(`a request of ${user} waits`, async () => held.has(user) || undefined, 15_000)
  const hold = () => {
    isHolding = true
  }
  const takeAll = () => {
    isHolding = false
    receiver.behave((_request, response) => void response.end())
    for (const user of [...held.keys()]) answer(user, 200)
  }
  return { receiver, answer, waits, hold, takeAll }
}

/** A webhook to this receiver, and ways to post events whose `n` counts up, and to see how many are parked. */
async function openWebhook(server: PulseProcess, receiver: WebhookReceiver) {
  const call = callerOf(server)
  const made = await call('POST', '/webhooks', {
    ...{ subscriber_id: 'outage', url: receiver.url },
    filter: { event_types: [type] },
  })
  const { id } = made.body as unknown as Webhook
  const post = async (user: string, count: number) => {
    const events = Array.from({ length: count }, (_, n) => {
      return { event_id: randomUUID(), event_type: type, user_id: user, properties: { n } }
    })
    assert.equal((await call('POST', '/events', events)).body.accepted, count)
  }
  let others = 0
  const isParked = async (count: number) => {
    // Others have to be taken between two failures of one.
    await post(`other_${others++}`, 5)
    return ((await call('GET', `/webhooks/${id}`)).body as unknown as Webhook).parked === count || undefined
  }
  return { id, post, isParked }
}

const numbersOf = (receiver: WebhookReceiver, user: string) =>
  new Set(
    receiver.requests.filter(({ event }) => event.user_id === user).map(({ event }) => event.properties.n),
  )

test('what is parked while the database is away, and could not be committed before the run ends, comes all the same', async () => {
  await using database = await freshDatabase(postgres.address)
  await using installation = await openInstallation({ databaseUrl: database.url, settings })
  const server = await installation.start()
  const { receiver, answer, waits, hold, takeAll } = await openHolding()
  await using _receiver = receiver
  const { id, post, isParked } = await openWebhook(server, receiver)
  await post('first', 3)
  await eventually('a key is blocked', () => isParked(3), 30_000)
  hold()
  await waits('first')
  await post('second', 5)
  await post('good', 1)
  await waits('second')
  await waits('good')
  // Just after its lease was confirmed, so that it still has it when the database is back.
  const lease = async () =>
    (await installation.query<{ until: string }>('select lease_until::text as until from webhooks'))[0]?.until
  const asked = await lease()
  await eventually('the lease is confirmed', async () => (await lease()) !== asked || undefined, 15_000)
  // Whatever comes of it, what was opened before is closed with a database.
  await using _back = { [Symbol.asyncDispose]: () => postgres.start() }
  await postgres.stop('crash')

  const lines = (text: string) =>
    server
      .log()
      .split('\n')
      .filter((line) => line.includes(text) && line.includes(`"webhook":"${id}"`)).length
  const troubles = () => lines('webhooks are in trouble')
  const blocked = lines('does not take an event')
  const before = troubles()
  // Another one is taken between two of its failures.
  answer('second', 500)
  await waits('second')
  answer('good', 200)
  const isBlocked = async () => {
    answer('second', 500)
    return (lines('does not take an event') > blocked && troubles() > before) || undefined
  }
  await eventually('another key is blocked, and that is not committed', isBlocked, 15_000)
  const known = troubles()
  // What follows it cannot be read, so the run ends, and its last commit fails too.
  assert.ok(answer('first', 200))
  await eventually('the run has ended', async () => troubles() >= known + 2 || undefined, 30_000)
  await postgres.start()
  takeAll()
  for (const [user, count] of [
    ['second', 5],
    ['first', 3],
  ] as const)
    await eventually(
      `${user} comes`,
      async () => numbersOf(receiver, user).size === count || undefined,
      30_000,
    )
  assert.deepEqual(orderFaults(receiver.requests), [])
})

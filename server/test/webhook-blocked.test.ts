import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { eventually } from '@pulse/dev/services/eventually'
import { type PulseProcess, startPulse } from '@pulse/dev/services/pulse'
import type { Webhook } from '@pulse/protocol/webhook'
import { callerOf } from './journey.ts'
import { metric } from './stream-journey.ts'
import { openReceiver, orderFaults, type ReceivedRequest, type WebhookReceiver } from './webhook-receiver.ts'

// A key that its receiver does not take holds up itself only, however many of its events come.

const settings = {
  RATE_LIMIT_KEY: '',
  WEBHOOK_ALLOW_PRIVATE: 'true',
  WEBHOOK_ATTEMPTS: '100',
  WEBHOOK_RETRY_BASE_MS: '100',
  WEBHOOK_RETRY_MAX_MS: '500',
}

const type = 'hook.blocked'

/** A server of its own, a webhook to a receiver, and a way to post events whose `n` counts up per key. */
async function openBlocked(receiver: WebhookReceiver, more: Record<string, string> = {}) {
  const data = await mkdtemp(join(tmpdir(), 'pulse-blocked-'))
  let server = await startPulse(data, { ...settings, ...more })
  const made = await callerOf(server)('POST', '/webhooks', {
    ...{ subscriber_id: 'blocked', url: receiver.url },
    filter: { event_types: [type] },
  })
  assert.equal(made.status, 201, JSON.stringify(made.body))
  const { id } = made.body as unknown as Webhook
  const next = new Map<string, number>()
  const post = async (users: readonly string[]) => {
    const events = users.map((user) => {
      const n = next.get(user) ?? 0
      next.set(user, n + 1)
      return { event_id: randomUUID(), event_type: type, user_id: user, properties: { n } }
    })
    const { body } = await callerOf(server)('POST', '/events', events)
    assert.equal(body.accepted, events.length)
  }
  return {
    ...{ post, id },
    get server(): PulseProcess {
      return server
    },
    shown: async () => (await callerOf(server)('GET', `/webhooks/${id}`)).body as unknown as Webhook,
    restart: async (end: 'kill' | 'stop') => {
      await server[end]()
      server = await startPulse(data, { ...settings, ...more })
    },
    [Symbol.asyncDispose]: async () => {
      await server.stop()
      await rm(data, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

const fill = (user: string, count: number) => new Array<string>(count).fill(user)

/** What came of a user that was answered with 2xx, by `n`, each once. */
const cameOf = (receiver: WebhookReceiver, user: string) =>
  new Set(
    receiver.requests.filter(({ event }) => event.user_id === user).map(({ event }) => event.properties.n),
  ).size

const comes = (receiver: WebhookReceiver, user: string, count: number) =>
  eventually(
    `${count} events of ${user}`,
    async () => (cameOf(receiver, user) >= count ? true : undefined),
    // The events of one key come one after the other, each in a request of its own.
    120_000,
  )

const parkedOf = (world: Awaited<ReturnType<typeof openBlocked>>, is: (parked: number) => boolean) =>
  eventually(
    'events are parked',
    async () => {
      const now = await world.shown()
      return is(now.parked) ? now : undefined
    },
    30_000,
  )

// Each has a server and a receiver of its own, and most of their time is waiting: for the clocks of retries.
describe('keys that are not taken', { concurrency: 2 }, () => {
  test('a key that its receiver never takes holds up no other, however many of its events come, and comes in order once it is taken', async () => {
    let isBad = true
    await using receiver = await openReceiver(({ event }, response) => {
      void response.writeHead(isBad && event.user_id === 'bad' ? 500 : 200).end()
    })
    await using world = await openBlocked(receiver)
    const { post } = world
    for (let round = 1; round <= 3; round++) {
      await post([...fill('bad', 1_000), ...fill('good', 20), ...fill('other', 20)])
      await comes(receiver, 'good', round * 20)
      await comes(receiver, 'other', round * 20)
    }
    assert.equal(cameOf(receiver, 'bad'), 1, 'the next of a key waits for the one before it')
    isBad = false
    await comes(receiver, 'bad', 3_000)
    assert.deepEqual(orderFaults(receiver.requests), [])
    assert.equal(receiver.atOnceOfKey(), 1)
  })

  test('what waits behind a key outlives the server: the next one sends it in order, and what comes meanwhile behind it', async () => {
    let isBad = true
    await using receiver = await openReceiver(({ event }, response) => {
      void response.writeHead(isBad && event.user_id.startsWith('bad') ? 500 : 200).end()
    })
    await using world = await openBlocked(receiver)
    for (let round = 1; round <= 3; round++) {
      await world.post([...fill('bad_1', 20), ...fill('bad_2', 20), ...fill('good', 20)])
      await comes(receiver, 'good', round * 20)
    }
    const blocked = await parkedOf(world, (parked) => parked === 120)
    assert.equal(blocked.status === 'paused', false)
    const metrics = async () => {
      const headers = { authorization: `Bearer ${world.server.key}` }
      return await (await fetch(`${world.server.url}/metrics`, { headers })).text()
    }
    const counted = async () => metric(await metrics(), 'pulse_webhook_parked') === 120 || undefined
    // They are counted every ten seconds.
    await eventually('the metric tells', counted, 40_000)
    assert.match(world.server.log(), /a receiver does not take an event/)
    await world.restart('kill')
    // What comes while it waits in the database goes behind it.
    await world.post([...fill('bad_1', 5), ...fill('good', 5)])
    await comes(receiver, 'good', 65)
    isBad = false
    await comes(receiver, 'bad_1', 30)
    await world.restart('stop')
    await comes(receiver, 'bad_1', 65)
    await comes(receiver, 'bad_2', 60)
    assert.deepEqual(orderFaults(receiver.requests), [])
    const done = await parkedOf(world, (parked) => parked === 0)
    assert.equal(done.waiting_since, null)
    // Once nothing waits, it is a key like any other.
    await world.post(fill('bad_1', 3))
    await comes(receiver, 'bad_1', 68)
    assert.equal((await world.shown()).parked, 0)
  })

  test('what was parked, and taken since, is not parked again where another key holds back the position', async () => {
    let takenBelow = 0
    let isStuck = true
    await using receiver = await openReceiver(({ event: { user_id, properties } }, response) => {
      if (user_id === 'stuck' && isStuck) return
      void response.writeHead(user_id === 'bad' && Number(properties.n) >= takenBelow ? 500 : 200).end()
    })
    // What is not answered keeps the place of all others for as long as this test takes.
    await using world = await openBlocked(receiver, { WEBHOOK_TIMEOUT_MS: '60000', PARTITIONS: '1' })
    await world.post(['stuck', ...fill('bad', 20)])
    // Others have to be taken between two of its failures.
    const isBlocked = async () => {
      await world.post(fill('good', 5))
      return (await world.shown()).parked === 20 || undefined
    }
    await eventually('all of the key is parked', isBlocked, 30_000)
    const { position } = await world.shown()
    takenBelow = 10
    await parkedOf(world, (parked) => parked === 10)
    assert.equal((await world.shown()).position, position, 'the event that is not answered holds it')
    const before = receiver.requests.length
    await world.restart('kill')
    isStuck = false
    takenBelow = 20
    await comes(receiver, 'bad', 20)
    await comes(receiver, 'stuck', 1)
    await parkedOf(world, (parked) => parked === 0)
    // Read again with all the others, and known.
    const isAgain = ({ event }: ReceivedRequest) => event.user_id === 'bad' && Number(event.properties.n) < 10
    assert.deepEqual(
      receiver.requests.slice(before).filter(isAgain),
      [],
      'what was taken does not come again',
    )
    assert.deepEqual(orderFaults(receiver.requests), [])
  })

  test('what waits is given up one after the other, as dead letters that can be sent again', async () => {
    let isBad = true
    await using receiver = await openReceiver(({ event }, response) => {
      void response.writeHead(isBad && event.user_id === 'bad' ? 500 : 200).end()
    })
    const quick = { WEBHOOK_ATTEMPTS: '4', WEBHOOK_RETRY_BASE_MS: '20', WEBHOOK_RETRY_MAX_MS: '50' }
    await using world = await openBlocked(receiver, quick)
    const isDone = async (givenUp: number) => {
      // Others are to be taken between its failures all the time.
      await world.post(fill('good', 5))
      const { given_up, parked } = await world.shown()
      return given_up === givenUp && parked === 0 ? true : undefined
    }
    await world.post(fill('bad', 15))
    await eventually('all is given up', () => isDone(15), 60_000)
    const call = callerOf(world.server)
    const { data } = (await call('GET', `/dead-letters?event_type=${type}&limit=100`)).body as unknown as {
      data: { id: string; event: { event_id: string; properties: { n: number } } }[]
    }
    const numbers = data.map(({ event }) => event.properties.n)
    assert.deepEqual(
      numbers,
      [...numbers].sort((a, b) => b - a),
    )
    assert.equal(numbers.length, 15)
    assert.deepEqual(orderFaults(receiver.requests), [])
    isBad = false
    const [letter] = data
    assert.ok(letter)
    const before = receiver.requests.length
    assert.equal((await call('POST', `/dead-letters/${letter.id}/redrive`)).status, 202)
    // Those others that were posted last may come beside it.
    const isSentAgain = ({ id }: ReceivedRequest) => id === letter.event.event_id
    await eventually(
      'it is sent again',
      async () => receiver.requests.slice(before).find(isSentAgain),
      30_000,
    )
  })

  test('a server that finds a hundred blocked keys and more sends what comes of others', async () => {
    const bad = Array.from({ length: 150 }, (_, n) => `bad_${n}`)
    await using receiver = await openReceiver(({ event }, response) => {
      void response.writeHead(event.user_id.startsWith('bad') ? 500 : 200).end()
    })
    await using world = await openBlocked(receiver, { WEBHOOK_RETRY_MAX_MS: '5000' })
    await world.post(bad)
    // Others have to be taken between two failures of each.
    const areBlocked = async () => {
      await world.post(fill('good', 5))
      return (await world.shown()).parked === bad.length || undefined
    }
    await eventually('all are blocked', areBlocked, 30_000)
    for (let n = 1; n < 10; n++) await world.post(bad)
    await parkedOf(world, (parked) => parked === 1_500)
    await world.restart('kill')
    const before = receiver.requests.length
    const usersSince = () => new Set(receiver.requests.slice(before).map(({ event }) => event.user_id))
    const areFound = async () => {
      const users = usersSince()
      return bad.every((user) => users.has(user)) || undefined
    }
    await eventually('all that waits is found', areFound, 30_000)
    // Were there no room, this one would still come, and be the last.
    await world.post(['bad_new'])
    await eventually('one more comes', async () => usersSince().has('bad_new') || undefined, 15_000)
    await world.post(fill('late', 20))
    await comes(receiver, 'late', 20)
  })

  test('a key that is never taken, and comes in a burst that fills the memory, holds up no other', async () => {
    await using receiver = await openReceiver(({ event }, response) => {
      void response.writeHead(event.user_id === 'bad' ? 500 : 200).end()
    })
    await using world = await openBlocked(receiver)
    // Nothing of others comes in until it has made way.
    for (let n = 0; n < 2; n++) await world.post(fill('bad', 1_000))
    await world.post(fill('good', 20))
    await comes(receiver, 'good', 20)
    await parkedOf(world, (parked) => parked === 2_000)
    assert.equal(cameOf(receiver, 'bad'), 1)
  })

  test('several keys that are never taken, and fill the memory together, hold up no other, and come in order once they are taken', async () => {
    let isBad = true
    await using receiver = await openReceiver(({ event }, response) => {
      void response.writeHead(isBad && event.user_id.startsWith('bad') ? 500 : 200).end()
    })
    await using world = await openBlocked(receiver)
    const bad = ['bad_0', 'bad_1', 'bad_2', 'bad_3']
    // Nothing of others comes in until some of them have made way.
    for (let n = 0; n < 3; n++) await world.post(bad.flatMap((user) => fill(user, 100)))
    await world.post(fill('good', 20))
    await comes(receiver, 'good', 20)
    await parkedOf(world, (parked) => parked >= 600)
    for (const user of bad) assert.equal(cameOf(receiver, user), 1)
    isBad = false
    for (const user of bad) await comes(receiver, user, 300)
    assert.deepEqual(orderFaults(receiver.requests), [])
    assert.equal(receiver.atOnceOfKey(), 1)
    assert.equal((await parkedOf(world, (parked) => parked === 0)).given_up, 0)
  })

  test('a receiver that refuses everything has ten thousand events parked, says so, and gets all in order once it takes them', async () => {
    let isBad = true
    await using receiver = await openReceiver((_request, response) => {
      void response.writeHead(isBad ? 500 : 200).end()
    })
    await using world = await openBlocked(receiver, { WEBHOOK_CONCURRENCY: '50' })
    const users = Array.from({ length: 50 }, (_, n) => `user_${n}`)
    for (let n = 0; n < 12; n++) await world.post(users.flatMap((user) => fill(user, 20)))
    const isStalled = async () => {
      const now = await world.shown()
      return now.reason?.includes('all others until it takes some') ? now : undefined
    }
    const stalled = await eventually('it says so', isStalled, 60_000)
    assert.ok(stalled.parked >= 10_000 && stalled.parked <= 11_100, `${stalled.parked} are parked`)
    isBad = false
    for (const user of users) await comes(receiver, user, 240)
    assert.deepEqual(orderFaults(receiver.requests), [])
    const done = await parkedOf(world, (parked) => parked === 0)
    assert.deepEqual([done.given_up, done.delivered], [0, 12_000])
  })

  test('an outage parks nothing: the log keeps what comes', async () => {
    let isDown = true
    await using receiver = await openReceiver((_request, response) => {
      if (isDown) response.destroy()
      else response.end()
    })
    await using world = await openBlocked(receiver)
    await world.post(Array.from({ length: 2_000 }, (_, n) => `user_${n % 4}`))
    await receiver.count(40, 30_000)
    const isFailing = async () => {
      const now = await world.shown()
      return now.status === 'failing' ? now : undefined
    }
    assert.equal((await eventually('it is failing', isFailing, 15_000)).parked, 0)
    isDown = false
    for (let user = 0; user < 4; user++) await comes(receiver, `user_${user}`, 500)
    assert.deepEqual(orderFaults(receiver.requests), [])
    assert.doesNotMatch(world.server.log(), /a receiver does not take an event/)
  })
})

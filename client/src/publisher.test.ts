import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { text as readText } from 'node:stream/consumers'
import { test } from 'node:test'
import type { SubmittedEvent } from '@pulse/protocol/event'
import fc from 'fast-check'
import { createClient } from './client.ts'
import { type Clock, systemClock } from './clock.ts'
import { openPublisher, type PublisherOptions } from './publisher.ts'
import { PulseError } from './pulse-error.ts'
import { createTransport } from './transport.ts'

type Sent = SubmittedEvent & { readonly event_id: string }

/** What a peer does with one request: which of its events it keeps, and what it answers. */
type Treatment = (events: readonly Sent[], response: ServerResponse, peer: Peer) => void

interface Peer extends AsyncDisposable {
  readonly url: string
  /** Ids in the order in which they were kept, each once. */
  readonly kept: Sent[]
  readonly requests: (readonly Sent[])[]
  /** Tells `answer` for every request that was answered. */
  readonly answered: EventEmitter
  /** Keys that were under way in two requests at a time. */
  readonly overlaps: string[]
}

const keyOf = ({ user_id, event_id }: Sent) => user_id ?? event_id

const receiptOf = ({ event_id }: Sent) => ({ id: `r-${event_id}`, event_id })

/** Keeps all of these that it has not, and gives their verdicts. */
function keep(peer: Peer, events: readonly Sent[]) {
  return events.map((event) => {
    const isKnown = peer.kept.some(({ event_id }) => event_id === event.event_id)
    if (!isKnown) peer.kept.push(event)
    return { status: isKnown ? 'duplicate' : 'accepted', event_id: event.event_id, receipt: receiptOf(event) }
  })
}

function answer(
  response: ServerResponse,
  status: number,
  body: object,
  headers: Record<string, string> = {},
) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}

const takeAll: Treatment = (events, response, peer) =>
  answer(response, 200, { accepted: 0, duplicates: 0, rejected: 0, results: keep(peer, events) })

/** A server that treats each request as it is told. What a real one does is tried in `server/test`. */
async function openPeer(treat: Treatment): Promise<Peer> {
  const underWay = new Map<string, number>()
  const count = (events: readonly Sent[], by: number) => {
    for (const key of new Set(events.map(keyOf))) {
      const others = underWay.get(key) ?? 0
      if (by > 0 && others > 0) peer.overlaps.push(key)
      underWay.set(key, others + by)
    }
  }
  const server = createServer(async (request, response) => {
    const events = JSON.parse(await readText(request)) as Sent[]
    peer.requests.push(events)
    count(events, 1)
    response.once('close', () => {
      count(events, -1)
      peer.answered.emit('answer')
    })
    treat(events, response, peer)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const peer: Peer = {
    url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`,
    kept: [],
    requests: [],
    overlaps: [],
    answered: new EventEmitter(),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return peer
}

const quick = { lingerMs: 1, waitMsBase: 1, waitMsMax: 4 } as const

const publisherOf = (peer: Peer, { limits, ...options }: PublisherOptions = {}) =>
  createClient({ url: peer.url }).publisher({ ...options, limits: { ...quick, ...limits } })

const failsWith = (code: string) => (error: unknown) => error instanceof PulseError && error.code === code

const aTreatment: fc.Arbitrary<Treatment> = fc.constantFrom<Treatment>(
  takeAll,
  // Kept, but the answer is lost.
  (events, response, peer) => {
    keep(peer, events)
    response.destroy()
  },
  (_events, response) => response.destroy(),
  (_events, response) => answer(response, 503, { code: 'unavailable', title: 'away', status: 503 }),
  (events, response) =>
    answer(response, 429, {
      ...{ accepted: 0, duplicates: 0, rejected: events.length },
      results: events.map(({ event_id }) => ({ status: 'throttled', event_id, retry_after: 0.001 })),
    }),
  // The first half could not be kept, the second was.
  (events, response, peer) => {
    const half = Math.floor(events.length / 2)
    const later = events.slice(half)
    const failed = events.slice(0, half).map(({ event_id }) => ({ status: 'retry', event_id, detail: 'x' }))
    answer(response, 200, {
      accepted: 0,
      duplicates: 0,
      rejected: 0,
      results: [...failed, ...keep(peer, later)],
    })
  },
)

test('whatever becomes of requests, each event is kept once and those of a key in the order in which they were published', async () => {
  const story = fc.record({
    users: fc.array(fc.option(fc.constantFrom('ann', 'bob', 'cleo')), { minLength: 1, maxLength: 60 }),
    treatments: fc.array(aTreatment, { maxLength: 12 }),
  })
  await fc.assert(
    fc.asyncProperty(story, async ({ users, treatments }) => {
      const next = [...treatments]
      await using peer = await openPeer((...request) => (next.shift() ?? takeAll)(...request))
      await using publisher = publisherOf(peer, { limits: { batchEventsMax: 7 } })
      const receipts = await Promise.all(
        users.map((user_id, n) => publisher.publish({ event_type: 'x', user_id, properties: { n } })),
      )
      assert.deepEqual(peer.overlaps, [])
      assert.equal(peer.kept.length, users.length)
      assert.deepEqual(
        new Set(receipts.map(({ event_id }) => event_id)),
        new Set(peer.kept.map(({ event_id }) => event_id)),
      )
      for (const user of ['ann', 'bob', 'cleo']) {
        const numbers = peer.kept
          .filter(({ user_id }) => user_id === user)
          .map(({ properties }) => Number(properties?.n))
        assert.deepEqual(
          numbers,
          numbers.toSorted((a, b) => a - b),
          user,
        )
      }
      assert.equal(publisher.pending, 0)
    }),
    { numRuns: 40 },
  )
})

test('events without an order travel together, and a busy key does not hold up others', async () => {
  await using peer = await openPeer(takeAll)
  await using publisher = publisherOf(peer)
  await Promise.all(Array.from({ length: 300 }, () => publisher.publish({ event_type: 'x' })))
  assert.equal(peer.requests.length, 1)
  await Promise.all(Array.from({ length: 5 }, () => publisher.publish({ event_type: 'x', user_id: 'ann' })))
  assert.equal(peer.requests.length, 6)
})

test('an event is published as it was when it was taken', async () => {
  await using peer = await openPeer(takeAll)
  await using publisher = publisherOf(peer)
  const event = { event_type: 'x', properties: { amount: 1 } }
  const published = publisher.publish(event)
  event.properties.amount = 2
  await published
  assert.deepEqual(peer.kept[0]?.properties, { amount: 1 })
})

test('an event that is refused fails alone', async () => {
  await using peer = await openPeer((events, response, own) =>
    answer(response, 200, {
      ...{ accepted: 0, duplicates: 0, rejected: 0 },
      results: events.map((event) =>
        event.event_type === 'wrong'
          ? {
              status: 'invalid',
              event_id: event.event_id,
              errors: [{ pointer: '/amount', detail: 'is missing' }],
            }
          : event.event_type === 'taken'
            ? { status: 'conflict', event_id: event.event_id, detail: 'taken' }
            : keep(own, [event])[0],
      ),
    }),
  )
  await using publisher = publisherOf(peer)
  const [good, wrong, taken] = ['good', 'wrong', 'taken'].map((event_type) =>
    publisher.publish({ event_type }),
  )
  await assert.rejects(wrong ?? Promise.resolve(), { code: 'invalid_event', message: '/amount is missing' })
  await assert.rejects(taken ?? Promise.resolve(), failsWith('event_id_conflict'))
  assert.ok((await good)?.id)
})

test('a publisher holds so many events and no more; who waits for room goes as fast as the server', async () => {
  const held: ServerResponse[] = []
  await using peer = await openPeer((events, response, own) => {
    keep(own, events)
    held.push(response)
  })
  await using publisher = publisherOf(peer, { limits: { eventsMax: 2 } })
  const first = [1, 2].map(() => publisher.publish({ event_type: 'x', user_id: 'ann' }))
  await assert.rejects(publisher.publish({ event_type: 'x' }), failsWith('buffer_full'))
  const room = publisher.room()
  const release = setInterval(() => {
    const at = peer.requests.length - held.length
    for (const response of held.splice(0))
      answer(response, 200, {
        results: keep(peer, peer.requests[at] ?? []),
        accepted: 0,
        duplicates: 0,
        rejected: 0,
      })
  }, 5)
  await room
  await publisher.publish({ event_type: 'x' })
  await Promise.all(first)
  await publisher.close()
  clearInterval(release)
})

test('a request that is too large is halved until it fits; one event that is too large fails', async () => {
  await using peer = await openPeer((events, response, own) => {
    if (events.length <= 3 && events.every(({ event_type }) => event_type !== 'huge'))
      takeAll(events, response, own)
    else answer(response, 413, { code: 'payload_too_large', title: 'too large', status: 413 })
  })
  await using publisher = publisherOf(peer)
  await Promise.all(Array.from({ length: 20 }, () => publisher.publish({ event_type: 'x' })))
  assert.equal(peer.kept.length, 20)
  await assert.rejects(publisher.publish({ event_type: 'huge' }), failsWith('payload_too_large'))
})

test('an event that cannot be delivered for too long is given up, and so is everything when a signal says so', async () => {
  await using peer = await openPeer((_events, response) => response.destroy())
  await using impatient = publisherOf(peer, { limits: { giveUpMs: 20 } })
  await assert.rejects(impatient.publish({ event_type: 'x' }), failsWith('network'))

  const end = new AbortController()
  await using patient = publisherOf(peer, { signal: end.signal })
  const waiting = [1, 2, 3].map(() => patient.publish({ event_type: 'x', user_id: 'ann' }))
  const reason = new Error('enough')
  end.abort(reason)
  for (const each of waiting) await assert.rejects(each, reason)
  await assert.rejects(patient.publish({ event_type: 'x' }), reason)
})

test('ES-22 the waits of a publisher that fails grow twofold up to a limit, at random below it', async () => {
  let answers = 0
  await using peer = await openPeer((...request) => {
    if (++answers > 5) takeAll(...request)
    else answer(request[1], 503, { code: 'unavailable', title: 'away', status: 503 }, { 'retry-after': '0' })
  })
  const waitsFor = async (random: number) => {
    answers = 0
    const waits: number[] = []
    const clock: Clock = {
      now: () => Date.now(),
      // Told, and not waited for.
      after(ms, call) {
        waits.push(ms)
        return systemClock.after(0, call)
      },
    }
    const transport = createTransport({
      ...{ url: peer.url, credential: undefined, fetch: globalThis.fetch, timeoutMsMax: 10_000 },
      retry: { retriesMax: 0, waitMsBase: 1, waitMsMax: 1, retryAfterMsMax: 60_000 },
    })
    const limits = { lingerMs: 1, waitMsBase: 100, waitMsMax: 500, giveUpMs: 60_000 }
    await using publisher = openPublisher({ transport, clock, random: () => random }, { limits })
    await publisher.publish({ event_type: 'x' })
    return waits.filter((ms) => ms > 1 && ms <= 500)
  }
  assert.deepEqual(await waitsFor(1), [100, 200, 400, 500, 500])
  assert.deepEqual(await waitsFor(0.5), [50, 100, 200, 250, 250])
})

test('after a failure a publisher rests for as long as the server asks', async () => {
  const times: number[] = []
  await using peer = await openPeer((...request) => {
    times.push(performance.now())
    if (times.length > 1) takeAll(...request)
    else answer(request[1], 503, { code: 'overloaded', title: 'busy', status: 503 }, { 'retry-after': '0.3' })
  })
  await using publisher = publisherOf(peer)
  const first = publisher.publish({ event_type: 'x' })
  await once(peer.answered, 'answer')
  // Others that come meanwhile do not disturb its rest.
  await Promise.all([first, publisher.publish({ event_type: 'x' })])
  assert.equal(times.length, 2)
  assert.ok((times[1] ?? 0) - (times[0] ?? 0) >= 290, 'it rested')
})

test('a publisher that is closing finishes what it has taken and takes nothing more', async () => {
  await using peer = await openPeer(takeAll)
  const publisher = publisherOf(peer, { limits: { lingerMs: 60_000 } })
  const taken = publisher.publish({ event_type: 'x' })
  const closing = publisher.close()
  await assert.rejects(publisher.publish({ event_type: 'x' }), failsWith('closed'))
  await closing
  assert.equal((await taken).event_id, peer.kept[0]?.event_id)
  await publisher.close()
})

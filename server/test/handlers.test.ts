import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { eventually } from '@pulse/dev/services/eventually'
import { type Journey, startJourney } from './journey.ts'

// Handlers that misbehave in every way a team's handler can. They keep count in the process, as a remote system would.
const config = (migrations: string) => `
const seen = new Map()
const count = (event) => {
  const n = (seen.get(event.event_id) ?? 0) + 1
  seen.set(event.event_id, n)
  return n
}
class PermanentError extends Error { name = 'PermanentError' }
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
let running = 0
export default {
  retryBaseMs: 20,
  retryMaxMs: 60,
  handlerTimeoutMs: 400,
  migrations: [${JSON.stringify(migrations)}],
  eventTypes: { 'flaky.keyed': { key: '/properties/thing' }, 'order.placed': { indexed: ['shop'] } },
  handlers: {
    'flaky.*': (event) => {
      if (count(event) <= (event.properties.failures ?? 0)) throw new Error('not yet')
      return { enriched: { tries: seen.get(event.event_id) } }
    },
    'never.works': () => { throw new TypeError('no way') },
    'never.again': (event) => { throw new PermanentError('give up ' + count(event)) },
    'too.slow': (event, ctx) => new Promise((resolve, reject) => ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason))),
    'let.go': () => ({ drop: 'of no use' }),
    'order.placed': (event) => ({ rows: { orders: [{ order_id: event.event_id, total: event.properties.total }] } }),
    'waits.long': async () => {
      running++
      await pause(80)
      return { enriched: { side_by_side: running-- } }
    },
    'returns.nonsense': () => 42,
    'tells.all': (event, ctx) => ({ enriched: { attempt: ctx.attempt, receivedAt: ctx.receivedAt, position: ctx.position } }),
  },
}
`
let journey: Journey
let folder: string
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pulse-app-'))
  await writeFile(
    join(folder, '0001_orders.sql'),
    'create table orders (order_id uuid primary key, total numeric not null check (total > 0));',
  )
  journey = await startJourney({}, config(folder))
})
after(async () => {
  await journey[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

describe('a team’s own handlers', () => {
  test('EF-48 a handler for a family of types runs without a change to the worker, and is told about its event', async () => {
    const id = await journey.send({ event_type: 'tells.all' })
    const { enriched } = await journey.until(id, 'processed')
    assert.equal(enriched?.attempt, 1)
    assert.match(String(enriched?.receivedAt), /^\d{4}-.*Z$/)
    assert.match(String(enriched?.position), /^events~/)
  })

  test('EF-08 what fails is tried again and counts its attempts until it works', async () => {
    const id = await journey.send({ event_type: 'flaky.thing', properties: { failures: 2 } })
    assert.deepEqual((await journey.until(id, 'processed')).enriched, { tries: 3 })
    const { body } = await journey.call('GET', `/events?status=processed&event_type=flaky.thing`)
    assert.equal(body.data[0]?.event_id, id)
  })

  test('EF-09 what never works becomes a dead letter after its attempts, with class, message and count', async () => {
    const id = await journey.send({ event_type: 'never.works' })
    const letter = (await journey.until(id, 'dead')).dead_letter
    assert.deepEqual(letter?.error, { class: 'TypeError', message: 'no way' })
    assert.equal(letter?.attempts, 3)
  })

  test('a permanent error is not tried again', async () => {
    const id = await journey.send({ event_type: 'never.again' })
    const letter = (await journey.until(id, 'dead')).dead_letter
    assert.deepEqual([letter?.error.message, letter?.attempts], ['give up 1', 1])
  })

  test('a handler that takes too long fails with a time-out, and is told by its signal', async () => {
    const id = await journey.send({ event_type: 'too.slow' })
    assert.equal((await journey.until(id, 'dead')).dead_letter?.error.class, 'HandlerTimeout')
  })

  test('a handler that returns nonsense fails as one that throws', async () => {
    const id = await journey.send({ event_type: 'returns.nonsense' })
    assert.match(String((await journey.until(id, 'dead')).dead_letter?.error.message), /returned a number/)
  })

  test('what a handler lets go is kept as dropped, with its reason', async () => {
    const id = await journey.send({ event_type: 'let.go' })
    const life = await journey.until(id, 'dropped')
    assert.equal(life.life.at(-1)?.detail, 'of no use')
  })

  test('EF-15 one worker handles several events at a time', async () => {
    const events = Array.from({ length: 20 }, () => ({ event_type: 'waits.long', event_id: randomUUID() }))
    await journey.call('POST', '/events', events)
    const lives = await Promise.all(events.map((event) => journey.until(event.event_id, 'processed')))
    assert.ok(lives.some((life) => Number(life.enriched?.side_by_side) > 1))
  })

  test('rows of a handler commit with its event; a row that the table refuses makes a dead letter of that event alone', async () => {
    const events = Array.from({ length: 30 }, (_, n) => ({
      event_id: randomUUID(),
      event_type: 'order.placed',
      user_id: `u${n}`,
      properties: { total: n === 17 ? -1 : n + 1, shop: n % 2 ? 'a' : 'b' },
    }))
    await journey.call('POST', '/events', events)
    for (const [n, event] of events.entries())
      await journey.until(event.event_id, n === 17 ? 'dead' : 'processed')
    const letter = (await journey.until(events[17]?.event_id ?? '', 'dead')).dead_letter
    assert.match(String(letter?.error.message), /orders_total_check/)
    const found = await journey.call('GET', '/events?event_type=order.placed&properties.shop=a&limit=100')
    assert.equal(
      found.body.data.length,
      15,
      'an indexed property needs no span of time; dead letters are found too',
    )
  })

  test('order per key: later events of a key wait behind one that is tried again; other keys do not', async () => {
    const thing = randomUUID()
    const keyed = (failures: number, of = thing) => ({
      event_id: randomUUID(),
      event_type: 'flaky.keyed',
      properties: { thing: of, failures },
    })
    const stuck = [keyed(2), keyed(0), keyed(1), keyed(0)]
    const free = keyed(0, randomUUID())
    await journey.call('POST', '/events', [...stuck, free])
    const done = async (event: { event_id: string }) => {
      await journey.until(event.event_id, 'processed')
      const { body } = await journey.call('GET', `/events/${event.event_id}`)
      return body.processed_at as string
    }
    const freeAt = await done(free)
    const times: string[] = []
    for (const event of stuck) times.push(await done(event))
    assert.deepEqual(times, times.toSorted(), 'in the order in which they were sent')
    assert.ok(freeAt < (times[0] ?? ''), 'the other key did not wait')
  })

  test('every offset has exactly one verdict, and parked events leave nothing behind', async () => {
    await eventually(
      'nothing waits',
      async () => {
        const { body } = await journey.call('GET', '/metrics/summary')
        return body.pending_messages === 0 && body.queue_length === 0 ? true : undefined
      },
      10_000,
    )
    const { body } = await journey.call('GET', '/events?status=retrying')
    assert.deepEqual(body.data, [])
  })
})

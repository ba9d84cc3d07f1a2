import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { eventually } from '@pulse/dev/services/eventually'
import { aPurchase, type Journey, startJourney } from './journey.ts'

let journey: Journey
before(async () => {
  journey = await startJourney()
})
after(() => journey[Symbol.asyncDispose]())

describe('one event', () => {
  test('EF-01 a purchase is answered with 202, its id and a receipt, and EF-04 its row appears', async () => {
    const event = aPurchase()
    const { status, body } = await journey.call('POST', '/events', event)
    assert.equal(status, 202)
    assert.equal(body.event_id, event.event_id)
    assert.equal(body.status, 'accepted')
    assert.equal(body.message, 'Event accepted for processing')
    assert.equal(body.receipt.event_id, event.event_id)
    assert.equal(body.receipt.durability, 'disk')
    assert.equal(body.receipt.received_at, body.received_at)
    assert.equal(Date.parse(body.receipt.dedupe_until) - Date.parse(body.received_at), 7 * 86_400_000)
    const life = await journey.until(event.event_id, 'processed')
    assert.deepEqual(life.enriched, { category: 'standard' })
    assert.deepEqual(life.event.properties, event.properties)
    assert.deepEqual(
      life.life.map((step) => step.step),
      ['received', 'kept', 'processed'],
    )
  })

  test('EF-04 the built-in handlers enrich: a high-value purchase, a page view with its session', async () => {
    const rich = await journey.send(aPurchase({ properties: { amount: 1_000.01 } }))
    assert.deepEqual((await journey.until(rich, 'processed')).enriched, { category: 'high_value' })
    const view = await journey.send({ event_type: 'page_view', timestamp: '2026-01-02T03:04:05.678901Z' })
    assert.deepEqual((await journey.until(view, 'processed')).enriched, {
      session_start: '2026-01-02T03:04:05.678901Z',
    })
    const custom = await journey.send({ event_type: 'custom', properties: { action: 'click' } })
    assert.equal((await journey.until(custom, 'processed')).enriched, null)
  })

  test('EF-06 the same event_id sent twice gives the first receipt, one row and no 5xx; EF-07 it is counted', async () => {
    const event = aPurchase()
    const before = (await journey.call('GET', '/metrics/summary')).body.duplicates
    const first = await journey.call('POST', '/events', event)
    const respelled = `{"user_id":"user_1","properties":{"currency":"USD","amount":99.990},"event_type":"purchase","event_id":"${event.event_id}"}`
    const second = await journey.call('POST', '/events', respelled)
    assert.equal(second.status, 202)
    assert.deepEqual(second.body, first.body)
    assert.equal(second.headers.get('idempotency-replayed'), 'true')
    assert.equal(first.headers.get('idempotency-replayed'), null)
    await journey.until(event.event_id, 'processed')
    const rows = (await journey.call('GET', '/events?limit=1000')).body.data
    assert.equal(rows.filter((row: { event_id: string }) => row.event_id === event.event_id).length, 1)
    assert.equal((await journey.call('GET', '/metrics/summary')).body.duplicates, before + 1)
  })

  test('EF-06 the same event_id with another body is 409, and the first stays', async () => {
    const event = aPurchase()
    await journey.send(event)
    const other = await journey.call('POST', '/events', { ...event, properties: { amount: 1 } })
    assert.equal(other.status, 409)
    assert.equal(other.body.code, 'event_id_conflict')
    assert.deepEqual((await journey.until(event.event_id, 'processed')).event.properties, event.properties)
  })

  test('a hundred at once with one id are one event', async () => {
    const event = aPurchase()
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => journey.call('POST', '/events', event)),
    )
    assert.deepEqual([...new Set(answers.map((answer) => answer.status))], [202])
    assert.equal(new Set(answers.map((answer) => answer.body.receipt.position)).size, 1)
    assert.equal(answers.filter((answer) => answer.headers.get('idempotency-replayed') === null).length, 1)
  })

  test('a timestamp with an offset keeps its instant', async () => {
    const id = await journey.send(aPurchase({ timestamp: '2026-03-01T10:00:00+05:30' }))
    assert.equal((await journey.until(id, 'processed')).event.timestamp, '2026-03-01T04:30:00.000000Z')
  })

  test('an instant before the year 1000 and after the year 9000 are rows like any other', async () => {
    for (const timestamp of ['0476-09-04T00:00:00Z', '2001-01-01T00:00:00.000001Z']) {
      const id = await journey.send(aPurchase({ timestamp }))
      const life = await journey.until(id, 'processed')
      assert.equal(Date.parse(life.event.timestamp), Date.parse(timestamp))
    }
  })

  test('EF-09 EF-47 a purchase without an amount becomes a dead letter with its reason, and leaves the queue', async () => {
    const id = await journey.send(aPurchase({ properties: {} }))
    const life = await journey.until(id, 'dead')
    assert.equal(life.dead_letter?.error.message, 'Purchase events must have an amount')
    const list = (await journey.call('GET', '/dead-letters?event_type=purchase')).body.data
    assert.ok(list.some((letter: { event_id: string }) => letter.event_id === id))
    for (const [amount, message] of [
      [-1, 'Purchase amount must be positive'],
      ['5', 'Purchase amount must be positive'],
    ] as const) {
      const bad = await journey.send(aPurchase({ properties: { amount } }))
      assert.equal((await journey.until(bad, 'dead')).dead_letter?.error.message, message)
    }
    await eventually(
      'the backlog is empty again',
      async () => {
        const { body } = await journey.call('GET', '/metrics/summary')
        return body.queue_length === 0 && body.pending_messages === 0 ? true : undefined
      },
      10_000,
    )
  })

  test('EF-36 a dead letter that is redriven is handled again, under its own id, and fails again if nothing changed', async () => {
    const id = await journey.send({ event_type: 'user_signup', properties: {} })
    const letter = (await journey.until(id, 'dead')).dead_letter
    const redriven = await journey.call('POST', `/dead-letters/${letter?.id}/redrive`)
    assert.deepEqual(redriven.body, { id: letter?.id, event_id: id, status: 'retrying' })
    const again = await eventually(
      'it is dead again',
      async () => {
        const { body } = await journey.call('GET', `/events/${id}`)
        return body.dead_letter && body.dead_letter.id !== letter?.id ? body : undefined
      },
      10_000,
    )
    assert.deepEqual(
      again.life.map((step: { step: string }) => step.step),
      ['received', 'kept', 'dead', 'redriven', 'dead'],
    )
    assert.equal((await journey.call('POST', `/dead-letters/${letter?.id}/redrive`)).status, 409)
    assert.equal((await journey.call('POST', `/dead-letters/${randomUUID()}/redrive`)).status, 404)
  })
})

describe('bad input', () => {
  const cases: readonly [string, string | Uint8Array, Record<string, string>, number, string][] = [
    ['no JSON', '{oops', {}, 400, 'invalid_json'],
    ['nothing', '', {}, 400, 'invalid_json'],
    ['a key twice', '{"event_type":"a","event_type":"b"}', {}, 400, 'invalid_json'],
    ['bad UTF-8', new Uint8Array([0x7b, 0x22, 0xc3, 0x28]), {}, 400, 'invalid_encoding'],
    [
      'another content type',
      'a=1',
      { 'content-type': 'application/x-www-form-urlencoded' },
      415,
      'unsupported_media_type',
    ],
    ['a body over the limit', new Uint8Array(5_000_000), {}, 413, 'payload_too_large'],
    [
      'a gzip bomb',
      gzipSync(new Uint8Array(50_000_000)),
      { 'content-encoding': 'gzip' },
      413,
      'payload_too_large',
    ],
    ['gzip that is none', 'plain', { 'content-encoding': 'gzip' }, 400, 'invalid_encoding'],
    ['no type', '{}', {}, 422, 'invalid_event'],
    ['NUL in a string', '{"event_type":"a","properties":{"x":"\\u0000"}}', {}, 422, 'invalid_event'],
    ['__proto__', '{"event_type":"a","properties":{"__proto__":1}}', {}, 422, 'invalid_event'],
    [
      'deep nesting',
      `{"event_type":"a","properties":{"x":${'['.repeat(50)}${']'.repeat(50)}}}`,
      {},
      400,
      'invalid_json',
    ],
    [
      'an empty Idempotency-Key',
      '{"event_type":"a"}',
      { 'idempotency-key': '""' },
      400,
      'invalid_idempotency_key',
    ],
  ]
  for (const [name, body, headers, status, code] of cases)
    test(`EF-46 ${name} is ${status} ${code}, and nothing is kept`, async () => {
      const answer = await journey.call('POST', '/events', body, headers)
      assert.equal(answer.status, status, JSON.stringify(answer.body))
      assert.equal(answer.body.code, code)
      assert.equal(answer.headers.get('content-type')?.split(';')[0], 'application/problem+json')
    })

  test('gzip that is good is unpacked', async () => {
    const event = aPurchase()
    const answer = await journey.call('POST', '/events', gzipSync(JSON.stringify(event)), {
      'content-encoding': 'gzip',
    })
    assert.equal(answer.status, 202)
  })
})

describe('a batch', () => {
  test('is answered event by event in the order of the request', async () => {
    const first = aPurchase()
    await journey.send(first)
    const fresh = aPurchase()
    const { status, body } = await journey.call('POST', '/events', [
      fresh,
      first,
      { ...first, user_id: 'other' },
      { event_type: 'a b' },
      fresh,
    ])
    assert.equal(status, 200)
    assert.deepEqual(
      body.results.map((item: { status: string }) => item.status),
      ['accepted', 'duplicate', 'conflict', 'invalid', 'duplicate'],
    )
    assert.deepEqual([body.accepted, body.duplicates, body.rejected], [1, 2, 2])
    assert.equal(body.results[3]?.errors[0]?.pointer, '/event_type')
    assert.deepEqual(body.results[4]?.receipt, body.results[0]?.receipt)
  })

  test('of which nothing is kept is 422 or 409, with every verdict', async () => {
    const invalid = await journey.call('POST', '/events', [{}, { event_type: '' }])
    assert.equal(invalid.status, 422)
    assert.equal(invalid.body.results.length, 2)
    const known = aPurchase()
    await journey.send(known)
    const conflict = await journey.call('POST', '/events', [{ ...known, user_id: 'x' }])
    assert.equal(conflict.status, 409)
  })

  test('in NDJSON loses only the damaged line', async () => {
    const lines = [JSON.stringify(aPurchase()), '{', JSON.stringify(aPurchase())].join('\n')
    const { status, body } = await journey.call('POST', '/events', lines, {
      'content-type': 'application/x-ndjson',
    })
    assert.equal(status, 200)
    assert.deepEqual(
      body.results.map((item: { status: string }) => item.status),
      ['accepted', 'invalid', 'accepted'],
    )
  })

  test('of CloudEvents is taken, and a repeat of (source, id) is the same event', async () => {
    const cloud = {
      specversion: '1.0',
      id: `n-${randomUUID()}`,
      source: '/shop',
      type: 'order.created',
      data: { total: 5 },
    }
    const send = () =>
      journey.call('POST', '/events', [cloud], { 'content-type': 'application/cloudevents-batch+json' })
    const { body } = await send()
    const again = await send()
    assert.equal(again.body.results[0]?.status, 'duplicate')
    const life = await journey.until(String(body.results[0]?.event_id), 'processed')
    assert.deepEqual(life.event.properties, { total: 5, cloudevent: { id: cloud.id, source: '/shop' } })
  })
})

describe('an Idempotency-Key', () => {
  test('makes a request without ids safe to repeat: the same receipts, quoted or bare', async () => {
    const key = randomUUID()
    const body = [{ event_type: 'custom' }, { event_type: 'custom' }]
    const first = await journey.call('POST', '/events', body, { 'idempotency-key': key })
    const second = await journey.call('POST', '/events', body, { 'idempotency-key': `"${key}"` })
    assert.equal(second.headers.get('idempotency-replayed'), 'true')
    const receipts = (answer: typeof first) =>
      answer.body.results.map((item: { receipt: unknown }) => item.receipt)
    assert.deepEqual(receipts(second), receipts(first))
    assert.equal(second.body.duplicates, 2)
  })

  test('with another body is 422', async () => {
    const key = randomUUID()
    await journey.call('POST', '/events', { event_type: 'custom' }, { 'idempotency-key': key })
    const other = await journey.call(
      'POST',
      '/events',
      { event_type: 'page_view' },
      { 'idempotency-key': key },
    )
    assert.equal(other.status, 422)
    assert.equal(other.body.code, 'idempotency_key_conflict')
  })
})

describe('queries', () => {
  test('EF-31 processed events are found by type, user, state, time of receipt and property, page by page', async () => {
    const user = `user-${randomUUID()}`
    const from = new Date().toISOString()
    const ids: string[] = []
    for (let n = 0; n < 7; n++)
      ids.push(
        await journey.send(
          aPurchase({ user_id: user, properties: { amount: 1 + n, shop: n % 2 ? 'a' : 'b' } }),
        ),
      )
    for (const id of ids) await journey.until(id, 'processed')
    const pages: string[] = []
    let cursor = ''
    do {
      const { body } = await journey.call(
        'GET',
        `/events?user_id=${user}&limit=3${cursor && `&cursor=${cursor}`}`,
      )
      pages.push(...body.data.map((row: { event_id: string }) => row.event_id))
      cursor = body.cursor ?? ''
      assert.equal(body.has_more, cursor !== '')
    } while (cursor)
    assert.deepEqual(pages, ids.toReversed())
    const count = async (query: string) =>
      (await journey.call('GET', `/events?user_id=${user}&${query}`)).body.data.length
    assert.equal(await count('event_type=purchase'), 7)
    assert.equal(await count('event_type=page_view'), 0)
    assert.equal(await count('status=dead'), 0)
    assert.equal(await count(`from=${from}`), 7)
    assert.equal(await count(`to=${from}`), 0)
    assert.equal(await count(`event_type=purchase&from=${from}&properties.shop=a`), 3)
    assert.equal(await count(`event_type=purchase&from=${from}&properties.sh'op=a`), 0)
  })

  test('a property filter that would read too much is 422, and unknown parameters are 400', async () => {
    const codes = async (query: string) => (await journey.call('GET', `/events?${query}`)).body.code
    assert.equal(await codes('properties.shop=a'), 'query_too_wide')
    assert.equal(await codes('event_type=purchase&properties.shop=a'), 'query_too_wide')
    assert.equal(
      await codes('event_type=purchase&from=2026-01-01T00:00:00Z&properties.shop=a'),
      'query_too_wide',
    )
    assert.equal(await codes('colour=red'), 'invalid_request')
    assert.equal(await codes('cursor=abc'), 'invalid_request')
    assert.equal(await codes('from=yesterday'), 'invalid_request')
  })

  test('event types say where they go and who handles them', async () => {
    const { body } = await journey.call('GET', '/event-types')
    const purchase = body.data.find((type: { name: string }) => type.name === 'purchase')
    assert.deepEqual(
      { ...purchase, count_24h: 0 },
      { name: 'purchase', topic: 'events', key: '/user_id', handler: 'purchase', indexed: [], count_24h: 0 },
    )
  })

  test('an id that nobody sent is 404, and what is no id is 400', async () => {
    assert.equal((await journey.call('GET', `/events/${randomUUID()}`)).status, 404)
    assert.equal((await journey.call('GET', '/events/nonsense')).status, 400)
  })
})

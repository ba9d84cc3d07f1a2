import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { createClient, newEventId } from '@pulse/client'
import { processedEvents, startTestServer, type TestServer } from './server.ts'

let server: TestServer
before(async () => {
  server = await startTestServer({ env: { RATE_LIMIT_KEY: '' } })
})
after(() => server?.[Symbol.asyncDispose]())

/**
 * A way to the server that passes every request on and loses some of the answers: what a client sees when a connection
 * breaks after its request arrived. `loses` is asked once for each request, by its method and address.
 */
async function openLossyWay(to: string, loses: (request: string) => boolean) {
  const { hostname, port } = new URL(to)
  const sockets = new Set<Socket>()
  let lost = 0
  const way = createServer((near) => {
    const far = connect({ host: hostname, port: Number(port) })
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => {})
    }
    let isLost = false
    near.on('data', (chunk) => {
      const [request] = /^[A-Z]+ \/\S*/.exec(chunk.toString('latin1')) ?? []
      if (request !== undefined) isLost = loses(request)
    })
    near.pipe(far)
    far.on('data', (chunk) => {
      if (!isLost) return near.write(chunk)
      lost++
      near.destroy()
      far.destroy()
      return false
    })
    near.on('close', () => far.destroy())
    far.on('close', () => near.destroy())
  })
  way.listen(0, '127.0.0.1')
  await once(way, 'listening')
  const address = way.address()
  return {
    url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`,
    lost: () => lost,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      way.close()
      await once(way, 'close')
    },
  }
}

/** The first answers that are asked for. */
const first = (count: number) => () => count-- > 0

const freshType = () => `lost.${randomUUID().slice(0, 8)}`
const retry = { waitMsBase: 5, waitMsMax: 10 }

test('EF-06 an event whose answer is lost twice is sent again by the client and kept once', async () => {
  await using way = await openLossyWay(server.url, first(2))
  const client = createClient({ url: way.url, credential: server.key, retry })
  const type = freshType()
  const { event_id } = await client.events.publish({ event_type: type })
  assert.equal(way.lost(), 2)
  const rows = await processedEvents(server.client, type, 1)
  assert.deepEqual(
    rows.map((row) => row.event_id),
    [event_id],
  )
})

test('a batch whose answer is lost is sent again with the same ids, and each event is told as a duplicate', async () => {
  await using way = await openLossyWay(server.url, first(1))
  const client = createClient({ url: way.url, credential: () => Promise.resolve(server.key), retry })
  const type = freshType()
  const result = await client.events.publishBatch([{ event_type: type }, { event_type: type }])
  assert.deepEqual([result.accepted, result.duplicates, result.rejected], [0, 2, 0])
  assert.equal((await processedEvents(server.client, type, 2)).length, 2)
})

test('a batch gets one verdict per event in its order, also when none is accepted', async () => {
  const { events } = server.client
  const [type, id] = [freshType(), newEventId()]
  const mixed = await events.publishBatch([
    { event_type: type, event_id: id },
    { event_type: 'not a type' },
    { event_type: type, event_id: id },
  ])
  assert.deepEqual(
    mixed.results.map(({ status }) => status),
    ['accepted', 'invalid', 'duplicate'],
  )
  const refused = await events.publishBatch([
    { event_type: 'not a type' },
    { event_type: type, event_id: id, user_id: 'x' },
  ])
  assert.deepEqual(
    refused.results.map(({ status }) => status),
    ['invalid', 'conflict'],
  )
  assert.deepEqual([refused.accepted, refused.duplicates, refused.rejected], [0, 0, 2])
  assert.deepEqual(await events.publishBatch([]), { accepted: 0, duplicates: 0, rejected: 0, results: [] })
})

test('every read of the client answers in the shape that it promises', async () => {
  const { client } = server
  const session = await client.session()
  assert.deepEqual([session.kind, session.role ?? null], ['key', null])
  assert.equal(await client.ready(), true)
  assert.equal((await client.health()).status, 'healthy')
  const types = await client.eventTypes()
  assert.ok(types.some(({ name, handler }) => name === 'purchase' && handler !== null))
  const { series, interval_seconds } = await client.metrics.history({ seconds: 60 })
  assert.equal(interval_seconds, 1)
  for (const column of Object.values(series)) assert.equal(column.length, series.at.length)
  const ticket = await client.tickets.create()
  assert.ok(Date.parse(ticket.expires_at) > Date.now())
})

test('a token made by the client works until it is revoked', async () => {
  const made = await server.client.tokens.create({
    sub: 'app',
    scopes: ['events:read'],
    expires_in_seconds: 60,
  })
  const client = createClient({ url: server.url, credential: made.token })
  assert.deepEqual((await client.session()).scopes, ['events:read'])
  await server.client.tokens.revoke(made.id)
  await assert.rejects(client.session(), { status: 401, code: 'unauthenticated', retryable: false })
})

/** A small load test of these subscribers, over a way. */
const loadOver = (way: { readonly url: string }, prefix: string, sockets: number) =>
  server.pulse(['load', '--sockets', String(sockets), '--subscribers', prefix, '--events', '5'], {
    env: { PULSE_URL: way.url, PULSE_KEY: server.key },
  })

test('a load test also takes back the filter whose storing was not answered', async () => {
  const prefix = `lost-${randomUUID().slice(0, 8)}-`
  const lose = first(1)
  await using way = await openLossyWay(server.url, (request) => request === 'POST /filters' && lose())
  const { exitCode, stderr } = await loadOver(way, prefix, 3)
  assert.deepEqual([exitCode, way.lost()], [7, 1], stderr)
  assert.doesNotMatch(stderr, /could not be/)
  for (const n of [0, 1, 2])
    await assert.rejects(server.client.filters.get(`${prefix}${n}`), { code: 'not_found' })
})

test('a load test whose change of a filter was not answered puts it back as it was', async () => {
  const prefix = `lost-${randomUUID().slice(0, 8)}-`
  const own = { expression: 'user_id = "ann"' }
  await server.client.filters.create({ subscriber_id: `${prefix}0`, ...own })
  const lose = first(1)
  const changes = (request: string) => /^(POST|PUT) \/filters/.test(request)
  await using way = await openLossyWay(server.url, (request) => changes(request) && lose())
  const { stderr } = await loadOver(way, prefix, 1)
  assert.equal(way.lost(), 1, stderr)
  assert.equal((await server.client.filters.get(`${prefix}0`)).expression, own.expression)
})

test('a load test that cannot take back its filters proposes to delete none that was there before', async () => {
  const prefix = `lost-${randomUUID().slice(0, 8)}-`
  await server.client.filters.create({ subscriber_id: `${prefix}0`, expression: `user_id = "o'neil"` })
  const nexts = [
    [1, 'put back', `filters set ${prefix}0 'user_id = "o'\\''neil"'`],
    [2, 'removed', `filters delete ${prefix}1`],
  ] as const
  for (const [sockets, ...expected] of nexts) {
    // The first change of a filter that is there is the load test's own; the others put it back.
    const passes = first(1)
    const isPutBack = (request: string) => request.startsWith('PUT /filters/') && !passes()
    const loses = (request: string) => isPutBack(request) || request.startsWith('DELETE /filters/')
    await using way = await openLossyWay(server.url, loses)
    const { exitCode, stderr } = await loadOver(way, prefix, sockets)
    assert.equal(exitCode, 0, stderr)
    const [, what, next] = /could not be (.*?): .* Next: .*?(filters .*)$/m.exec(stderr) ?? []
    assert.deepEqual([what, next], expected, stderr)
  }
})

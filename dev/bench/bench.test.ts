import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { openLoad } from './load/load.ts'
import type { LoadPlan } from './load/plan.ts'
import { bodyCount, EventSource, eventText, makeBodies, windowId } from './load/sample-events.ts'
import { Figures, median } from './statistics.ts'

test('sample events are valid, varied, about 300 bytes, and the same in every process', () => {
  const bodies = makeBodies()
  assert.deepEqual(makeBodies(), bodies)
  assert.equal(new Set(bodies).size, bodyCount)
  const lengths = bodies.map((_, n) => eventText(bodies, windowId(n), n).length)
  assert.ok(Math.min(...lengths) >= 300 && Math.max(...lengths) < 340)
  const event = JSON.parse(eventText(bodies, windowId(7), 7))
  assert.match(event.event_id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.ok(event.event_type && event.user_id && event.timestamp && event.properties)
})

test('a repeat is an event that was acknowledged before, to the letter', () => {
  const source = new EventSource({ repeats: 0.5, windowEvents: 0 })
  const acknowledged = new Set<string>()
  let repeats = 0
  for (let n = 0; n < 200; n++) {
    const { text, sent } = source.body(0)
    if (sent.ids.length > 0) acknowledged.add(text)
    else repeats++
    assert.ok(acknowledged.has(text))
    source.acknowledged(sent)
  }
  assert.ok(repeats > 40 && repeats < 160, `${repeats} of 200 were repeats`)
})

test('every answer outside 2xx is a failure, and refusals have their own delays', async () => {
  let asked = 0
  await using server = await answering((bodyLength) => {
    assert.ok(bodyLength >= 300)
    asked++
    return asked % 3 === 0 ? { status: 429, body: '{}' } : { status: 202, body: '{}' }
  })
  await using load = await openLoad()
  const result = await load.run({ ...planFor(server.url), connections: 4, measuredMs: 1_000 })
  assert.equal(
    Object.values(result.outcomes).reduce((sum, n) => sum + n),
    asked,
  )
  assert.equal(result.failed, result.outcomes[429])
  assert.equal(result.accepted, result.outcomes[202])
  assert.equal(result.refused?.requests, result.failed)
})

test('a batch counts its events, and one that rejects some is a failure', async () => {
  let asked = 0
  await using server = await answering(() => {
    const rejected = ++asked === 2 ? 1 : 0
    return {
      status: 200,
      body: `{"accepted":${7 - rejected},"duplicates":3,"rejected":${rejected},"results":[]}`,
    }
  })
  await using load = await openLoad()
  const result = await load.run({ ...planFor(server.url), batch: 10, measuredMs: 1_000 })
  assert.ok(asked >= 2)
  assert.equal(result.accepted, asked * 7 - 1)
  assert.equal(result.duplicates, asked * 3)
  assert.equal(result.failed, 1)
})

test('an answer is read however the names of its headers are written', async () => {
  const refusing = () => ({ status: 408, body: '{"code":"request_timeout"}' })
  await using server = await answering(refusing, () => 0, 'Content-Length')
  await using load = await openLoad()
  const result = await load.run({ ...planFor(server.url), measuredMs: 1_000 })
  assert.ok(result.failed > 0)
  assert.equal(result.outcomes[408], result.failed)
})

test('paths are asked for in turn, and an answer that says another thing than it should is a failure', async () => {
  const asked: string[] = []
  await using server = await answering((_, path) => {
    asked.push(path)
    return { status: 200, body: path === '/b' ? '{"available":false}' : '{"available":true}' }
  })
  await using load = await openLoad()
  const asking = { paths: ['/a', '/b', '/c'], answer: '{"available":true' }
  const result = await load.run({ ...planFor(server.url), connections: 1, measuredMs: 1_000, asking })
  assert.deepEqual(asked.slice(0, 4), ['/a', '/b', '/c', '/a'])
  assert.equal(result.failed, asked.filter((path) => path === '/b').length)
  assert.equal(result.accepted, asked.length - result.failed)
  assert.equal(result.outcomes['200 that says another thing'], result.failed)
})

test('on a fixed schedule a stall of the server is a delay of everybody who came meanwhile', async () => {
  let asked = 0
  await using server = await answering(
    () => ({ status: 202, body: '{}' }),
    () => (++asked === 20 ? 300 : 0),
  )
  await using load = await openLoad()
  const pace = { kind: 'open', requestsPerSecond: 200 } as const
  const result = await load.run({ ...planFor(server.url), connections: 1, measuredMs: 1_000, pace })
  assert.equal(result.accepted, 200)
  // 60 requests were due in the 300 ms of the stall; a closed loop would have seen one slow answer.
  assert.ok((result.succeeded?.p95 ?? 0) > 150, `p95 ${result.succeeded?.p95}`)
})

test('the median of an even number of runs lies between the two in the middle', () => {
  assert.equal(median([9, 1, 5]), 5)
  assert.equal(median([1, 2, 4, 100]), 3)
  const found = new Figures()
  found.add('rate', 2)
  found.add('rate', 4)
  assert.deepEqual(found.of('rate'), [2, 4])
  assert.deepEqual(found.of('other'), [])
})

const planFor = (url: string): LoadPlan => ({
  targets: [{ url, key: 'none' }],
  connections: 2,
  pace: { kind: 'closed' },
  batch: 0,
  repeats: 0,
  windowEvents: 0,
  warmUpMs: 0,
  measuredMs: 100,
})

async function answering(
  answer: (bodyLength: number, path: string) => { status: number; body: string },
  delayMs: () => number = () => 0,
  lengthName = 'content-length',
): Promise<{ url: string } & AsyncDisposable> {
  const server = createServer((request, response) => {
    let length = 0
    request.on('data', (bytes: Buffer) => {
      length += bytes.length
    })
    request.on('end', () => {
      const { status, body } = answer(length, request.url ?? '')
      setTimeout(() => response.writeHead(status, { [lengthName]: body.length }).end(body), delayMs())
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

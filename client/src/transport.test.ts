import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import { createClient } from './client.ts'
import { PulseError } from './pulse-error.ts'

/** A peer that takes connections and does with them what it is told: what networks do to requests. */
async function openPeer(treat: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer((socket) => {
    connections++
    sockets.add(socket)
    socket.on('error', () => {})
    treat(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`,
    connections: () => connections,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

const reset = (socket: Socket) => socket.once('data', () => socket.destroy())
const silent = () => {}
const retry = { retriesMax: 2, waitMsBase: 1, waitMsMax: 2 }

const failsWith = (code: string) => (error: unknown) => error instanceof PulseError && error.code === code

test('a call that is lost on the way is repeated, as often as it may be', async () => {
  await using peer = await openPeer(reset)
  const client = createClient({ url: peer.url, retry })
  await assert.rejects(client.events.publish({ event_type: 'x' }), failsWith('network'))
  assert.equal(peer.connections(), 3)
  await assert.rejects(client.metrics.summary({ retriesMax: 0 }), failsWith('network'))
  assert.equal(peer.connections(), 4)
})

test('a call that makes something anew each time is not repeated when its fate is unknown', async () => {
  await using peer = await openPeer(reset)
  const client = createClient({ url: peer.url, retry })
  await assert.rejects(client.keys.create({ name: 'x', scopes: ['names'] }), failsWith('network'))
  assert.equal(peer.connections(), 1)
})

test('events follow no redirect: the call fails and says where it leads', async () => {
  await using elsewhere = await openPeer(reset)
  const answer = `HTTP/1.1 307 Moved\r\nLocation: ${elsewhere.url}/events\r\nContent-Length: 0\r\n\r\n`
  await using peer = await openPeer((socket) => socket.once('data', () => socket.end(answer)))
  const client = createClient({ url: peer.url, credential: 'secret', retry })
  await assert.rejects(client.events.publish({ event_type: 'x' }), (error) => {
    assert.ok(error instanceof PulseError)
    assert.deepEqual([error.code, error.status], ['unexpected_answer', 307])
    assert.ok(error.message.includes(`leads to ${elsewhere.url}/events`))
    return true
  })
  assert.equal(elsewhere.connections(), 0)
})

test('an answer that does not come is a time-out', async () => {
  await using peer = await openPeer(silent)
  const client = createClient({ url: peer.url, timeoutMsMax: 30, retry: { retriesMax: 0 } })
  await assert.rejects(client.session(), failsWith('timeout'))
})

test('a signal ends a call with its reason: before it, under way, and while it waits to repeat', async () => {
  await using peer = await openPeer(silent)
  const reason = new Error('enough')
  const client = createClient({
    url: peer.url,
    retry: { retriesMax: 9, waitMsBase: 60_000, waitMsMax: 60_000 },
  })
  await assert.rejects(client.session({ signal: AbortSignal.abort(reason) }), reason)
  assert.equal(peer.connections(), 0)

  const underWay = new AbortController()
  const call = client.session({ signal: underWay.signal })
  underWay.abort(reason)
  await assert.rejects(call, reason)

  await using broken = await openPeer((socket) => {
    reset(socket)
    // The answer is lost at once; the client then waits for up to a minute.
    socket.once('close', () => setImmediate(() => waiting.abort(reason)))
  })
  const waiting = new AbortController()
  const patient = createClient({
    url: broken.url,
    retry: { retriesMax: 9, waitMsBase: 60_000, waitMsMax: 60_000 },
  })
  await assert.rejects(patient.session({ signal: waiting.signal }), reason)
})

test('a server that asks for more patience than there is gets none', async () => {
  await using peer = await openPeer((socket) => {
    socket.once('data', () =>
      socket.end('HTTP/1.1 503 Service Unavailable\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n'),
    )
  })
  const client = createClient({ url: peer.url, retry: { retriesMax: 3, retryAfterMsMax: 1_000 } })
  await assert.rejects(client.session(), { status: 503, retryAfter: 120, retryable: true })
  assert.equal(peer.connections(), 1)
})

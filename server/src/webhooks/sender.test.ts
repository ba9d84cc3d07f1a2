import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, createServer as createSocketServer } from 'node:net'
import { test } from 'node:test'
import { newWebhookSecret, verifyWebhook } from '@pulse/protocol/webhook-signature'
import { createPublicLookup, type Resolve } from './addresses.ts'
import { createSender } from './sender.ts'

async function openServer(listener: RequestListener) {
  const server = createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

const request = (url: string) => ({ url, secret: newWebhookSecret(), id: 'id', body: '{}' })
const settings = { allowPrivate: false, timeoutMs: 1_000, version: '0' }

/** Gives these addresses by turns, as a name server whose answers change does. */
function resolveByTurns(...turns: readonly string[][]): { resolve: Resolve; asked: () => number } {
  let asked = 0
  return {
    resolve: (_host, _options, done) => {
      const addresses = turns[Math.min(asked++, turns.length - 1)] ?? []
      done(
        null,
        addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      )
    },
    asked: () => asked,
  }
}

test('an address that is private is not connected to, whether written or looked up', async () => {
  let came = 0
  await using server = await openServer((_request, response) => {
    came++
    response.end()
  })
  const { resolve } = resolveByTurns(['127.0.0.1'], ['::1'], ['::ffff:127.0.0.1'], ['127.0.0.1', '10.0.0.1'])
  using sender = createSender({ ...settings, resolve })
  const hosts = ['127.0.0.1', '[::1]', '[::ffff:127.0.0.1]', ...Array(4).fill('hooks.example.com')]
  for (const host of hosts) {
    const outcome = await sender.send(request(`http://${host}:${server.port}/`))
    assert.ok(outcome.kind === 'failed', host)
    assert.equal(outcome.failure.errorClass, 'RefusedAddressError')
    assert.match(outcome.failure.message, /WEBHOOK_ALLOW_PRIVATE/)
  }
  assert.equal(came, 0)
})

test('a name that was public when it was looked up first is refused when it means a private address later', async () => {
  let came = 0
  await using server = await openServer((_request, response) => {
    came++
    response.end()
  })
  const { resolve, asked } = resolveByTurns(['1.2.3.4'], ['127.0.0.1'])
  // As whoever checks a name beforehand would see it; nothing is connected to.
  createPublicLookup(resolve)('rebinding.example.com', {}, (error, address) => {
    assert.deepEqual([error, address], [null, '1.2.3.4'])
  })
  using sender = createSender({ ...settings, resolve })
  const outcome = await sender.send(request(`http://rebinding.example.com:${server.port}/`))
  assert.ok(outcome.kind === 'failed' && outcome.failure.errorClass === 'RefusedAddressError')
  assert.equal(asked(), 2, 'the address that is connected to is the one that is checked')
  assert.equal(came, 0)
})

test('of several addresses of a name only the public ones are connected to', async () => {
  const tried: string[] = []
  const { resolve } = resolveByTurns(['10.0.0.1', '1.2.3.4', 'fd00::1'])
  createPublicLookup(resolve)('hooks.example.com', { all: true }, (error, addresses) => {
    assert.equal(error, null)
    for (const { address } of addresses as { address: string }[]) tried.push(address)
  })
  assert.deepEqual(tried, ['1.2.3.4'])
})

test('an endless answer is cut, and its status counts', async () => {
  await using server = await openServer((_request, response) => {
    response.writeHead(200)
    const write = () => {
      while (!response.destroyed && response.write('x'.repeat(65_536)));
    }
    response.on('drain', write)
    write()
  })
  using sender = createSender({ ...settings, allowPrivate: true })
  const outcome = await sender.send(request(`http://127.0.0.1:${server.port}/`))
  assert.deepEqual(outcome, { kind: 'answered', status: 200, retryAfterMs: undefined })
})

test('an answer that trickles is over when its time is', async () => {
  await using server = await openServer((_request, response) => {
    response.writeHead(200)
    const timer = setInterval(() => response.write('x'), 20)
    response.on('close', () => clearInterval(timer))
  })
  using sender = createSender({ ...settings, allowPrivate: true, timeoutMs: 200 })
  const outcome = await sender.send(request(`http://127.0.0.1:${server.port}/`))
  assert.ok(outcome.kind === 'failed' && outcome.failure.errorClass === 'Timeout')
})

test('a kept connection that the other side has closed fails nothing', async () => {
  let sockets = 0
  // Answers once per connection and then closes it without a word.
  const server = createSocketServer((socket) => {
    sockets++
    let requests = 0
    socket.on('error', () => {})
    socket.on('data', () => {
      requests++
      if (requests > 1) socket.resetAndDestroy()
      else socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const sender = createSender({ ...settings, allowPrivate: true })
  for (let n = 0; n < 3; n++) {
    const outcome = await sender.send(request(`http://127.0.0.1:${port}/`))
    assert.equal(outcome.kind, 'answered')
  }
  assert.equal(sockets, 3)
  sender[Symbol.dispose]()
  server.close()
  await once(server, 'close')
})

test('a request that is called off leaves, and one that was signed is verified by its exact body only', async () => {
  const seen: { headers: Record<string, string>; body: string }[] = []
  await using server = await openServer((incoming, response) => {
    let body = ''
    incoming.on('data', (chunk: Buffer) => {
      body += chunk
    })
    incoming.on('end', () => {
      seen.push({ headers: incoming.headers as Record<string, string>, body })
      if (body !== '{"hang":true}') response.end()
    })
  })
  using sender = createSender({ ...settings, allowPrivate: true })
  const secret = newWebhookSecret()
  const url = `http://127.0.0.1:${server.port}/`
  await sender.send({ url, secret, id: 'a', body: '{"ä":1}' })
  const [first] = seen
  assert.ok(first)
  const nowSeconds = Date.now() / 1_000
  assert.equal(await verifyWebhook(secret, first), 'good')
  assert.equal(await verifyWebhook(secret, { ...first, body: '{"ä":2}' }), 'forged')
  assert.equal(await verifyWebhook(newWebhookSecret(), first), 'forged')
  assert.equal(await verifyWebhook(secret, first, nowSeconds + 400), 'old')
  assert.equal(await verifyWebhook(secret, { ...first, headers: {} }), 'unsigned')
  const calledOff = new AbortController()
  const left = sender.send({ url, secret, id: 'b', body: '{"hang":true}', signal: calledOff.signal })
  while (seen.length < 2) await new Promise((resolve) => setTimeout(resolve, 5))
  calledOff.abort()
  assert.deepEqual(await left, { kind: 'left' })
})

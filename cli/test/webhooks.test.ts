import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { verifyWebhook, type Webhook } from '@pulse/client'
import { formatStreamPosition, parseStreamPosition } from '@pulse/protocol/stream-position'
import { signWebhook } from '@pulse/protocol/webhook-signature'
import type { Ran } from './run-pulse.ts'
import { eventually, startTestServer, type TestServer } from './server.ts'

let server: TestServer
before(async () => {
  const env = { WEBHOOK_ALLOW_PRIVATE: 'true', WEBHOOK_RETRY_BASE_MS: '50', WEBHOOK_RETRY_MAX_MS: '200' }
  server = await startTestServer({ env })
})
after(() => server?.[Symbol.asyncDispose]())

const freshType = () => `hooked.${randomUUID().slice(0, 8)}`
const linesOf = (text: string) => text.split('\n').filter((line) => line !== '')

async function send(type: string, ...amounts: number[]): Promise<void> {
  const events = amounts.map((amount) => ({ event_type: type, user_id: 'u1', properties: { amount } }))
  assert.equal((await server.client.events.publishBatch(events)).accepted, amounts.length)
}

interface Listening extends AsyncDisposable {
  readonly url: string
  lines(): string[]
  until(lines: number): Promise<void>
  /** Ends it as Ctrl-C does. */
  stop(): Promise<Ran>
}

/** Starts `pulse listen` as a receiver; a port that was free a moment ago tells where it is. */
async function startListening(words: readonly string[]): Promise<Listening> {
  const port = await freePort()
  const ctrlC = new AbortController()
  let printed = ''
  const ran = server.pulse(['listen', '--port', String(port), ...words], {
    interrupt: ctrlC.signal,
    onStdout: (text) => {
      printed = text
    },
  })
  const url = `http://127.0.0.1:${port}`
  await eventually(async () => ((await fetch(url)).status === 405 ? true : undefined))
  const lines = () => linesOf(printed)
  return {
    url,
    lines,
    until: async (count) => void (await eventually(async () => lines().length >= count || undefined)),
    stop: () => {
      ctrlC.abort()
      return ran
    },
    [Symbol.asyncDispose]: async () => {
      ctrlC.abort()
      await ran
    },
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}

/** A program of a user's that takes webhooks, and answers each with the next of these statuses, then with 200. */
async function openProgram(statuses: number[] = []) {
  const requests: { headers: Record<string, string>; body: string }[] = []
  const program = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => {
      body += chunk
    })
    request.on('end', () => {
      requests.push({ headers: request.headers as Record<string, string>, body })
      response.writeHead(statuses.shift() ?? 200).end()
    })
  }).listen(0, '127.0.0.1')
  await once(program, 'listening')
  const { port } = program.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/hooks`,
    requests,
    [Symbol.asyncDispose]: async () => {
      program.closeAllConnections()
      program.close()
      await once(program, 'close')
    },
  }
}

test('a webhook whose receiver is not there is made all the same, and a try says why it fails', async () => {
  const url = `http://127.0.0.1:${await freePort()}/`
  const made = await server.pulse(['webhooks', 'create', 'user_1', url, `event_type = "${freshType()}"`])
  assert.equal(made.exitCode, 0, made.stderr)
  assert.match(made.stdout, /^whsec_\S+\n$/)
  const id = /Webhook (\S+) is made/.exec(made.stderr)?.[1] ?? ''
  const tried = await server.pulse(['webhooks', 'test', id])
  assert.equal(tried.exitCode, 1)
  assert.match(tried.stderr, /^pulse: not delivered: .*ECONNREFUSED/)
})

test('a webhook shows the gap that its receiver was told of', async () => {
  await using program = await openProgram()
  const body = { subscriber_id: 'user_1', url: program.url, filter: { event_types: [freshType()] } }
  const { position } = await server.client.webhooks.create(body)
  // The same place in the log's life before this one, as after a restore.
  const before = (parseStreamPosition(position) ?? []).map((one) => ({ ...one, epoch: one.epoch + 1 }))
  const { id } = await server.client.webhooks.create({ ...body, position: formatStreamPosition(before) })
  const shown = await eventually(async () => {
    const { stdout } = await server.pulse(['webhooks', 'get', id])
    return stdout.includes('the receiver was told') ? stdout : undefined
  })
  assert.match(shown, /gaps {10}1, last \S+Z\n {2}last gap {6}epoch; the receiver was told\n/)
})

test('listen checks signatures, tells repeats, and refuses what is forged', async () => {
  const secret = `whsec_${Buffer.from('a secret of this test only').toString('base64')}`
  await using listening = await startListening(['--secret', secret, '--json'])
  const event = {
    event_id: randomUUID(),
    event_type: 'a.b',
    user_id: 'u',
    timestamp: new Date().toISOString(),
  }
  const body = JSON.stringify({ ...event, properties: { n: 1 } })
  const timestamp = String(Math.floor(Date.now() / 1_000))
  const post = async (signedWith: string, at = timestamp) => {
    const signature = await signWebhook(signedWith, { id: event.event_id, timestamp: at, body })
    const headers = {
      ...{ 'webhook-id': event.event_id, 'webhook-timestamp': at, 'webhook-signature': signature },
    }
    return (await fetch(listening.url, { method: 'POST', headers, body })).status
  }
  assert.equal(await post(secret), 204)
  assert.equal(await post(secret), 204)
  assert.equal(await post(`whsec_${Buffer.from('another').toString('base64')}`), 401)
  assert.equal(await post(secret, '1000'), 401)
  assert.equal((await fetch(listening.url, { method: 'POST', body })).status, 401)
  await listening.until(5)
  const { exitCode, stderr } = await listening.stop()
  assert.equal(exitCode, 0)
  assert.match(stderr, /^Listening on http:\/\/127\.0\.0\.1:\d+\. Ctrl-C ends\.\n$/)
  const told = listening.lines().map((line) => JSON.parse(line) as { signature: string; repeat: boolean })
  assert.deepEqual(
    told.map(({ signature, repeat }) => [signature, repeat]),
    [
      ['good', false],
      ['good', true],
      ['forged', true],
      ['old', true],
      ['unsigned', false],
    ],
  )
})

test('a webhook’s events come to listen, which hands them on as they came and answers with what came back', async () => {
  const type = freshType()
  await using program = await openProgram([500])
  await using listening = await startListening(['--forward-to', program.url])
  const made = await server.pulse(['webhooks', 'create', 'user_1', listening.url, '--types', type, '--json'])
  const { id, secret } = (JSON.parse(made.stdout) as { data: { id: string; secret: string } }).data
  await send(type, 42)
  await listening.until(2)
  const [first = '', second = ''] = listening.lines()
  assert.match(first, new RegExp(`^unchecked {2}500 {2}\\S+ \\S+Z {2}${type}  u1 +\\S+  amount=42$`))
  assert.match(second, /^unchecked {2}200/)
  for (const request of program.requests) assert.equal(await verifyWebhook(secret, request), 'good')
  const tried = await server.pulse(['webhooks', 'test', id])
  assert.match(tried.stdout, /^Delivered: 200 after \d+ ms\.\n$/)
  await eventually(async () => ((await server.client.webhooks.get(id)).delivered === 1 ? true : undefined))
  const paused = await server.pulse(['webhooks', 'pause', id])
  assert.equal(paused.stdout, `Webhook ${id} is paused.\n`)
  const shown = await server.pulse(['webhooks', 'get', id])
  assert.match(shown.stdout, /status {8}paused: paused on request\n/)
  const resumed = await server.pulse(['webhooks', 'resume', id, '--json'])
  assert.equal((JSON.parse(resumed.stdout) as { data: Webhook }).data.status, 'active')
  const listed = await server.pulse(['webhooks', 'list', '--subscriber', 'user_1'])
  assert.match(listed.stdout, new RegExp(`^ID .*\n(.*\n)*${id}  user_1 +active +1 +0 `))
  assert.equal((await server.pulse(['webhooks', 'delete', id, '--yes'])).exitCode, 0)
  assert.equal((await server.pulse(['webhooks', 'get', id])).exitCode, 5)
  const { exitCode, stderr } = await listening.stop()
  assert.equal(exitCode, 0)
  assert.match(stderr, /Signatures are not checked\. Next: add --secret/)
})

test('listen follows the stream by itself and forwards its events signed, trying again what failed', async () => {
  const type = freshType()
  await using program = await openProgram([503, 503])
  const ran = server.pulse([
    ...['listen', '--filter', `event_type = "${type}"`, '--forward-to', program.url, '--limit', '2'],
  ])
  await eventually(async () => {
    const open = await server.client.streams.list()
    return (
      open.data.some(({ state, subscriber }) => state === 'live' && subscriber?.startsWith('listen-')) ||
      undefined
    )
  })
  await send(type, 1, 2)
  const { exitCode, stdout, stderr } = await ran
  assert.equal(exitCode, 0, stderr)
  assert.match(stdout, new RegExp(`^200  \\S+ \\S+Z  ${type}  u1 +\\S+  amount=1\n200  .*amount=2\n$`))
  const secret = /The signing secret is (\S+)/.exec(stderr)?.[1] ?? ''
  assert.equal(program.requests.length, 4)
  for (const request of program.requests) assert.equal(await verifyWebhook(secret, request), 'good')
  const [first, second, third] = program.requests
  assert.equal(first?.headers['webhook-id'], third?.headers['webhook-id'])
  assert.equal(first?.body, second?.body)
  assert.match((JSON.parse(first?.body ?? '{}') as { position: string }).position, /~/)
})

test('what makes no sense is a usage error with the way on', async () => {
  const faults = [
    [['listen', '--filter', 'everything'], /need --forward-to/],
    [['listen', '--filter', 'a', '--subscriber', 'b', '--forward-to', 'http://a'], /do not go together/],
    [['listen', '--forward-to', 'there'], /not a URL/],
    [['listen', '--secret', 'hush'], /whsec_/],
    [['webhooks', 'create', 'user_1', 'https://hooks.example.com/', 'nonsense ='], /.+/],
  ] as const
  for (const [words, expected] of faults) {
    const { exitCode, stderr } = await server.pulse(words)
    assert.equal(exitCode, 2, `${words}: ${stderr}`)
    assert.match(stderr, expected)
  }
})

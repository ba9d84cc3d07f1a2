import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import type { Clock } from './clock.ts'
import { type FollowOptions, type FollowState, follow } from './following.ts'

type Answer = (request: IncomingMessage, response: ServerResponse) => void

/** Answers the first request with the first of these, and so on; the last one answers the rest too. */
async function serve(t: TestContext, answers: readonly Answer[]) {
  const asked: IncomingMessage[] = []
  const server = createServer((request, response) => {
    const answer = answers[Math.min(asked.length, answers.length - 1)]
    asked.push(request)
    answer?.(request, response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked }
}

const stream =
  (text: string, { ends = false } = {}): Answer =>
  (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
    response.write(text)
    if (ends) response.end()
  }

const refuse =
  (status: number, code: string): Answer =>
  (_, response) => {
    response.writeHead(status, { 'content-type': 'application/problem+json' })
    response.end(JSON.stringify({ code, title: 'No', detail: 'Expected a value (character 3)', status }))
  }

const event = (id: string) => `id: ${id}\ndata: {"event_id":"${id}"}\n\n`

/** The system's clock, which a test may set ahead and which does not wait. */
class HastyClock implements Clock {
  aheadMs = 0
  /** How long it was to wait, each time. */
  readonly askedMs: number[] = []
  now() {
    return Date.now() + this.aheadMs
  }
  after(ms: number, call: () => void) {
    this.askedMs.push(ms)
    const timer = setTimeout(call, ms >= 30_000 ? ms : 0)
    return () => clearTimeout(timer)
  }
}

function begin(
  t: TestContext,
  url: string,
  { clock = new HastyClock(), ...options }: Partial<FollowOptions> & { clock?: HastyClock } = {},
) {
  const told: string[] = []
  const states: FollowState[] = []
  const following = follow(
    {
      filter: 'everything',
      onEvent: ({ event_id }) => void told.push(event_id),
      onGap: ({ reason }) => void told.push(`gap ${reason}`),
      onConnection: (state) => void states.push(state),
      ...options,
    },
    { url, credential: 'pk_1' },
    { clock, random: () => 0 },
  )
  t.after(() => following.close())
  return { following, told, states }
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 5_000
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`${what}: not within 5 s`)
    await pause(5)
  }
}

test('a stream that breaks goes on from the last position, with the credential, and says why it waited', async (t) => {
  const { url, asked } = await serve(t, [
    stream(`retry: 10\n\n${event('a')}${event('b')}`, { ends: true }),
    refuse(503, 'shutting_down'),
    stream(`event: gap\nid: c\ndata: {"from":"b","to":"c","reason":"retention"}\n\n${event('d')}`),
  ])
  const { following, told, states } = begin(t, url)
  await until('the events of both connections', () => told.length === 4)
  assert.deepEqual(told, ['a', 'b', 'gap retention', 'd'])
  assert.deepEqual(
    asked.map(({ headers }) => headers['last-event-id']),
    [undefined, 'b', 'b'],
  )
  assert.equal(asked[0]?.headers.authorization, 'Bearer pk_1')
  assert.equal(asked[0]?.url, '/stream?filter=everything')
  const waited = states.filter(({ kind }) => kind === 'waiting')
  assert.deepEqual(
    waited.map(({ error, failures }) => [error?.code, failures]),
    [
      ['network', 1],
      ['shutting_down', 2],
    ],
  )
  assert.deepEqual([following.connection.kind, following.connection.error], ['live', undefined])
  assert.equal(following.position, 'd')
})

const close = (data: object) => `event: close\ndata: ${JSON.stringify(data)}\n\n`

test('a stream that the server closes is come back to as its last event says', async (t) => {
  const { url, asked } = await serve(t, [
    stream(event('a') + close({ code: 4503, reason: 'the server stops', come_back: 'resume' }), {
      ends: true,
    }),
    stream(event('b') + close({ code: 4500, reason: 'away', come_back: 'resume', retry_after: 2 })),
    stream(event('c') + close({ code: 4410, reason: 'gone', come_back: 'afresh' })),
    stream(event('d') + close({ code: 4401, reason: 'revoked', come_back: 'never' })),
  ])
  const { following, told, states } = begin(t, url)
  await until('ended', () => following.connection.kind === 'ended')
  assert.deepEqual(told, ['a', 'b', 'c', 'd'])
  assert.deepEqual(
    asked.map(({ headers }) => headers['last-event-id']),
    [undefined, 'a', 'b', undefined],
  )
  const waited = states.filter(({ kind }) => kind === 'waiting')
  assert.deepEqual(
    waited.map(({ error }) => [error?.code, error?.detail, error?.retryAfter]),
    [
      ['shutting_down', 'the server stops', undefined],
      ['unavailable', 'away', 2],
      ['unavailable', 'gone', undefined],
    ],
  )
  assert.equal(following.connection.error?.code, 'unauthenticated')
  assert.equal(asked.length, 4, 'nobody comes back after that')
})

test('a wait that the server asks for in the same piece as its close is kept', async (t) => {
  const ends = close({ code: 4503, reason: 'the server stops', come_back: 'resume' })
  const { url } = await serve(t, [stream(`${event('a')}retry: 700\n\n${ends}`), stream(event('b'))])
  const clock = new HastyClock()
  const { told } = begin(t, url, { clock })
  await until('both events', () => told.length === 2)
  assert.deepEqual(
    clock.askedMs.filter((ms) => ms < 30_000),
    [700],
  )
})

test('who can have another credential comes back with it once its own has ended', async (t) => {
  const ended = close({ code: 4401, reason: 'the credential is not valid any more', come_back: 'never' })
  const { url, asked } = await serve(t, [stream(event('a') + ended), stream(event('b'))])
  let asks = 0
  const told: string[] = []
  const following = follow(
    { filter: 'everything', onEvent: ({ event_id }) => void told.push(event_id), onGap: () => {} },
    { url, credential: async () => `token_${++asks}` },
    { clock: new HastyClock(), random: () => 0 },
  )
  t.after(() => following.close())
  await until('both events', () => told.length === 2)
  assert.deepEqual(
    asked.map(({ headers }) => headers.authorization),
    ['Bearer token_1', 'Bearer token_2'],
  )
})

test('a filter that cannot be read ends it, with the words of the server', async (t) => {
  const { url, asked } = await serve(t, [refuse(422, 'invalid_filter')])
  const { following } = begin(t, url)
  await until('ended', () => following.connection.kind === 'ended')
  assert.equal(following.connection.error?.code, 'invalid_filter')
  following.retry()
  const other = begin(t, url)
  await until('the other one ended', () => other.following.connection.kind === 'ended')
  assert.equal(asked.length, 2, 'nobody asks again what was refused for good')
})

test('after too long an absence it goes on from now, and says since when it has seen nothing', async (t) => {
  const { url, asked } = await serve(t, [stream(event('a'), { ends: true }), stream(event('b'))])
  const clock = new HastyClock()
  const skipped: number[] = []
  const { told } = begin(t, url, {
    clock,
    absenceMsMax: 60_000,
    onSkipped: (sinceMs) => void skipped.push(sinceMs),
    onConnection: ({ kind }) => {
      if (kind === 'waiting') clock.aheadMs = 61_000
    },
  })
  await until('the second connection', () => told.length === 2)
  assert.equal(asked[1]?.headers['last-event-id'], undefined)
  assert.equal(skipped.length, 1)
})

test('a consumer that throws ends it; closing stops everything', async (t) => {
  const { url, asked } = await serve(t, [stream(event('a') + event('b'))])
  const { following } = begin(t, url, {
    onEvent: () => {
      throw new Error('no room')
    },
  })
  await until('ended', () => following.connection.kind === 'ended')
  assert.match(following.connection.error?.detail ?? '', /no room/)
  const other = begin(t, url)
  await until('live', () => other.told.length === 2)
  other.following.close()
  assert.deepEqual([other.following.connection.kind, other.following.connection.error], ['ended', undefined])
  await until('the connection is closed', () => asked.every(({ socket }) => socket.destroyed))
})

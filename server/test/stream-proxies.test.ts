import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { eventually } from '@pulse/dev/services/eventually'
import { startPulse } from '@pulse/dev/services/pulse'
import { type ServedPage, servePage } from '@pulse/dev/services/served-page'
import { frameLimits } from '@pulse/protocol/frames'
import { openBrowser, skipBrowser } from './browser.ts'
import { type ProxyKind, type ProxyProcess, proxyProgram, startProxy } from './proxy-process.ts'
import { EventStreamReader, FrameReader, idsOf, type Target, TestSocket } from './stream-client.ts'
import { openStreamJourney, type StreamJourney } from './stream-journey.ts'
import { openEventSource, openHook } from './stream-windows.ts'

// Streams through the published proxies, and in a real browser, with and without one.

const publicUrl = 'https://pulse.example.com'
const deploy = join(import.meta.dirname, '..', '..', 'deploy')
const hookPage = join(import.meta.dirname, '..', '..', 'client', 'test', 'react-page.ts')
const waitMsMax = 20_000

let page: ServedPage | undefined
before(async () => {
  if (!skipBrowser) page = await servePage(hookPage)
})
after(() => page?.[Symbol.asyncDispose]())

const aPurchase = (n = 1) => ({
  ...{ event_id: randomUUID(), event_type: 'purchase', user_id: `user_${n}` },
  properties: { amount: n },
})

test('the published files let a stream be silent for longer than two heartbeats', async () => {
  const nginx = await readFile(join(deploy, 'nginx', 'pulse.conf'), 'utf8')
  const haproxy = await readFile(join(deploy, 'haproxy', 'haproxy.cfg'), 'utf8')
  const times = [
    ...nginx.matchAll(/proxy_read_timeout +(\d+)s/g),
    ...haproxy.matchAll(/timeout (?:client|server|tunnel) (\d+)s/g),
  ].map(([, seconds]) => Number(seconds) * 1_000)
  assert.equal(times.length, 4)
  for (const ms of times) assert.ok(ms > 2 * frameLimits.heartbeatMs, `${ms} ms`)
})

for (const kind of ['nginx', 'haproxy'] as const)
  describe(`streams behind ${kind} with the published file`, () => behind(kind))

function behind(kind: ProxyKind): void {
  let journey: StreamJourney
  let proxy: ProxyProcess | undefined
  let target: Target

  before(async () => {
    const program = await proxyProgram(kind)
    if (program === undefined) return
    journey = await openStreamJourney({
      ...{ PUBLIC_URL: publicUrl, TRUSTED_PROXIES: '127.0.0.1', RATE_LIMIT_KEY: '' },
      RATE_LIMIT_ADDRESS: '10000/1m',
    })
    proxy = await startProxy(kind, program, Number(new URL(journey.server.url).port))
    target = { url: `https://127.0.0.1:${proxy.tlsPort}`, key: journey.server.key, ca: proxy.ca }
    await throughAgain()
  })
  after(async () => {
    await proxy?.[Symbol.asyncDispose]()
    await journey?.[Symbol.asyncDispose]()
  })

  /** HAProxy has to see /readyz answer 200 first. */
  async function throughAgain(): Promise<void> {
    const subscriber = await journey.subscriber({ event_types: [] })
    const open = async () => {
      const socket = await TestSocket.open(target, subscriber)
      await socket[Symbol.asyncDispose]()
      return true
    }
    await eventually('a socket through the proxy', open, waitMsMax)
  }

  /** A test that is skipped, visibly, where the proxy cannot be had. */
  const it = (title: string, body: (through: ProxyProcess) => Promise<void>, skip: string | false = false) =>
    test(title, { skip }, async (t) => {
      if (proxy === undefined) return t.skip(`${kind} is not installed and cannot be installed by this user`)
      await body(proxy)
    })

  it('each event comes through at once over every transport, and each stream goes on behind the proxy where it was', async (through) => {
    const subscriber = await journey.subscriber({ event_types: ['purchase'] })
    const sent: ReturnType<typeof aPurchase>[] = []
    const post = async () => {
      sent.push(aPurchase(sent.length + 1))
      await journey.post(sent.slice(-1))
    }
    await using socket = await TestSocket.open(target, subscriber)
    await using reader = await FrameReader.open(target, subscriber)
    using stream = await EventStreamReader.open(target, { subscriber })
    assert.equal(String(stream.headers['content-type']).split(';', 1)[0], 'text/event-stream')
    await stream.named('checkpoint', waitMsMax)
    await journey.live(subscriber, 3)
    // Each before the next is sent: a proxy that holds back what came until its buffer is full holds it for ever here.
    for (let n = 1; n <= 3; n++) {
      await post()
      await Promise.all([socket.count(n), reader.count(n), stream.count(n)])
    }
    await through.restart(0)
    await socket.ended()
    await reader.socket.ended()
    await eventually('the event stream ends', async () => (stream.ended ? true : undefined), waitMsMax)
    await post()
    await throughAgain()
    const query = { position: String(socket.messages.at(-1)?.position) }
    await using socketBack = await TestSocket.open(target, subscriber, { query })
    await using readerBack = await FrameReader.open(target, subscriber, { position: reader.position })
    const headers = { 'last-event-id': stream.lastEventId }
    using streamBack = await EventStreamReader.open(target, { subscriber }, headers)
    await Promise.all([socketBack.count(1), readerBack.count(1), streamBack.count(1)])
    await post()
    await Promise.all([socketBack.count(2), readerBack.count(2), streamBack.count(2)])
    const missed = idsOf(sent.slice(3))
    for (const ids of [idsOf(socketBack.messages), readerBack.ids, idsOf(streamBack.events)])
      assert.deepEqual(ids.toSorted(), missed.toSorted())
    assert.deepEqual([...reader.broken, ...readerBack.broken], [])
  })

  it('what the server refuses comes through with its status', async () => {
    await assert.rejects(TestSocket.open({ ...target, key: 'pulse_wrong' }, 'user_1'), /401/)
    await assert.rejects(EventStreamReader.open(target, { subscriber: 'nobody' }), /404/)
  })

  const goOn =
    'a real EventSource and the React hook of the published client go on by themselves where they were while the proxy was away'
  const inBrowser = async (through: ProxyProcess) => {
    const rules = `MAP pulse.example.com:443 127.0.0.1:${through.tlsPort}`
    await followInBrowser({
      journey,
      origin: publicUrl,
      words: [`--host-resolver-rules=${rules}`],
      interrupt: () => through.restart(1_000),
    })
  }
  it(goOn, inBrowser, skipBrowser)
}

test('a real EventSource and the React hook go on by themselves where they were while the server was killed and started again', {
  skip: skipBrowser,
}, async () => {
  await using journey = await openStreamJourney({ RATE_LIMIT_KEY: '' })
  const { server } = journey
  const port = new URL(server.url).port
  await using stack = new AsyncDisposableStack()
  await followInBrowser({
    journey,
    origin: server.url,
    words: [],
    interrupt: async () => {
      await server.kill()
      const again = await startPulse(server.data, { PORT: port, RATE_LIMIT_KEY: '' })
      stack.defer(async () => void (await again.stop()))
    },
  })
})

interface Followed {
  readonly journey: StreamJourney
  readonly origin: string
  /** For the browser's command line. */
  readonly words: readonly string[]
  /** Breaks the connections; when it resolves there is a way to the server again. */
  readonly interrupt: () => Promise<void>
}

/** Two pages of a browser, one with an `EventSource` and one with the React hook, through one interruption. */
async function followInBrowser({ journey, origin, words, interrupt }: Followed): Promise<void> {
  const browser = await openBrowser(words)
  await using stack = new AsyncDisposableStack()
  stack.defer(() => browser.close())
  const context = await browser.newContext({ ignoreHTTPSErrors: true })
  context.setDefaultTimeout(20_000)
  const source = await openEventSource(await context.newPage(), { journey, origin })
  const hook = await openHook(await context.newPage(), { journey, origin, address: String(page?.url) })
  await Promise.all([source.begin(), hook.begin()])
  await hook.sendWhile(interrupt)
  await Promise.all([source.goOn(), hook.goOn()])
}

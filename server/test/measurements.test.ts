import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { after, before, test } from 'node:test'
import { eventually } from '@pulse/dev/services/eventually'
import { aPurchase, type Journey, startJourney } from './journey.ts'

const waitMsMax = 20_000

// One server for all; the last test stops it.
let journey: Journey
before(async () => {
  journey = await startJourney()
})
after(() => journey?.[Symbol.asyncDispose]())

interface Measurement {
  readonly topic: string
  readonly value: number | null
  readonly figures: readonly { readonly name: string; readonly value: number | null }[]
}

/** Follows `/stream` as a stranger. */
async function follow(url: string) {
  const request = get(`${url}/stream`, { agent: false })
  request.on('error', () => {})
  const [answer] = (await once(request, 'response')) as [IncomingMessage]
  assert.equal(answer.statusCode, 200)
  let text = ''
  answer.setEncoding('utf8').on('data', (part: string) => {
    text += part
  })
  const events = () =>
    [...text.matchAll(/^data: (\{"time".*)$/gm)].map(([, data]) => JSON.parse(data ?? '') as Measurement)
  return {
    ...{ text: () => text, events, hasEnded: () => answer.readableEnded },
    /** The first event of a topic for which this holds. */
    until: (topic: string, holds: (event: Measurement) => boolean) =>
      eventually(
        topic,
        async () => events().find((event) => event.topic === topic && holds(event)),
        waitMsMax,
      ),
    [Symbol.dispose]: () => void request.destroy(),
  }
}

const figure = (event: Measurement, name: string) =>
  event.figures.find((one) => one.name === name)?.value ?? undefined

test('BF-17 the stream of a running server tells of itself what is true, to everybody', async () => {
  const { url } = journey.server
  using viewer = await follow(url)
  using other = await follow(url)
  await viewer.until('User Activity', (event) => figure(event, 'watching') === 2)
  await journey.call(
    'POST',
    '/events',
    Array.from({ length: 40 }, () => aPurchase()),
  )
  for (let request = 0; request < 20; request++)
    assert.equal((await fetch(`${url}/stream?subscriber=a`)).status, 401)
  await viewer.until('Global Metrics', (event) => (figure(event, 'received') ?? 0) >= 10)
  await viewer.until(
    'Security Audit',
    (event) => (figure(event, 'refused') ?? 0) > 0 && (event.value ?? 0) > 50,
  )
  const { value } = await viewer.until(
    'System Health',
    (event) => (figure(event, 'database answer') ?? 0) > 0,
  )
  assert.ok(value !== null && value <= 100)
  const [first] = viewer.events()
  await eventually(
    'the same for everyone',
    async () =>
      JSON.stringify(other.events()).includes(JSON.stringify(viewer.events().at(-1))) ? true : undefined,
    waitMsMax,
  )
  assert.deepEqual(Object.keys(first ?? {}).slice(0, 4), ['time', 'topic', 'message', 'value'])
})

test('names that are asked for and taken show in the stream and in the metrics, and wait for no processing', async () => {
  const { url } = journey.server
  using viewer = await follow(url)
  await viewer.until('User Activity', (event) => figure(event, 'checked') === 0)
  for (const username of ['ada', 'bob', 'two words'])
    await fetch(`${url}/api/check-username?username=${encodeURIComponent(username)}`)
  const socket = new WebSocket(`${url.replace('http', 'ws')}/api/names/live`)
  await once(socket, 'open')
  socket.send(JSON.stringify({ id: 1, username: 'typed' }))
  await once(socket, 'message')
  socket.close()
  await viewer.until('User Activity', (event) => (figure(event, 'checked') ?? 0) > 0)
  const claim = (username: string) => journey.call('POST', '/api/names', { username })
  assert.deepEqual(
    [(await claim('ada')).status, (await claim('ADA')).status, (await claim('admin')).status],
    [201, 409, 409],
  )
  assert.equal((await journey.call('POST', '/api/names/import', { usernames: ['bob', 'ada'] })).status, 200)
  const claimedAt = Date.now()
  await viewer.until('User Activity', (event) => (figure(event, 'claimed') ?? 0) > 0)
  const metrics = await fetch(`${url}/metrics`, {
    headers: { authorization: `Bearer ${journey.server.key}` },
  })
  const text = await metrics.text()
  for (const line of [
    'pulse_names_checks_total{outcome="refused"} 1',
    'pulse_names_claims_total{outcome="claimed"} 1',
    'pulse_names_claims_total{outcome="taken"} 1',
    'pulse_names_claims_total{outcome="refused"} 1',
    'pulse_names_imported_total{outcome="added"} 1',
    'pulse_names_imported_total{outcome="present"} 1',
    'pulse_http_requests_total{method="GET",route="/api/check-username",status="2xx"} 2',
    'pulse_names_rules_broken 0',
  ])
    assert.ok(text.includes(`\n${line}\n`), `${line}\n${text.match(/^pulse_names_c.*$/gm)?.join('\n')}`)
  const { backlog } = await eventually(
    'a backlog that was measured since',
    async () => {
      const { body } = await journey.call('GET', '/metrics/summary')
      const summary = body as unknown as { backlog: { events: number; measured_at: string } }
      return Date.parse(summary.backlog.measured_at ?? '') > claimedAt + 1 ? summary : undefined
    },
    waitMsMax,
  )
  assert.equal(backlog.events, 0)
})

test('a server that is asked to stop sends its viewers away and waits for none of them', async () => {
  using viewer = await follow(journey.server.url)
  await viewer.until('Global Metrics', () => true)
  assert.equal(await journey.server.stop(), 0)
  await eventually('the end', async () => (viewer.hasEnded() ? true : undefined), waitMsMax)
  assert.match(viewer.text(), /\nevent: close\ndata: \{"code":4503,/)
})

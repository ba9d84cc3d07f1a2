import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { eventually } from '@pulse/dev/services/eventually'
import { aPurchase, startJourney } from './journey.ts'

const waitMsMax = 20_000

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
  await using journey = await startJourney()
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

test('a server that is asked to stop sends its viewers away and waits for none of them', async () => {
  await using journey = await startJourney()
  using viewer = await follow(journey.server.url)
  await viewer.until('Global Metrics', () => true)
  assert.equal(await journey.server.stop(), 0)
  await eventually('the end', async () => (viewer.hasEnded() ? true : undefined), waitMsMax)
  assert.match(viewer.text(), /\nevent: close\ndata: \{"code":4503,/)
})

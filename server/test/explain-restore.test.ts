import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { eventually } from '@pulse/dev/services/eventually'
import { databaseUrlOf, startPulse } from '@pulse/dev/services/pulse'
import { callerOf, type Journey } from './journey.ts'
import { FrameReader } from './stream-client.ts'
import { changeRows, restoreAtNextStart } from './stream-journey.ts'

// What is said of events that were kept before a restore: their offsets are those of another life of the log.

interface Explained {
  readonly verdict: string
  readonly answer: string
  readonly replayable: boolean
  readonly filters: readonly { readonly version: number; readonly applies: string }[]
  readonly streams: readonly { readonly outcome: string }[]
}

/** A server that can be started anew as if it were restored, and what is asked of it. */
async function openRestorable(t: TestContext) {
  const data = await mkdtemp(join(tmpdir(), 'pulse-restore-'))
  t.after(() => rm(data, { recursive: true, force: true, maxRetries: 5 }))
  const settings = { RATE_LIMIT_KEY: '', PARTITIONS: '1' }
  let server = await startPulse(data, settings)
  t.after(() => server.stop())
  const call: Journey['call'] = (...asked) => callerOf(server)(...asked)
  const made = async (method: string, path: string, body: object) => {
    const { status, body: answer } = await call(method, path, body)
    assert.ok(status < 300, `${path}: ${status} ${JSON.stringify(answer)}`)
  }
  /** Posts a purchase and waits until it is processed; returns its id. */
  const purchase = async () => {
    const event = {
      event_id: randomUUID(),
      event_type: 'purchase',
      user_id: 'one',
      properties: { amount: 1 },
    }
    await made('POST', '/events', event)
    const isProcessed = async () =>
      (await call('GET', `/events/${event.event_id}`)).body.status === 'processed' || undefined
    await eventually('the event is processed', isProcessed, 20_000)
    return event.event_id
  }
  /** Makes or changes the only filter of a subscriber. */
  const wants = (method: 'POST' | 'PUT', subscriber_id: string, type: string) =>
    made(method, method === 'POST' ? '/filters' : `/filters/${subscriber_id}`, {
      ...{ subscriber_id, event_types: [type] },
    })
  const explained = async (event: string, subscriber: string) =>
    (await call('GET', `/explain?event=${event}&subscriber=${subscriber}`)).body as unknown as Explained
  const restore = async () => {
    await restoreAtNextStart(data)
    assert.equal(await server.stop(), 0)
    server = await startPulse(data, settings)
  }
  return { data, target: () => server, purchase, wants, explained, restore }
}

test('an event from before a restore is judged by the filters that held then, and no replay is promised', async (t) => {
  const { data, target, purchase, wants, explained, restore } = await openRestorable(t)
  const first = await purchase()
  await wants('POST', 'early', 'purchase')
  const second = await purchase()
  // One that the backup did not have, where the log it was kept in had come further.
  const beyond = await databaseUrlOf(data)
  const change = 'update pulse.events set record_offset = record_offset + 1000 where event_id = $1'
  assert.equal(await changeRows(beyond, change, [second]), 1)
  await restore()
  await wants('POST', 'late', 'purchase')
  const third = await purchase()
  await wants('PUT', 'early', 'refund')
  const fourth = await purchase()
  const verdicts = async (subscriber: string) => {
    const all = await Promise.all([first, second, third, fourth].map((id) => explained(id, subscriber)))
    return all.map(({ verdict }) => verdict)
  }
  assert.deepEqual(await verdicts('early'), [
    ...['filter_stored_later', 'matches', 'matches', 'filter_changed'],
  ])
  assert.deepEqual(await verdicts('late'), [
    ...['filter_stored_later', 'filter_stored_later', 'matches', 'matches'],
  ])
  const { filters, answer, replayable } = await explained(second, 'early')
  assert.deepEqual(
    filters.map(({ version, applies }) => [version, applies]),
    [
      [1, 'yes'],
      [2, 'stored_later'],
    ],
  )
  assert.equal(replayable, false)
  assert.equal(
    answer,
    'It matches default: whoever was connected then has got it. No replay brings it any more.',
  )
  const { answer: promised } = await explained(third, 'early')
  assert.match(promised, /or resumes from before it, gets it\.$/)

  const own = (expression: string) => ({ filter: { expression } })
  await using reader = await FrameReader.open(target(), 'late', { first: own('event_type = "click"') })
  const outcomes = async () => (await explained(second, 'late')).streams.map(({ outcome }) => outcome)
  assert.deepEqual(await outcomes(), ['no_match'])
  reader.socket.send({ type: 'filter', ...own('event_type = "view"') })
  await eventually(
    'the filter is changed',
    async () => (await outcomes())[0] === 'unknown' || undefined,
    20_000,
  )
})

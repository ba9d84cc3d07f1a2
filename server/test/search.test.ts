import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import { openInstallation } from '@pulse/dev/faults/installation'
import { openServices } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { freshDatabase } from '@pulse/dev/services/postgres'
import { callerOf } from './journey.ts'

const services = await openServices(['postgres'])
after(() => services[Symbol.asyncDispose]())
const skip = services.skip('postgres')

const withoutIds = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ event_type: 'custom', user_id: `u${n}` }))

test('events that wait are found although the server made their ids, unknown ones are not, and all who ask share two readers of the log', {
  skip,
}, async () => {
  await using database = await freshDatabase(services.address('postgres'))
  await using installation = await openInstallation({ databaseUrl: database.url })
  // Nobody processes: everything waits.
  const call = callerOf(await installation.start({ ROLES: 'intake,query' }))
  const accept = async (count: number) =>
    (await call('POST', '/events', withoutIds(count))).body.results.map(({ event_id }) => event_id)
  const kept = await accept(300)
  const asked = new AbortController()
  let most = 0
  const watching = eventually(
    'the end of the questions',
    async () => {
      const readers = await installation.query(
        `select 1 from pg_stat_activity where application_name = 'pulse log reader' and datname = current_database()`,
      )
      most = Math.max(most, readers.length)
      return asked.signal.aborted ? true : undefined
    },
    30_000,
  )
  const unknown = Array.from({ length: 100 }, () => randomUUID())
  const life = (id: string) => call('GET', `/events/${id}`)
  const answers = await Promise.all([...unknown, ...kept.slice(0, 50)].map(life))
  asked.abort()
  await watching
  assert.deepEqual(
    answers.map(({ status }) => status),
    [...unknown.map(() => 404), ...kept.slice(0, 50).map(() => 200)],
  )
  assert.ok(answers.slice(100).every(({ body }) => body.status === 'accepted'))
  assert.ok(most <= 2, `${most} readers at a time`)
  // What was kept after the last look is found at once, however its id is written.
  for (let n = 0; n < 10; n++)
    assert.equal((await life((await accept(1))[0]?.toUpperCase() ?? '')).status, 200)
})

test('a day of events is counted once for all who ask for the event types within ten seconds', {
  skip,
}, async () => {
  await using database = await freshDatabase(services.address('postgres'))
  await using installation = await openInstallation({ databaseUrl: database.url })
  const call = callerOf(await installation.start())
  const first = await call('GET', '/event-types')
  assert.equal(first.status, 200)
  const client = await installation.connect()
  try {
    await client.query('begin; lock table events in access exclusive mode')
    const again = await Promise.all(Array.from({ length: 20 }, () => call('GET', '/event-types')))
    for (const answer of again) assert.deepEqual([answer.status, answer.body], [200, first.body])
  } finally {
    await client.end()
  }
})

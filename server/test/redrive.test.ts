import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openInstallation } from '@pulse/dev/faults/installation'
import { openServices } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { freshDatabase } from '@pulse/dev/services/postgres'
import { callerOf } from './journey.ts'

const services = await openServices(['postgres'])
after(() => services[Symbol.asyncDispose]())

// Fails until it is told that the trouble is over, and then takes its time until it is told to end.
const configText = `
import { existsSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
const told = (what) => existsSync(process.env.TRACES + '/' + what)
export default {
  retryAttempts: 1,
  handlers: {
    'at.odds': async () => {
      if (!told('mended')) throw new Error('not yet')
      while (!told('ended')) await pause(20)
    },
  },
}`

test('of two dead letters of one id only one can be redriven: while it waits, and once it is processed, the other is a conflict', {
  skip: services.skip('postgres'),
}, async () => {
  await using database = await freshDatabase(services.address('postgres'))
  await using installation = await openInstallation({ databaseUrl: database.url, configText })
  const tell = (what: string) => writeFile(join(installation.folder, what), '')
  const call = callerOf(await installation.start({ TRACES: installation.folder }))
  const event = { event_id: randomUUID(), event_type: 'at.odds' }
  await call('POST', '/events', event)
  const first = await eventually(
    'it is dead',
    async () => (await installation.query<{ id: string }>('select id from dead_letters'))[0]?.id,
    10_000,
  )
  // The same id again after its window, or over a log that does not know ids.
  const second = randomUUID()
  await installation.query(
    `insert into dead_letters select $1::uuid as id, event_id, event_type, user_id, event, error_class, error_message, handler,
       attempts, topic, partition, record_offset, log_epoch, received_at, failed_at, state, redriven_at from dead_letters`,
    [second],
  )
  const redrive = (id: string) => call('POST', `/dead-letters/${id}/redrive`)
  await tell('mended')
  assert.equal((await redrive(first)).status, 202)
  const conflict = async (id: string, why: RegExp) => {
    const { status, body } = await redrive(id)
    assert.equal(status, 409)
    assert.equal(body.code, 'conflict')
    assert.match((body as unknown as { detail: string }).detail, why)
  }
  await conflict(second, /waiting for a try/)
  await tell('ended')
  const rows = () => installation.query('select 1 from events')
  await eventually('it is processed', async () => ((await rows()).length > 0 ? true : undefined), 10_000)
  await conflict(second, /was processed/)
  await conflict(first, /redriven already/)
  assert.equal((await rows()).length, 1)
})

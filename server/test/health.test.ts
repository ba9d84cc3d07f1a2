import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '@pulse/dev/services/eventually'
import { databaseUrlOf } from '@pulse/dev/services/pulse'
import pg from 'pg'
import { startJourney } from './journey.ts'

/** More than the server has connections for requests. */
const queries = 16

test('queries that keep every connection for requests busy do not make a healthy database look down', async () => {
  await using journey = await startJourney()
  const client = new pg.Client({ connectionString: await databaseUrlOf(journey.server.data) })
  await client.connect()
  try {
    await client.query('begin; lock table pulse.events in access exclusive mode')
    const answers = Promise.all(Array.from({ length: queries }, () => journey.call('GET', '/events')))
    let settled = false
    void answers.then(() => {
      settled = true
    })
    await eventually(
      'the queries wait',
      async () => {
        const { rows } = await client.query('select 1 from pg_locks where not granted')
        return rows.length >= 10 ? true : undefined
      },
      8_000,
    )
    const seen: string[] = []
    const look = async () => {
      const { status, body } = await journey.call('GET', '/health')
      seen.push(`${status} ${body.status} ${(await journey.call('GET', '/readyz')).status}`)
      return settled ? true : undefined
    }
    await eventually('the queries are given up', look, 60_000)
    // A machine that stands still for a moment makes the last good answer of the database too old, until the next one.
    const healthy = seen.filter((one) => one === '200 healthy 200')
    assert.ok(healthy.length > seen.length / 2, `${healthy.length} of ${seen.length}: ${new Set(seen)}`)
    assert.ok((await answers).every(({ status }) => status === 503 || status === 200))
  } finally {
    await client.end()
  }
})

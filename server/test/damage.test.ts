import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { openInstallation } from '@pulse/dev/faults/installation'
import { openServices, type Services } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { freshDatabase } from '@pulse/dev/services/postgres'
import { aPurchase, callerOf } from './journey.ts'

let services: Services
before(async () => {
  services = await openServices(['postgres'])
})
after(() => services[Symbol.asyncDispose]())

test('a damaged batch in the middle of the log stops its partition loudly and only that; mended, it goes on by itself', async () => {
  await using database = await freshDatabase(services.address('postgres'))
  await using installation = await openInstallation({
    databaseUrl: database.url,
    settings: { PARTITIONS: '2' },
  })
  const front = await installation.start({ ROLES: 'intake,query' })
  const call = callerOf(front)
  const ids: string[] = []
  // One request each, so that the damaged one is a batch by itself.
  for (let n = 0; n < 12; n++) {
    const event = { event_id: randomUUID(), event_type: 'custom', user_id: `user-${n}` }
    assert.equal((await call('POST', '/events', event)).status, 202)
    ids.push(event.event_id)
  }
  const flip = `update log_batches set bytes = set_byte(bytes, 5, get_byte(bytes, 5) # 255)
    where partition = 0 and base_offset = 2 returning 1`
  assert.equal((await installation.query(flip)).length, 1)
  const worker = await installation.start({ ROLES: 'processing,intake,query' })
  const offsets = async () => {
    const rows = await installation.query<{ partition: number; next: number; end: number }>(
      `select g.partition, g.next_offset::int as next, h.next_offset::int as end
       from log_group_partitions g join log_heads h on h.partition = g.partition order by g.partition`,
    )
    return rows
  }
  const stoppedThere = async () => {
    const [damaged, whole] = await offsets()
    return damaged?.next === 2 && whole?.next === whole?.end ? true : undefined
  }
  await eventually('the other partition is done', stoppedThere, 15_000)
  // The offset stands still before the damage is met, and the line comes after that.
  const said = async () => {
    const lines = worker.log().split('\n').slice(0, -1)
    return lines.find((line) => line.includes('"code":"corrupt"'))
  }
  const loud = JSON.parse(await eventually('it is logged', said, 15_000)) as Record<string, unknown>
  assert.deepEqual([loud.level, loud.topic, loud.partition, loud.offset], ['error', 'events', 0, 2])
  const health = async () =>
    (await (await fetch(`${front.url}/health`)).json()) as {
      status: string
      services: Record<string, string>
    }
  const toldEverywhere = async () => ((await health()).services.processing === 'down' ? true : undefined)
  await eventually('every server tells', toldEverywhere, 5_000)
  assert.equal((await health()).status, 'degraded')
  assert.equal((await call('POST', '/events', aPurchase())).status, 202)
  await installation.query(flip)
  const goesOn = async () => {
    const [mended] = await offsets()
    return mended?.next === mended?.end ? true : undefined
  }
  await eventually('it goes on by itself', goesOn, 45_000)
  const rows = new Set((await installation.query('select event_id from events')).map((row) => row.event_id))
  assert.deepEqual(
    ids.filter((id) => !rows.has(id)),
    [],
  )
  const well = async () => ((await health()).services.processing === 'up' ? true : undefined)
  await eventually('it is told too', well, 5_000)
})

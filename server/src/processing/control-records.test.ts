import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { openServices } from '@pulse/dev/services'
import { aRecord, World } from './processing-world.ts'

const services = await openServices(['postgres'])
after(() => services[Symbol.asyncDispose]())
const skip = services.skip('postgres')

const totals = 'select processed::int, control::int, dead::int, parked::int from log_group_partitions'

test('control records between events are passed with their own verdict, and no handler meets them', {
  skip,
}, async () => {
  await using world = await World.open(services.address('postgres'))
  const met: string[] = []
  for (const type of ['pulse.filters', 'mine', 'pulse.later', 'mine', 'pulse.filters'])
    await world.log.append([aRecord(type, 'ada', {})])
  await world.process({ '*': (event) => ({ enriched: { n: met.push(event.event_type) } }) })
  const row = await world.until('all five', `${totals} where next_offset = 5`)
  assert.deepEqual(row, { processed: 2, control: 3, dead: 0, parked: 0 })
  assert.deepEqual(met, ['mine', 'mine'])
  assert.equal((await world.rows('select 1 from events')).length, 2)
})

test('a control record does not wait behind a parked event of its key, and holds back nothing', {
  skip,
}, async () => {
  await using world = await World.open(services.address('postgres'))
  await world.send('fails', 'ada')
  await world.log.append([aRecord('pulse.filters', 'ada', {})])
  const fails = () => {
    throw new Error('later')
  }
  await world.process({ fails }, { retryBaseMs: 60_000, retryMaxMs: 60_000 })
  const row = await world.until('both', `${totals} where next_offset = 2`)
  assert.deepEqual(row, { processed: 0, control: 1, dead: 0, parked: 1 })
})

test('after owners that crashed again and again a control record is not blamed for it', {
  skip,
}, async () => {
  await using world = await World.open(services.address('postgres'))
  await world.log.append([aRecord('pulse.filters', 'ada', {})])
  const { epoch } = await world.log.bounds('events')
  await world.rows(
    `insert into log_group_partitions (group_name, topic, partition, log_epoch, first_offset, next_offset, clean, trying, crashes)
     values ('processing', 'events', 0, $1, 0, 0, false, 0, 7)`,
    [epoch],
  )
  await world.process({})
  const row = await world.until('its verdict', `${totals} where next_offset = 1`)
  assert.deepEqual(row, { processed: 0, control: 1, dead: 0, parked: 0 })
  assert.deepEqual(await world.rows('select 1 from dead_letters'), [])
})

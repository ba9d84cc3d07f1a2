import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { openServices, type Services } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { ClaimFailed } from './claims.ts'
import { namesTopic } from './hash-records.ts'
import { type NamesWorld, type OpenedNames, openNamesWorld } from './names-world.ts'

let services: Services
before(async () => {
  services = await openServices(['postgres'])
})
after(() => services[Symbol.asyncDispose]())

const openWorld = () => openNamesWorld(services.address('postgres'))

const claim = (names: OpenedNames, username: string) =>
  names.claim({ username, owner: undefined, claimedBy: 'key-1', idempotencyKey: undefined })

const isTaken = async (names: OpenedNames, username: string) => !(await names.check(username)).available

/** Whether the names were read from the database since. */
const hasScanned = (world: NamesWorld, since: number) =>
  world.statements.slice(since).some((text) => text.includes('key > $1'))

/** Takes the last records away from the log, as a copy does that was behind when it was promoted. Gives the new end. */
async function loseEnd(world: NamesWorld, records: number): Promise<number> {
  const { partitions } = await world.log.bounds(namesTopic.name)
  const end = (partitions[0]?.end ?? 0) - records
  const topic = '(select id from log_topics where name = $1)'
  await world.pool.query(`delete from log_batches where topic = ${topic} and base_offset >= $2`, [
    namesTopic.name,
    end,
  ])
  await world.pool.query(`update log_heads set next_offset = $2 where topic = ${topic}`, [
    namesTopic.name,
    end,
  ])
  return end
}

test('a filter on disk is not followed into a log that has lost its end and grown again', async () => {
  await using world = await openWorld()
  const data = await world.folder()
  const first = await world.open({ data })
  await claim(first, 'ada')
  await claim(first, 'grace')
  await first[Symbol.asyncDispose]()
  await loseEnd(world, 1)
  const other = await world.open()
  // In the place of the hash that was lost.
  await claim(other, 'instead')
  await claim(other, 'behind')
  const since = world.statements.length
  const again = await world.open({ data })
  assert.equal(await isTaken(again, 'instead'), true)
  assert.ok(hasScanned(world, since))
})

test('where the log has lost what was applied no claim is made, until the filter is of that log', async () => {
  await using world = await openWorld()
  const names = await world.open()
  for (const name of ['one', 'two', 'three']) await claim(names, name)
  const end = await loseEnd(world, 2)
  const since = world.statements.length
  await assert.rejects(claim(names, 'four'), (error: unknown) => {
    assert.ok(error instanceof ClaimFailed)
    assert.match(error.message, new RegExp(`gone back to offset ${end}`))
    return true
  })
  const rows = await world.pool.query(`select 1 from names where key = 'four'`)
  assert.equal(rows.rowCount, 0, 'nothing is half done')
  await eventually('a new filter', async () => hasScanned(world, since) || undefined, 20_000)
  await eventually(
    'a claim',
    async () => ((await claim(names, 'four').catch(() => undefined))?.kind === 'claimed' ? true : undefined),
    20_000,
  )
  for (const name of ['one', 'two', 'three', 'four']) assert.equal(await isTaken(names, name), true, name)
})

test('an epoch that changes under running servers reaches them all, and a claim is in both filters', async () => {
  await using world = await openWorld()
  const [first, second] = [await world.open(), await world.open()]
  await claim(first, 'before')
  const since = world.statements.length
  await world.pool.query('update log_topics set epoch = epoch + 1 where name = $1', [namesTopic.name])
  await world.log.bounds(namesTopic.name)
  assert.equal((await claim(first, 'after')).kind, 'claimed')
  assert.equal(await isTaken(second, 'after'), true)
  await Promise.all([first.certain(), second.certain()])
  assert.ok(hasScanned(world, since))
  for (const names of [first, second])
    for (const name of ['before', 'after']) assert.equal(await isTaken(names, name), true)
})

/** Names as a restore brings them: nothing in the log tells of them. */
async function restore(world: NamesWorld, name: string): Promise<void> {
  await world.pool.query('truncate names')
  await world.pool.query(`insert into names (key, name, claimed_by) values ($1, $1, 'elsewhere')`, [name])
}

test('a filter of the names before a restore is not used after it', async () => {
  await using world = await openWorld()
  const data = await world.folder()
  const first = await world.open({ data })
  await claim(first, 'ada')
  await first[Symbol.asyncDispose]()
  await restore(world, 'restored')
  const again = await world.open({ data })
  assert.equal(await isTaken(again, 'restored'), true)
  assert.equal(await isTaken(again, 'ada'), false)
})

test('a running server whose database was restored under it makes its filter anew', async () => {
  await using world = await openWorld()
  const names = await world.open()
  await claim(names, 'ada')
  await restore(world, 'restored')
  // A restore ends the connections.
  await world.pool.query(
    'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
  )
  await eventually(
    'the name taken',
    async () => (await isTaken(names, 'restored').catch(() => false)) || undefined,
    20_000,
  )
  await names.certain()
  assert.equal(await isTaken(names, 'restored'), true)
})

test('a server that holds the row of the set of names holds up nobody who starts', async () => {
  await using world = await openWorld()
  await (await world.open())[Symbol.asyncDispose]()
  const held = await world.pool.connect()
  try {
    await held.query('begin; select 1 from name_set for update')
    assert.equal(await isTaken(await world.open(), 'not-yet-there'), false)
  } finally {
    await held.query('rollback')
    held.release()
  }
})

test('of two servers with different profiles only one answers', async () => {
  await using world = await openWorld()
  const exact = await world.open({ profile: 'exact' })
  assert.equal(await isTaken(exact, 'Ada'), false)
  const other = await world.open({ profile: 'username', unready: true })
  assert.equal((await claim(other, 'Ada')).kind, 'claimed')
  const away = /does not answer/
  // To this one the name has another key, which nobody has.
  await assert.rejects(async () => exact.check('Ada'), away)
  await assert.rejects(exact.checkAll(['Ada']), away)
  await assert.rejects(claim(exact, 'Grace'), away)
  await assert.rejects(exact.release('Ada'), away)
  await assert.rejects(exact.claimAll(['Grace'], 'key-1'))
  assert.equal(await isTaken(other, 'ada'), true)
  const { rows } = await world.pool.query('select key from names')
  assert.deepEqual(rows, [{ key: 'ada' }])
  await exact[Symbol.asyncDispose]()
  await assert.rejects(world.open({ profile: 'exact' }), /NAMES_PROFILE/)
})

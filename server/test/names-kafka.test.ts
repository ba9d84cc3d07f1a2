import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { missingBecause, openServices } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { findKafka, type Kafka, startKafka } from '@pulse/dev/services/kafka'
import { startPulse } from '@pulse/dev/services/pulse'
import { openKafkaLog } from '@pulse/log/kafka'
import { openTopicHands } from '@pulse/log/kafka/kafka-engine'
import { namesTopic } from '../src/names/hash-records.ts'
import { type NamesWorld, type OpenedNames, openNamesWorld } from '../src/names/names-world.ts'

const opened = new AsyncDisposableStack()
const services = opened.use(await openServices(['postgres']))
// A broker of its own, because it is stopped, and its topics are set up badly.
let broker: Kafka
const missing = await findKafka()
  .then((program) => startKafka(program))
  .then(
    (kafka) => {
      broker = opened.use(kafka)
    },
    (error: unknown) => missingBecause('kafka', error),
  )
const skip = missing ?? services.skip('postgres')
after(() => opened[Symbol.asyncDispose]())

const openLog = () => openKafkaLog({ brokers: [broker.address], patienceMs: 1_500 })

let world: NamesWorld
before(async () => {
  if (!skip) world = opened.use(await openNamesWorld(services.address('postgres'), openLog))
})

/** Names as another server has them: with connections of their own. */
async function openMember(changes: { data?: string; unready?: boolean } = {}): Promise<OpenedNames> {
  const log = opened.use(await openLog())
  return await world.open({ profile: 'username', log, ...changes })
}

const claim = (names: OpenedNames, username: string) =>
  names.claim({ username, owner: undefined, claimedBy: 'key-1', idempotencyKey: undefined })

const isTaken = async (names: OpenedNames, username: string) => !(await names.check(username)).available

const scans = (since: number) =>
  world.statements.slice(since).filter((text) => text.includes('key > $1')).length

test('on Kafka a claim of one server is never free at another, one of 200 is made, and a filter on disk goes on', {
  skip,
}, async () => {
  const [one, data] = [await openMember(), await world.folder()]
  const two = await openMember({ data })
  for (let n = 0; n < 20; n++) {
    const [at, elsewhere] = n % 2 === 0 ? [one, two] : [two, one]
    assert.equal((await claim(at, `told-${n}`)).kind, 'claimed')
    assert.equal(await isTaken(elsewhere, `told-${n}`), true)
  }
  const outcomes = await Promise.all(
    Array.from({ length: 200 }, (_, n) => claim(n % 2 === 0 ? one : two, 'wanted')),
  )
  assert.equal(outcomes.filter(({ kind }) => kind === 'claimed').length, 1)
  await two[Symbol.asyncDispose]()
  await claim(one, 'meanwhile')
  const since = world.statements.length
  const again = await openMember({ data })
  assert.equal(await isTaken(again, 'meanwhile'), true)
  assert.equal(scans(since), 0, 'no name was read from the database')
  await Promise.all([one, again].map((names) => names[Symbol.asyncDispose]()))
})

test('while the broker is away no claim is made and nothing taken is called free, and all goes on when it is back', {
  skip,
}, async () => {
  const [one, two] = [await openMember(), await openMember()]
  await claim(one, 'before.outage')
  await broker.stop('kill')
  await assert.rejects(claim(one, 'in.outage'), { name: 'ClaimFailed' })
  const { rowCount } = await world.pool.query(`select 1 from names where key = 'in.outage'`)
  assert.equal(rowCount, 0)
  for (const names of [one, two]) {
    assert.equal(await isTaken(names, 'before.outage'), true)
    assert.equal(await isTaken(names, 'in.outage'), false)
    await eventually('nothing from memory', async () => !names.stats().certain || undefined, 20_000)
    assert.equal((await names.check('nobody.there')).source, 'PostgreSQL')
    assert.equal(await isTaken(names, 'before.outage'), true)
  }
  await broker.start()
  await Promise.all([one.certain(), two.certain()])
  assert.equal((await claim(one, 'in.outage')).kind, 'claimed')
  assert.equal(await isTaken(two, 'in.outage'), true)
  await Promise.all([one, two].map((names) => names[Symbol.asyncDispose]()))
})

test('what a server on Kafka has acknowledged before it is killed is taken for the other', {
  skip,
}, async () => {
  const other = await openMember()
  const data = await mkdtemp(join(tmpdir(), 'pulse-names-'))
  await chmod(data, 0o755)
  opened.defer(() => rm(data, { recursive: true, force: true }))
  const server = await startPulse(data, {
    ...{ DATABASE_URL: world.connection.connectionString ?? '', LOG_DRIVER: 'kafka' },
    ...{ KAFKA_BROKERS: broker.address, ROLES: 'names', RATE_LIMIT_KEY: '' },
  })
  opened.defer(() => server.kill())
  const headers = { authorization: `Bearer ${server.key}`, 'content-type': 'application/json' }
  const post = (username: string) =>
    fetch(`${server.url}/api/names`, { method: 'POST', headers, body: JSON.stringify({ username }) }).then(
      ({ status }) => status,
      () => undefined,
    )
  let acknowledged = 0
  const claiming = async (lane: number) => {
    for (let n = 0; ; n++) {
      const name = `lane-${lane}-${n}`
      if ((await post(name)) !== 201) return
      acknowledged++
      assert.equal(await isTaken(other, name), true, name)
    }
  }
  const lanes = [0, 1, 2, 3].map(claiming)
  await eventually('claims', async () => (acknowledged >= 40 ? true : undefined), 20_000)
  await server.kill()
  await Promise.all(lanes)
  assert.equal((await claim(other, 'after.the.kill')).kind, 'claimed')
  await other[Symbol.asyncDispose]()
})

test('a topic that is deleted under running servers is made anew by them, and their filters with it', {
  skip,
}, async () => {
  const [one, two] = [await openMember(), await openMember()]
  await claim(one, 'before.deletion')
  const { epoch } = await world.log.bounds(namesTopic.name)
  await using hands = openTopicHands(broker.address)
  await hands.delete(namesTopic.name)
  const claimed = async () => {
    const outcome = await claim(one, 'after.deletion').catch((error: unknown) => {
      assert.equal((error as Error).name, 'ClaimFailed')
    })
    return outcome?.kind === 'claimed' || undefined
  }
  await eventually('a claim', claimed, 20_000)
  assert.equal(await isTaken(two, 'after.deletion'), true)
  await Promise.all([one.certain(), two.certain()])
  assert.notEqual((await world.log.bounds(namesTopic.name)).epoch, epoch)
  for (const names of [one, two])
    for (const name of ['before.deletion', 'after.deletion']) assert.equal(await isTaken(names, name), true)
  await Promise.all([one, two].map((names) => names[Symbol.asyncDispose]()))
})

test('a topic that is compacted is refused at the start, and what it has lost is read from the database', {
  skip,
}, async () => {
  await using hands = openTopicHands(broker.address)
  const data = await world.folder()
  const first = await openMember({ data })
  const other = await openMember()
  await claim(first, 'before.compaction')
  await first[Symbol.asyncDispose]()
  const start = (await world.log.bounds(namesTopic.name)).partitions[0]?.end ?? 0
  // Three records of one batch.
  const usernames = Array.from({ length: 17_000 }, (_, n) => `compacted-${n}`)
  await other.claimAll(usernames, 'key-1')
  await hands.setBroker({ 'log.cleaner.backoff.ms': '100' })
  await hands.set(namesTopic.name, {
    'segment.ms': '100',
    'min.cleanable.dirty.ratio': '0.001',
    'cleanup.policy': 'compact',
  })
  // The broker takes a moment to hear of it.
  const isHeard = () =>
    world.log.declare([namesTopic]).then(
      () => undefined,
      () => true,
    )
  await eventually('the settings', isHeard, 10_000)
  await assert.rejects(openMember(), /cleanup.policy=compact/)
  let rolled = 0
  const isCompacted = async () => {
    // The segment that is written stays whole, and ends with the next record.
    await claim(other, `rolls-${rolled++}`)
    return (await hasHole(start)) || undefined
  }
  await eventually('a hole', isCompacted, 30_000)
  await hands.set(namesTopic.name, { 'cleanup.policy': 'delete' })
  const since = world.statements.length
  await eventually('the settings', async () => !(await isHeard()) || undefined, 10_000)
  // It answers from memory no sooner than the hole is out of the way of a new filter.
  const again = await openMember({ data, unready: true })
  await eventually('the names read from the database', async () => scans(since) > 0 || undefined, 10_000)
  assert.ok((await again.checkAll(usernames.slice(0, 100))).every(({ available }) => !available))
  assert.ok((await again.check('not.taken')).source, 'it was looked up')
})

/** Whether the topic, read from an offset, misses a record. */
async function hasHole(start: number): Promise<boolean> {
  const stop = new AbortController()
  const from = { topic: namesTopic.name, offsets: new Map([[0, start]]) }
  for await (const { records } of world.log.read(from, stop.signal)) {
    stop.abort()
    return records[0]?.offset !== start
  }
  return false
}

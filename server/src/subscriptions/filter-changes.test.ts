import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import { openServices } from '@pulse/dev/services'
import { type EventLog, LogError } from '@pulse/log'
import { isControl } from '@pulse/log/control-record'
import { openKafkaLog } from '@pulse/log/kafka'
import { partitionOf } from '@pulse/log/murmur2'
import { keysOf } from './control-records.ts'
import { clicks, FiltersWorld, offsetsOf, purchases, withAppend } from './subscriptions-world.ts'

const services = await openServices(['postgres', 'kafka'])
after(() => services[Symbol.asyncDispose]())

const lost = () => ({ kind: 'unknown' as const, error: new LogError('unavailable', 'no answer') })
/** Appends, and loses the answer. */
const withoutAnswers = (log: EventLog) =>
  withAppend(log, async (records) => (await log.append(records)).map(lost))
/** As if the process had ended before it could append; when disposed of it goes on, so that it can be closed. */
function silent(log: EventLog): { log: EventLog } & Disposable {
  const { promise, resolve } = Promise.withResolvers<void>()
  const never = withAppend(log, async (records) => {
    await promise
    return records.map(lost)
  })
  return { log: never, [Symbol.dispose]: resolve }
}

test('there is a key for every partition, whatever their number', () => {
  for (const partitions of [1, 2, 3, 4, 7, 64, 1_024])
    assert.deepEqual(
      keysOf(partitions).map((key) => partitionOf(key, partitions)),
      Array.from({ length: partitions }, (_, n) => n),
    )
})

const drivers = [
  {
    name: 'postgres',
    skip: services.skip('postgres'),
    open: () => FiltersWorld.open(services.address('postgres')),
  },
  {
    name: 'kafka',
    skip: services.skip('postgres', 'kafka'),
    open: () =>
      FiltersWorld.open(services.address('postgres'), () =>
        openKafkaLog({ brokers: services.address('kafka').split(',') }),
      ),
  },
] as const

for (const { name, skip, open } of drivers) {
  test(`on ${name} a change takes effect at the offset after its control record, of which there is one in every partition of every topic`, {
    skip,
  }, async () => {
    await using world = await open()
    const { create, update, remove, versions } = await world.server()
    const [events = '', orders = ''] = world.topics.map((topic) => topic.name)
    const before = await world.send(orders, 'somebody')
    const made = await create('ada')
    const changed = await update('ada', clicks)
    const removed = await remove('ada')
    const records = await world.records()
    assert.deepEqual(
      [...records.keys()],
      [0, 1, 2].map((p) => `${events}/${p}`).concat(`${orders}/0`, `${orders}/1`),
    )
    for (const [place, all] of records) {
      const control = all.filter(isControl)
      assert.equal(control.length, 3, place)
      const [topic = '', partition] = [
        place.slice(0, place.lastIndexOf('/')),
        Number(place.split('/').at(-1)),
      ]
      const effective = [made, changed, removed].map((row) =>
        row.effective?.find((each) => each.topic === topic)?.offsets.get(partition),
      )
      assert.deepEqual(
        effective,
        control.map(({ offset }) => offset + 1),
      )
    }
    assert.equal(before, 0)
    const found = await versions.of('ada')
    assert.deepEqual(
      found.map((each) => [each.version, offsetsOf(each.since), offsetsOf(each.until)]),
      [
        [1, offsetsOf(made.effective), offsetsOf(changed.effective)],
        [2, offsetsOf(changed.effective), offsetsOf(removed.effective)],
      ],
    )
    const [first = [], second = [], third = []] = await Promise.all(
      (records.get(`${events}/1`) ?? []).map((record) => versions.announcedBy(record)),
    )
    assert.deepEqual([first[0]?.version, second[0]?.version, third[0]?.version], [1, 2, 3])
    assert.equal(first[0]?.subscriber, 'ada')
    assert.ok(second[0]?.filter)
    assert.equal(third[0]?.filter, undefined)
  })

  test(`on ${name} a change whose answer from the log was lost is made known by another server, from its first record on`, {
    skip,
  }, async () => {
    await using world = await open()
    const lossy = await world.server(withoutAnswers(world.log))
    const sound = await world.server()
    const asked = lossy.create('ada').catch((error: unknown) => error)
    await world.until('the change is kept', async () => (await sound.store.get('ada', 'default')) && true)
    // Whoever comes to listen does not wait for a sweep.
    const [version] = await sound.versions.of('ada')
    const records = await world.records()
    for (const [place, all] of records) {
      const control = all.filter(isControl)
      const [topic, partition] = [place.slice(0, place.lastIndexOf('/')), Number(place.split('/').at(-1))]
      const since = version?.since?.find((each) => each.topic === topic)?.offsets.get(partition)
      assert.equal(since, (control[0]?.offset ?? 0) + 1, place)
      assert.equal(control.length > 1, name === 'kafka', place)
      // What stands there again announces nothing: a later version may have come before it.
      const announced = await Promise.all(control.map((record) => sound.versions.announcedBy(record)))
      assert.deepEqual(
        announced.map((each) => each.length),
        control.map((_, n) => (n === 0 ? 1 : 0)),
      )
    }
    // The one whose answers were lost learns of it from the database.
    const row = await asked
    assert.deepEqual(offsetsOf((row as { effective: [] }).effective), offsetsOf(version?.since))
  })

  test(`on ${name} a change whose server ended between its commit and its control records is made known by a sweep, and changed again only then`, {
    skip,
  }, async () => {
    await using world = await open()
    using silence = silent(world.log)
    const dead = await world.server(silence.log)
    const other = await world.server()
    void dead.create('ada').catch(() => {})
    await world.until('the change is kept', async () => (await other.store.get('ada', 'default')) && true)
    assert.equal((await other.store.get('ada', 'default'))?.effective, null)
    assert.equal(await other.changes.sweep(60_000), 0, 'its server may still be at it')
    // Meanwhile events come, and somebody wants another change.
    await world.send(world.topics[0]?.name ?? '', 'somebody')
    const changed = await other.update('ada', clicks)
    const [first, second] = await other.versions.of('ada')
    assert.deepEqual(offsetsOf(first?.until), offsetsOf(changed.effective))
    assert.deepEqual(offsetsOf(second?.since), offsetsOf(changed.effective))
    for (const { topic, offsets } of first?.since ?? [])
      for (const [partition, offset] of offsets)
        assert.ok(offset < (changed.effective?.find((e) => e.topic === topic)?.offsets.get(partition) ?? 0))
    assert.equal(await other.changes.sweep(0), 0, 'nothing is left to do')
  })
}

const skip = services.skip('postgres')

test('a server that was overtaken by one that helped counts the record of that one, although its own was acknowledged', {
  skip: services.skip('postgres', 'kafka'),
}, async () => {
  await using world = await drivers[1].open()
  const { promise: goesOn, resolve: goOn } = Promise.withResolvers<void>()
  const slow = await world.server(
    withAppend(world.log, async (records) => {
      await goesOn
      return world.log.append(records)
    }),
  )
  const helper = await world.server(withoutAnswers(world.log))
  const asked = slow.create('ada')
  await world.until('the change is kept', async () => (await helper.store.get('ada', 'default')) && true)
  await assert.rejects(helper.changes.sweep(0), { code: 'unavailable' })
  goOn()
  const { effective } = await asked
  for (const [place, all] of await world.records()) {
    const [topic, partition] = [place.slice(0, place.lastIndexOf('/')), Number(place.split('/').at(-1))]
    assert.equal(all.length, 2, place)
    assert.equal(effective?.find((each) => each.topic === topic)?.offsets.get(partition), 1, place)
  }
})

test('a sweep makes known what was left, whoever left it, and the metrics count it', { skip }, async () => {
  await using world = await FiltersWorld.open(services.address('postgres'))
  using silence = silent(world.log)
  const dead = await world.server(silence.log)
  const other = await world.server()
  void dead.create('ada').catch(() => {})
  await world.until('the change is kept', async () => (await other.store.get('ada', 'default')) && true)
  assert.deepEqual(await other.store.counts(), { filters: 1, unselective: 0, open: 1 })
  assert.equal(await other.changes.sweep(0), 1)
  assert.ok((await other.store.get('ada', 'default'))?.effective)
  assert.equal((await other.store.counts()).open, 0)
  assert.match(await other.metrics.metrics(), /pulse_filter_changes_swept_total 1\n/)
})

test('changes of the same moment share their control records, and each is answered for itself', {
  skip,
}, async () => {
  await using world = await FiltersWorld.open(services.address('postgres'))
  const { create, update, remove, versions } = await world.server()
  const many = await Promise.allSettled([
    ...Array.from({ length: 50 }, (_, n) => create(`u${n}`)),
    create('u1'),
    update('u2', clicks),
    remove('u3'),
    update('nobody'),
  ])
  assert.deepEqual(
    many.slice(50).map((each) => (each.status === 'fulfilled' ? each.value.version : each.reason.code)),
    ['conflict', 2, 2, 'not_found'],
  )
  for (const all of (await world.records()).values()) assert.equal(all.length, 1)
  const record = [...(await world.records()).values()][0]?.[0] ?? assert.fail('no record')
  const announced = await versions.announcedBy(record)
  assert.equal(announced.length, 52)
  assert.deepEqual(
    announced.filter(({ subscriber }) => subscriber === 'u2').map(({ version }) => version),
    [1, 2],
  )
  // The first one of the two applies to nothing: it ends where it begins.
  const [first, second] = await versions.of('u2')
  assert.deepEqual(offsetsOf(first?.until), offsetsOf(second?.since))
})

test('two servers that change one filter at the same time make all their changes, one after the other', {
  skip,
}, async () => {
  await using world = await FiltersWorld.open(services.address('postgres'))
  const [one, two] = [await world.server(), await world.server()]
  await one.create('ada')
  const changes = await Promise.all(
    Array.from({ length: 20 }, (_, n) => (n % 2 ? one : two).update('ada', n % 3 ? clicks : purchases)),
  )
  const versions = changes.toSorted((a, b) => a.version - b.version)
  assert.deepEqual(
    versions.map(({ version }) => version),
    Array.from({ length: 20 }, (_, n) => n + 2),
  )
  for (const [place, all] of await world.records()) {
    const told = await Promise.all(all.map((record) => one.versions.announcedBy(record)))
    const numbers = told.flat().map(({ version }) => version)
    assert.deepEqual(
      numbers,
      Array.from({ length: 21 }, (_, n) => n + 1),
      place,
    )
  }
})

test('a change that is wanted in the moment in which the last one is answered is made', {
  skip,
}, async () => {
  await using world = await FiltersWorld.open(services.address('postgres'))
  const { create, update, changes } = await world.server()
  await create('ada')
  for (let turns = 0; turns < 12; turns++) {
    await update('ada')
    // Each time a little later in the turn of the event loop that ends the work on the one before.
    for (let n = 0; n < turns; n++) await undefined
  }
  assert.equal((await update('ada')).version, 14)
  await changes[Symbol.asyncDispose]()
  await assert.rejects(update('ada'), { code: 'shutting_down' })
})

test('a filter can be made again after it was deleted, and its versions go on', { skip }, async () => {
  await using world = await FiltersWorld.open(services.address('postgres'))
  const { create, remove, store } = await world.server()
  const first = await create('ada')
  await remove('ada')
  assert.equal(await store.get('ada', 'default'), undefined)
  await assert.rejects(remove('ada'), { code: 'not_found' })
  const again = await create('ada')
  assert.equal(again.version, 3)
  assert.ok(again.createdAt > first.createdAt)
})

test('a subscriber has as many filters, and the server as many unselective ones, as their limits say', {
  skip,
}, async () => {
  await using world = await FiltersWorld.open(services.address('postgres'))
  const { create, update, remove } = await world.server()
  for (const name of ['a', 'b', 'c']) await create('ada', purchases, name)
  await assert.rejects(create('ada', purchases, 'd'), { code: 'conflict' })
  await remove('ada', 'b')
  await create('ada', purchases, 'd')
  const wide = { expression: 'not event_type = "x"' }
  const made = await Promise.allSettled(['u1', 'u2', 'u3'].map((subscriber) => create(subscriber, wide)))
  assert.deepEqual(
    made.map((each) => (each.status === 'rejected' ? each.reason.code : 'made')),
    ['made', 'made', 'filter_too_wide'],
  )
  await assert.rejects(update('ada', wide, 'a'), { code: 'filter_too_wide' })
  await update('u1', wide) // one that is wide already may stay so
  await update('u1', purchases)
  await update('ada', wide, 'a')
})

test('versions that apply to nothing any more are forgotten once the log has let go of all before them', {
  skip,
}, async () => {
  await using world = await FiltersWorld.open(services.address('postgres'))
  const { create, update, remove, changes, versions } = await world.server()
  await create('ada')
  const changed = await update('ada', clicks)
  await create('bob')
  const removed = await remove('bob')
  assert.equal(await changes.prune(), 0)
  const trim = async (to: typeof changed) => {
    for (const { topic, offsets } of to.effective ?? []) await world.log.trim(topic, offsets)
  }
  // All partitions but one: the first version is still needed there.
  const [first = assert.fail('no topic')] = changed.effective ?? []
  await world.log.trim(first.topic, first.offsets)
  assert.equal(await changes.prune(), 0)
  assert.equal((await versions.of('ada')).length, 2)
  await trim(changed)
  assert.equal(await changes.prune(), 1)
  const kept = await versions.of('ada')
  assert.deepEqual(
    kept.map((each) => [each.version, each.since, each.until]),
    [[2, null, null]],
  )
  await trim(removed)
  assert.equal(await changes.prune(), 2)
  const left = await world.rows(
    'select subscriber_id, version from filter_versions union all select a.id::text, 0 from filter_announcements a left join filter_versions v on v.announcement = a.id where v.id is null',
  )
  assert.deepEqual(left, [{ subscriber_id: 'ada', version: 2 }])
  assert.equal((await create('bob')).version, 1)
})

test('while the log does not answer a change is kept and refused for now, and nothing of it is lost', {
  skip,
}, async () => {
  await using world = await FiltersWorld.open(services.address('postgres'))
  let isAway = true
  const server = await world.server(
    withAppend(world.log, async (records) => (isAway ? records.map(lost) : world.log.append(records))),
    1_000,
  )
  const startedMs = performance.now()
  await assert.rejects(server.create('ada'), { code: 'unavailable' })
  assert.ok(performance.now() - startedMs < 4_000)
  await assert.rejects(server.versions.of('ada'), { code: 'unavailable' })
  isAway = false
  const [version] = await server.versions.of('ada')
  assert.equal(version?.version, 1)
})

test('thousands who ask for their filters at once share the questions', { skip }, async () => {
  await using world = await FiltersWorld.open(services.address('postgres'))
  const { create, versions, store } = await world.server()
  const names = Array.from({ length: 200 }, () => randomUUID())
  await Promise.all(names.map((name) => create(name)))
  let asked = 0
  const ask = store.versions.bind(store)
  store.versions = (subscribers) => {
    asked++
    return ask(subscribers)
  }
  const found = await Promise.all(names.map((name) => versions.of(name)))
  assert.ok(found.every((each) => each.length === 1))
  assert.ok(asked <= 3, `${asked}`)
})

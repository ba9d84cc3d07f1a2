import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import { openInstallation } from '@pulse/dev/faults/installation'
import { openServices } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { freshDatabase } from '@pulse/dev/services/postgres'
import { type Answer, aPurchase, callerOf, startJourney } from './journey.ts'

const services = await openServices(['postgres'])
after(() => services[Symbol.asyncDispose]())
const skip = services.skip('postgres')

const premium = {
  subscriber_id: 'user_1',
  event_types: ['purchase'],
  user_tiers: ['premium'],
  min_amount: 100,
}

/** What an answer about filters holds; a journey asks for what it must have. */
interface FilterAnswer {
  readonly version: number
  readonly effective: string
  readonly pattern: object | null
  readonly expression: string
  readonly detail: string
  readonly code: string
  readonly errors: readonly { readonly pointer: string; readonly detail: string }[]
}
const filterIn = ({ body }: Answer) => body as unknown as FilterAnswer

test('ES-02 ES-07 a filter is stored in PostgreSQL, is answered in all its forms, and is there after a restart', {
  skip,
}, async () => {
  await using database = await freshDatabase(services.address('postgres'))
  await using installation = await openInstallation({ databaseUrl: database.url })
  const first = await installation.start()
  const call = callerOf(first)
  const missing = await call('GET', '/filters/user_1')
  assert.equal(missing.status, 404)
  assert.equal(filterIn(missing).detail, 'Filter not found')

  const made = await call('POST', '/filters', premium)
  assert.equal(made.status, 200, JSON.stringify(made.body))
  assert.equal(made.body.status, 'created')
  const stored = (await call('GET', '/filters/user_1')).body
  const { status: _, ...shown } = made.body
  assert.deepEqual(stored, shown)
  const { created_at, updated_at, effective, pattern, expression, ...rest } = filterIn(
    made,
  ) as FilterAnswer & {
    created_at: string
    updated_at: string
  }
  const own = { name: 'default', version: 1, status: 'created' }
  assert.deepEqual(rest, { ...premium, ...own })
  assert.equal(created_at, updated_at)
  assert.match(effective, /^events~\d+~0\.\d+_1\.\d+_2\.\d+_3\.\d+~/)
  // The other forms mean the same: what is printed can be stored again.
  assert.ok(expression.includes('purchase'))
  for (const [name, form] of Object.entries({ pattern, expression })) {
    const again = await call('POST', '/filters', { subscriber_id: 'user_1', name, [name]: form })
    assert.equal(again.status, 200, JSON.stringify(again.body))
  }
  assert.deepEqual(
    await installation.query(
      'select subscriber_id, name, version from filter_versions where current order by name',
    ),
    ['default', 'expression', 'pattern'].map((name) => ({ subscriber_id: 'user_1', name, version: 1 })),
  )
  await first.stop()
  const second = await installation.start()
  assert.deepEqual((await callerOf(second)('GET', '/filters/user_1')).body, stored)
})

test('6D a second POST of a filter is not a 500 but a conflict; PUT changes it, and of a missing one is a 404', async () => {
  await using journey = await startJourney()
  const { call } = journey
  assert.equal((await call('POST', '/filters', premium)).status, 200)
  const second = await call('POST', '/filters', premium)
  assert.equal(second.status, 409)
  assert.equal(second.body.code, 'conflict')
  // Nothing stands in its way under another name.
  assert.equal((await call('POST', '/filters', { ...premium, name: 'other' })).status, 200)

  const changed = await call('PUT', '/filters/user_1', { ...premium, min_amount: 0 })
  assert.equal(changed.status, 200)
  assert.equal(changed.body.status, 'updated')
  const shown = (await call('GET', '/filters/user_1')).body as unknown as Record<string, unknown>
  assert.equal(shown.min_amount, 0)
  assert.equal(shown.version, 2)
  assert.ok(String(shown.updated_at) > String(shown.created_at))
  for (const path of ['/filters/user_2', '/filters/user_1/nothing']) {
    const missing = await call('PUT', path, premium)
    assert.equal(missing.status, 404)
    assert.equal(filterIn(missing).detail, 'Filter not found')
  }
  const byName = await call('PUT', '/filters/user_1/other', { expression: 'event_type = "order.*"' })
  assert.equal(byName.status, 200, JSON.stringify(byName.body))
  assert.equal((byName.body as unknown as { event_types?: string[] }).event_types, undefined)

  assert.equal((await call('DELETE', '/filters/user_1/other')).status, 204)
  assert.equal((await call('DELETE', '/filters/user_1/other')).status, 404)
  assert.equal((await call('GET', '/filters/user_1/other')).status, 404)
  assert.equal((await call('GET', '/filters/user_1')).status, 200)
})

test('a filter that cannot be read is refused with the place of the mistake, and one that is too wide once there are as many as may be', async () => {
  await using journey = await startJourney({ FILTERS_UNSELECTIVE_MAX: '1' })
  const { call } = journey
  const store = (name: string, condition: object) =>
    call('POST', '/filters', { subscriber_id: 'user_1', name, ...condition })
  const bad = await store('a', { pattern: { event_type: [{ prefix: 7 }] } })
  assert.equal(bad.status, 422)
  assert.equal(bad.body.code, 'invalid_filter')
  assert.match(filterIn(bad).errors[0]?.pointer ?? '', /^\/pattern\/event_type\/0/)
  const cut = await store('a', { expression: 'event_type = "order.*" and' })
  assert.equal(cut.body.code, 'invalid_filter')
  assert.equal(filterIn(cut).errors[0]?.pointer, '/expression')
  assert.match(filterIn(cut).detail, /at character \d+/)
  assert.equal((await store('a', { event_types: 'purchase' })).status, 400)
  assert.equal((await store('a b', premium)).status, 400)

  const wide = { expression: 'not event_type = "purchase"' }
  assert.equal((await store('a', wide)).status, 200)
  const refused = await store('b', wide)
  assert.equal(refused.status, 422)
  assert.equal(refused.body.code, 'filter_too_wide')
  const help = (await call('GET', '/docs/problems/filter_too_wide')).body
  assert.match(JSON.stringify(help), /FILTERS_UNSELECTIVE_MAX/)
})

test('filters are listed by subscriber and name, in pages, and a key sees and changes only those of its subscribers', async () => {
  await using journey = await startJourney()
  const { call } = journey
  for (const subscriber_id of ['user_2', 'user_1', 'other'])
    for (const name of ['b', 'a'])
      assert.equal((await call('POST', '/filters', { subscriber_id, name, event_types: ['x'] })).status, 200)
  const listed = async (query: string, as = call) => {
    const names: string[] = []
    let cursor: string | null = null
    do {
      const page: Answer = await as(
        'GET',
        `/filters?limit=2${query}${cursor === null ? '' : `&cursor=${cursor}`}`,
      )
      assert.equal(page.status, 200, JSON.stringify(page.body))
      assert.ok(page.body.data.length <= 2)
      names.push(...page.body.data.map(({ subscriber_id, name }) => `${subscriber_id}/${name}`))
      cursor = page.body.cursor
      assert.equal(page.body.has_more, cursor !== null)
    } while (cursor !== null)
    return names
  }
  const all = ['other/a', 'other/b', 'user_1/a', 'user_1/b', 'user_2/a', 'user_2/b']
  assert.deepEqual(await listed(''), all)
  assert.deepEqual(await listed('&subscriber_id=user_1'), all.slice(2, 4))
  assert.equal((await call('GET', '/filters?cursor=nonsense')).status, 400)

  const made = await call('POST', '/admin/keys', {
    name: 'users only',
    scopes: ['filters:write'],
    subscribers: 'user_*',
  })
  assert.equal(made.status, 201, JSON.stringify(made.body))
  const asUsers = callerOf({ url: journey.server.url, key: (made.body as unknown as { key: string }).key })
  assert.deepEqual(await listed('', asUsers), all.slice(2))
  const forbidden = [
    await asUsers('GET', '/filters/other'),
    await asUsers('GET', '/filters?subscriber_id=other'),
    await asUsers('PUT', '/filters/other/a', premium),
    await asUsers('DELETE', '/filters/other/a'),
    await asUsers('POST', '/filters', { ...premium, subscriber_id: 'other', name: 'c' }),
    await asUsers('POST', '/filters/test', { condition: { event_types: ['x'] } }),
  ]
  assert.deepEqual(
    forbidden.map(({ status }) => status),
    forbidden.map(() => 403),
  )
  assert.equal((await asUsers('PUT', '/filters/user_2/a', premium)).status, 200)
})

test('ES-31 a token for A can read and change the filters of A and not those of B', async () => {
  await using journey = await startJourney()
  const { call } = journey
  for (const subscriber_id of ['A', 'B'])
    assert.equal((await call('POST', '/filters', { ...premium, subscriber_id })).status, 200)
  const issued = await call('POST', '/auth/tokens', {
    sub: 'A',
    scopes: ['filters:write', 'stream:read'],
    expires_in_seconds: 60,
  })
  assert.equal(issued.status, 201, JSON.stringify(issued.body))
  const asA = callerOf({ url: journey.server.url, key: (issued.body as unknown as { token: string }).token })
  assert.equal((await asA('GET', '/filters/A')).status, 200)
  assert.equal((await asA('GET', '/filters/B')).status, 403)
  assert.equal((await asA('PUT', '/filters/B', premium)).status, 403)
  assert.equal((await asA('DELETE', '/filters/B/default')).status, 403)
  assert.equal((await asA('POST', '/filters', { ...premium, subscriber_id: 'B', name: 'x' })).status, 403)
  assert.equal((await asA('PUT', '/filters/A', { ...premium, min_amount: 5 })).status, 200)
  const seen = (await asA('GET', '/filters')).body.data.map(({ subscriber_id }) => subscriber_id)
  assert.deepEqual(seen, ['A'])
})

// A handler for every type would meet a control record, if anything did.
const everything = `export default { handlers: { '*': (event) => ({ enriched: { met: event.event_type } }) } }`

test('control records of filters meet no handler, leave no row and no trace in metrics and lists, and the backlog returns to 0', async () => {
  await using journey = await startJourney({ PARTITIONS: '3' }, everything)
  const { call } = journey
  const sent = await journey.send(aPurchase())
  await journey.until(sent, 'processed')
  for (let n = 0; n < 5; n++)
    assert.equal((await call('POST', '/filters', { ...premium, name: `f${n}` })).status, 200)
  const last = await journey.send(aPurchase({ user_id: 'user_2' }))
  await journey.until(last, 'processed')
  await eventually(
    'an empty backlog',
    async () => {
      const { body } = await call('GET', '/metrics/summary')
      const { backlog } = body as unknown as { backlog: { events: number | null } }
      return backlog.events === 0 ? true : undefined
    },
    15_000,
  )
  const summary = (await call('GET', '/metrics/summary')).body as unknown as Record<string, number>
  assert.deepEqual(
    [summary.received, summary.processed, summary.failed, summary.duplicates, summary.rejected],
    [2, 2, 0, 0, 0],
  )
  const listed = (await call('GET', '/events')).body.data.map(({ event_id }) => event_id)
  assert.deepEqual(listed, [last, sent])
  assert.deepEqual((await call('GET', '/dead-letters')).body.data, [])
  const metrics = String((await call('GET', '/metrics')).body)
  assert.ok(!metrics.includes('event_type="pulse.'))
  assert.match(metrics, /pulse_filter_changes_total\{kind="create"\} 5\n/)
  await eventually(
    'filters are counted',
    async () =>
      /pulse_filters\{selective="yes"\} 5\n/.test(String((await call('GET', '/metrics')).body)) || undefined,
    10_000,
  )
})

test('the id of a control record leads to no event, processed or not, and each has the verdict control', {
  skip,
}, async () => {
  await using database = await freshDatabase(services.address('postgres'))
  await using installation = await openInstallation({ databaseUrl: database.url, configText: everything })
  // Nobody processes yet: the records wait in the log.
  const call = callerOf(await installation.start({ ROLES: 'intake,query,delivery' }))
  assert.equal((await call('POST', '/filters', premium)).status, 200)
  const ids = await installation.query<{ id: string }>('select id from log_ids')
  assert.equal(ids.length, 4)
  const lives = () => Promise.all(ids.map(async ({ id }) => (await call('GET', `/events/${id}`)).status))
  assert.deepEqual(await lives(), [404, 404, 404, 404])
  // One whose id the server made is looked for in all that waits.
  assert.equal((await call('GET', `/events/${randomUUID()}`)).status, 404)
  await installation.start({ ROLES: 'processing' })
  const verdicts = () =>
    installation.query(
      'select sum(control)::int as control, sum(processed + repeated + dead + parked + dropped)::int as other from log_group_partitions',
    )
  await eventually(
    'verdicts',
    async () => (((await verdicts())[0] as { control: number }).control === 4 ? true : undefined),
    15_000,
  )
  assert.deepEqual(await verdicts(), [{ control: 4, other: 0 }])
  assert.deepEqual(await lives(), [404, 404, 404, 404])
  assert.deepEqual(await installation.query('select event_type from events'), [])
})

test('types that begin with pulse. are refused at the door, however they come', async () => {
  await using journey = await startJourney()
  const { call } = journey
  const event = aPurchase({ event_type: 'pulse.filters' })
  const single = await call('POST', '/events', event)
  assert.equal(single.status, 422)
  assert.equal(single.body.code, 'invalid_event')
  assert.deepEqual(filterIn(single).errors, [
    { pointer: '/event_type', detail: 'must not begin with pulse.: such types are reserved for the server' },
  ])
  const batch = await call('POST', '/events', [event, aPurchase()])
  assert.deepEqual(
    batch.body.results.map(({ status }) => status),
    ['invalid', 'accepted'],
  )
  const cloud = { specversion: '1.0', id: randomUUID(), source: '/x', type: 'pulse.other', data: {} }
  const structured = await call('POST', '/events', cloud, { 'content-type': 'application/cloudevents+json' })
  assert.equal(structured.status, 422)
  const binary = await call(
    'POST',
    '/events',
    {},
    { 'ce-specversion': '1.0', 'ce-id': randomUUID(), 'ce-source': '/x', 'ce-type': 'pulse.filters' },
  )
  assert.equal(binary.status, 422)
  // Only the family is reserved.
  assert.equal((await call('POST', '/events', aPurchase({ event_type: 'pulse' }))).status, 202)
  assert.equal((await call('POST', '/events', aPurchase({ event_type: 'pulses.x' }))).status, 202)
})

test('a server that is killed between storing a filter and telling the log of it loses nothing: the next one tells', {
  skip,
}, async () => {
  await using database = await freshDatabase(services.address('postgres'))
  await using installation = await openInstallation({ databaseUrl: database.url })
  const doomed = await installation.start({ ROLES: 'delivery,intake,query' })
  const lock = await installation.connect()
  try {
    // Appends wait for the heads of the partitions; the filters' own tables are free.
    await lock.query('begin; lock table log_heads in exclusive mode')
    const asked = callerOf(doomed)('POST', '/filters', premium).catch(() => undefined)
    await eventually(
      'the filter is stored',
      async () => (await installation.query('select 1 from filter_versions'))[0] && true,
      10_000,
    )
    await doomed.kill()
    await asked
    const open = await installation.query('select effective from filter_announcements')
    assert.deepEqual(open, [{ effective: null }])
  } finally {
    await lock.query('rollback')
    await lock.end()
  }
  const call = callerOf(await installation.start({ ROLES: 'delivery,intake,query' }))
  await eventually(
    'the log tells of it',
    async () => (filterIn(await call('GET', '/filters/user_1')).effective === null ? undefined : true),
    20_000,
  )
  const records = await installation.query<{ count: string }>(
    'select sum(next_offset) as count from log_heads',
  )
  assert.equal(records[0]?.count, '4', 'one record in each partition, whoever appended it')
  assert.equal((await call('PUT', '/filters/user_1', premium)).status, 200)
})

test('a filter is tried on recent events: how many it finds, the newest of them, how often, what it costs, whether it would be refused', async () => {
  await using journey = await startJourney({ FILTERS_UNSELECTIVE_MAX: '0', PARTITIONS: '3' })
  const { call } = journey
  const events = Array.from({ length: 60 }, (_, n) =>
    aPurchase({
      user_id: `u${n}`,
      event_type: n % 3 === 0 ? 'click' : 'purchase',
      properties: { amount: n, user_tier: 'premium' },
    }),
  )
  assert.equal((await call('POST', '/events', events.slice(0, 30))).status, 200)
  assert.equal((await call('POST', '/filters', premium)).status, 200)
  assert.equal((await call('POST', '/events', events.slice(30))).status, 200)
  const trial = async (body: object) => {
    const answer = await call('POST', '/filters/test', body)
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    return answer.body as unknown as {
      matched: number
      per_hour: number
      sample: { event: { event_id: string; properties: { amount: number } }; position: string }[]
      looked: { records: number; stopped_by: string | null }
      cost: { selective: boolean }
      refused: { code: string } | null
    }
  }
  const found = await trial({ condition: { ...premium, subscriber_id: undefined, min_amount: 20 }, limit: 5 })
  const expected = events.filter(
    ({ event_type, properties }) =>
      event_type === 'purchase' && (properties as { amount: number }).amount >= 20,
  )
  assert.equal(found.matched, expected.length)
  assert.equal(found.looked.records, 60, 'control records are no events')
  assert.equal(found.looked.stopped_by, null)
  assert.equal(found.sample.length, 5)
  assert.ok(found.sample.every(({ event }) => event.properties.amount >= 30))
  assert.ok(found.per_hour >= found.matched)
  assert.deepEqual([found.cost.selective, found.refused], [true, null])
  const narrowed = await trial({
    condition: { expression: 'properties.amount exists' },
    event_types: ['click'],
  })
  assert.equal(narrowed.matched, 20)
  assert.equal(narrowed.refused?.code, 'filter_too_wide')
  assert.equal(
    (await call('POST', '/filters', { subscriber_id: 'x', expression: 'properties.amount exists' })).status,
    422,
  )
  const before = await trial({ condition: { event_types: ['click'] }, to: '2020-01-01T00:00:00Z' })
  assert.deepEqual([before.matched, before.looked.records, before.per_hour], [0, 0, 0])
  const wrong = await call('POST', '/filters/test', {
    condition: { event_types: ['x'] },
    from: '2999-01-01T00:00:00Z',
  })
  assert.equal(wrong.status, 400)
  const unreadable = await call('POST', '/filters/test', { condition: { expression: 'and' } })
  assert.equal(unreadable.status, 422)
  assert.equal(filterIn(unreadable).errors[0]?.pointer, '/condition/expression')

  // A token's own filter holds here too, and its bearer sees nothing else.
  const issued = await call('POST', '/auth/tokens', {
    ...{ sub: 'A', scopes: ['stream:read'], expires_in_seconds: 60 },
    filter: { expression: 'properties.amount < 10' },
  })
  assert.equal(issued.status, 201, JSON.stringify(issued.body))
  const asA = callerOf({ url: journey.server.url, key: (issued.body as unknown as { token: string }).token })
  const seen = await asA('POST', '/filters/test', { condition: { event_types: ['purchase'] } })
  assert.equal((seen.body as unknown as { matched: number }).matched, 6)
})

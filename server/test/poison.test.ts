import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Installation, openInstallation } from '@pulse/dev/faults/installation'
import { openServices, type Services } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { freshDatabase } from '@pulse/dev/services/postgres'
import { callerOf } from './journey.ts'

// Handlers write down what they began, outside of the process that they may end.
const config = `
import { existsSync, appendFileSync } from 'node:fs'
const folder = process.env.TRACES
const trace = (event) => appendFileSync(folder + '/begun', event.event_id + '\\n')
export default {
  partitions: 1,
  retryBaseMs: 100,
  retryMaxMs: 200,
  retryAttempts: 100,
  handlers: {
    'step.harmless': (event) => trace(event),
    'step.exits': (event) => { trace(event); process.exit(1) },
    'step.killed': async (event) => {
      trace(event)
      process.kill(process.pid, 'SIGKILL')
      await new Promise(() => {})
    },
    'step.first.fails.then.exits': (event, ctx) => {
      trace(event)
      if (ctx.attempt === 1) throw new Error('not yet')
      process.exit(1)
    },
    'step.waits': (event) => {
      trace(event)
      if (existsSync(folder + '/broken')) throw new Error('still broken')
    },
  },
}`

let services: Services
before(async () => {
  services = await openServices(['postgres'])
})
after(() => services[Symbol.asyncDispose]())

interface World extends AsyncDisposable {
  readonly installation: Installation
  readonly traces: string
  /** Accepts events while nobody works on them; gives their ids. */
  keep(...types: readonly { event_type: string; user_id: string }[]): Promise<string[]>
  /** Starts the server again and again until everything has its verdict; gives how often it ended. */
  startUntilQuiet(endsMax: number): Promise<number>
  /** Ids of the events whose handlers were begun, in that order. */
  begun(): Promise<string[]>
}

async function openWorld(): Promise<World> {
  const database = await freshDatabase(services.address('postgres'))
  const installation = await openInstallation({ databaseUrl: database.url, configText: config })
  const traces = installation.folder
  const data = await mkdtemp(join(traces, 'data-'))
  const start = (roles: string) => installation.start({ ROLES: roles, TRACES: traces }, data)
  const isQuiet = async () => {
    const [row] = await installation.query<{ quiet: boolean }>(
      `select not exists (select 1 from retries) and (select sum(next_offset) from log_group_partitions) =
         (select sum(next_offset) from log_heads) as quiet`,
    )
    return row?.quiet === true
  }
  return {
    installation,
    traces,
    async keep(...events) {
      const server = await start('intake')
      const sent = events.map((event) => ({ event_id: randomUUID(), ...event }))
      const answer = await callerOf(server)('POST', '/events', sent)
      assert.equal(answer.status, 200, JSON.stringify(answer.body))
      await server.stop()
      return sent.map((event) => event.event_id)
    },
    async startUntilQuiet(endsMax) {
      for (let ends = 0; ends <= endsMax; ends++) {
        // One that ends before it is ready has ended too.
        const server = await start('all').catch(() => undefined)
        if (!server) continue
        const settled = async () =>
          !installation.alive().includes(server) ? 'ended' : (await isQuiet()) ? 'quiet' : undefined
        if ((await eventually('the server ends or is done', settled, 20_000)) === 'quiet') return ends
      }
      throw new Error(`it ended more than ${endsMax} times`)
    },
    begun: async () => (await readFile(join(traces, 'begun'), 'utf8').catch(() => '')).trim().split('\n'),
    async [Symbol.asyncDispose]() {
      await installation[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    },
  }
}

const deadLetters = (world: World) =>
  world.installation.query<{ id: string; event_id: string; error_class: string }>(
    `select id, event_id, error_class from dead_letters where state = 'dead' order by failed_at`,
  )

const rowsOf = async (world: World) =>
  (await world.installation.query('select event_id from events order by record_offset')).map(
    (row) => row.event_id,
  )

const makeDue = (world: World, after: string) =>
  world.installation.query(
    'update retries set next_attempt_at = now() + $1::interval where not waits_for_key',
    [after],
  )

const harmless = { event_type: 'step.harmless', user_id: 'good' }

test('events that end the process become dead letters after three marked crashes each; their neighbours are processed and not blamed', async () => {
  await using world = await openWorld()
  const [first, exits, between, killed, last] = await world.keep(
    harmless,
    { event_type: 'step.exits', user_id: 'bad' },
    harmless,
    { event_type: 'step.killed', user_id: 'worse' },
    harmless,
  )
  // The first crash happens unmarked, then three on each mark.
  const ends = await world.startUntilQuiet(7)
  const letters = await deadLetters(world)
  assert.deepEqual(
    letters.map(({ event_id, error_class }) => [event_id, error_class]),
    [
      [exits, 'ProcessCrash'],
      [killed, 'ProcessCrash'],
    ],
  )
  assert.deepEqual(await rowsOf(world), [first, between, last])
  const begun = await world.begun()
  assert.ok(begun.filter((id) => id === exits).length <= 4, 'it was run after three marked crashes')
  assert.ok(begun.filter((id) => id === killed).length <= 4, 'it was run after three marked crashes')
  assert.equal(ends, 7)

  // Sent again by hand, it ends the process again, but only until it has been found again.
  const [server] = world.installation.alive()
  assert.ok(server)
  const redrive = await callerOf(server)('POST', `/dead-letters/${letters[0]?.id}/redrive`)
  assert.equal(redrive.status, 202)
  await server.ended
  assert.ok((await world.startUntilQuiet(4)) <= 4)
  assert.ok((await deadLetters(world)).some(({ event_id }) => event_id === exits))
  assert.deepEqual(await rowsOf(world), [first, between, last])
})

test('an event that fails first and ends the process when it is tried again becomes a dead letter too', async () => {
  await using world = await openWorld()
  const [bad, good] = await world.keep(
    { event_type: 'step.first.fails.then.exits', user_id: 'bad' },
    harmless,
  )
  await world.startUntilQuiet(5)
  assert.deepEqual(
    (await deadLetters(world)).map(({ event_id, error_class }) => [event_id, error_class]),
    [[bad, 'ProcessCrash']],
  )
  assert.deepEqual(await rowsOf(world), [good])
})

test('the order of a key survives its owner: what was parked is known to the next one before it runs anything', async () => {
  await using world = await openWorld()
  const waits = { event_type: 'step.waits', user_id: 'k' }
  await writeFile(join(world.traces, 'broken'), '')
  const [one, two] = await world.keep(waits, waits)
  const owner = await world.installation.start({ TRACES: world.traces })
  const parked = async () =>
    (await world.installation.query('select 1 from retries')).length === 2 ? true : undefined
  await eventually('both are parked', parked, 10_000)
  await owner.kill()
  // Not due for long: the heir has to know the key without having met one of its events.
  await makeDue(world, '1 hour')
  const heir = await world.installation.start({ TRACES: world.traces })
  const { body } = await callerOf(heir)('POST', '/events', [waits, { ...waits, user_id: 'other' }])
  const [three, other] = body.results.map((result: { event_id: string }) => result.event_id)
  const passed = async () => ((await world.begun()).includes(other ?? '') ? true : undefined)
  await eventually('another key is not held up', passed, 15_000)
  assert.ok(!(await world.begun()).includes(three ?? ''), 'an event overtook one of its key')
  await rm(join(world.traces, 'broken'))
  await makeDue(world, '0')
  const done = async () => ((await rowsOf(world)).length === 4 ? true : undefined)
  await eventually('all are processed', done, 15_000)
  // The order of the last attempt of each is the order in which they took effect.
  const begun = await world.begun()
  const finals = [one, two, three].map((id) => begun.lastIndexOf(id ?? ''))
  assert.deepEqual(
    finals,
    finals.toSorted((a, b) => a - b),
  )
  assert.equal(
    begun.indexOf(two ?? ''),
    begun.lastIndexOf(two ?? ''),
    'one behind another was tried before its turn',
  )
})

import assert from 'node:assert/strict'
import { appendFile, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { assertNoViolation, audit, untilQuiet } from '@pulse/dev/faults/audit'
import { type Installation, openInstallation } from '@pulse/dev/faults/installation'
import { Ledger, produce } from '@pulse/dev/faults/ledger'
import { randomOf } from '@pulse/dev/faults/random'
import { openServices, type Services } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { freshDatabase } from '@pulse/dev/services/postgres'
import { databaseUrlOf, type PulseProcess } from '@pulse/dev/services/pulse'
import { callerOf } from './journey.ts'
import { startServer } from './started-server.ts'

const takeoverMsMax = 10_000

let services: Services
before(async () => {
  services = await openServices(['postgres'])
})
after(() => services[Symbol.asyncDispose]())

/** Opens an installation on a database of its own. */
async function onFreshDatabase(
  settings: Readonly<Record<string, string>> = {},
  configText?: string,
): Promise<Installation> {
  const database = await freshDatabase(services.address('postgres'))
  const installation = await openInstallation({ databaseUrl: database.url, settings, configText })
  return {
    ...installation,
    [Symbol.asyncDispose]: async () => {
      await installation[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    },
  }
}

/** How many partitions each member owns. */
async function owners(installation: Installation): Promise<Map<string, number>> {
  const rows = await installation.query<{ owner: string; count: number }>(
    'select owner, count(*)::int from log_group_partitions where owner is not null group by owner',
  )
  return new Map(rows.map((row) => [row.owner, row.count]))
}

const untilShared = (installation: Installation, shares: readonly number[]) =>
  eventually(
    `partitions shared as ${shares}`,
    async () => {
      const now = await owners(installation)
      return `${[...now.values()].sort()}` === `${shares}` ? now : undefined
    },
    20_000,
  )

/** Sends from four keys to whichever server is alive until told to stop. */
function sendThrough(installation: Installation, batch = 20) {
  const ledger = new Ledger()
  const ended = new AbortController()
  const random = randomOf(7)
  const servers = () => installation.alive()
  const target = {
    url: () => servers()[Math.floor(Math.random() * servers().length)]?.url ?? 'http://127.0.0.1:9',
    key: servers()[0]?.key ?? '',
  }
  const producers = Array.from({ length: 4 }, (_, n) =>
    produce(target, ledger, { key: `key-${n}`, batch, random, signal: ended.signal }),
  )
  const untilAcked = (count: number) =>
    eventually(`${count} acknowledged`, async () => (ledger.acked.size >= count ? true : undefined), 30_000)
  const stop = async () => {
    ended.abort()
    await Promise.all(producers)
  }
  return { ledger, untilAcked, stop }
}

async function assertSound(server: PulseProcess, ledger: Ledger): Promise<void> {
  await untilQuiet(server)
  const findings = await audit(server, ledger)
  assertNoViolation(findings)
  assert.ok(findings.rows >= ledger.acked.size && findings.rows > 0)
}

async function processedBy(server: PulseProcess): Promise<number> {
  const headers = { authorization: `Bearer ${server.key}` }
  const answer = await fetch(`${server.url}/metrics/summary`, { headers })
  return ((await answer.json()) as { processed: number }).processed
}

test('two servers share one database, the second one through DATABASE_URL: both work, nothing is done twice', async () => {
  await using first = await startServer()
  await using installation = await openInstallation({ databaseUrl: await databaseUrlOf(first.data) })
  await installation.start()
  await untilShared(installation, [2, 2])
  const load = sendThrough(installation)
  await load.untilAcked(500)
  await load.stop()
  await assertSound(first, load.ledger)
  const shares = await Promise.all([first, ...installation.alive()].map(processedBy))
  assert.ok(
    shares.every((count) => count > 0),
    `processed by each: ${shares}`,
  )
})

test('EF-10 kill -9 of one of three servers under load: its partitions move within 10 s, nothing is lost or doubled', async (t) => {
  await using installation = await onFreshDatabase({ PARTITIONS: '6' })
  const victim = await installation.start()
  const [member] = [...(await untilShared(installation, [6])).keys()]
  await installation.start()
  const survivor = await installation.start()
  await untilShared(installation, [2, 2, 2])
  const load = sendThrough(installation)
  await load.untilAcked(300)
  const killedMs = performance.now()
  await victim.kill()
  const moved = async () => {
    const now = await owners(installation)
    return !now.has(member ?? '') && [...now.values()].reduce((a, b) => a + b, 0) === 6 ? true : undefined
  }
  await eventually('every partition has another owner', moved, takeoverMsMax)
  t.diagnostic(`moved after ${Math.round(performance.now() - killedMs)} ms`)
  await load.untilAcked(load.ledger.acked.size + 200)
  await load.stop()
  await assertSound(survivor, load.ledger)
})

// Each server says its name; the one that finds its file in the way waits inside the handler until it is removed.
const namedHandler = (folder: string) => `
import { appendFile, access } from 'node:fs/promises'
const name = process.env.SERVER_NAME
export default {
  handlers: {
    'job.done': async (event) => {
      await appendFile(${JSON.stringify(join(folder, 'begun'))}, name + ' ' + event.event_id + '\\n')
      while (await access(${JSON.stringify(folder)} + '/hold-' + name).then(() => true, () => false))
        await new Promise((resolve) => setTimeout(resolve, 20))
      return { enriched: { by: name } }
    },
  },
}`

async function withNamedHandlers(): Promise<Installation> {
  const installation = await onFreshDatabase({ PARTITIONS: '1' })
  const file = join(installation.folder, 'named.config.mjs')
  await writeFile(file, namedHandler(installation.folder))
  const start: Installation['start'] = (more, data) => installation.start({ CONFIG: file, ...more }, data)
  return { ...installation, start }
}

const begun = async (installation: Installation) =>
  (await readFile(join(installation.folder, 'begun'), 'utf8').catch(() => '')).trim().split('\n')

// Most of their time is waiting for a lease, so they wait together.
describe('servers that only seem dead', { concurrency: 2 }, () => {
  test('a stopped server loses its partition while an event is in its hands; its late commit is fenced and nothing is there twice', async () => {
    await using installation = await withNamedHandlers()
    const zombie = await installation.start({ SERVER_NAME: 'zombie' })
    await untilShared(installation, [1])
    await appendFile(join(installation.folder, 'hold-zombie'), '')
    const { body } = await callerOf(zombie)('POST', '/events', { event_type: 'job.done', user_id: 'u' })
    const id = body.event_id
    const hasBegun = (name: string) => async () =>
      (await begun(installation)).includes(`${name} ${id}`) ? true : undefined
    await eventually('the zombie has begun', hasBegun('zombie'), 10_000)
    zombie.process.kill('SIGSTOP')
    const heir = await installation.start({ SERVER_NAME: 'heir' })
    const rowOf = () => installation.query('select enriched from events where event_id = $1', [id])
    const done = async () => ((await rowOf()).length > 0 ? true : undefined)
    await eventually('the heir has processed it', done, takeoverMsMax + 5_000)
    await rm(join(installation.folder, 'hold-zombie'))
    zombie.process.kill('SIGCONT')
    // Awake again, it finishes its handler, fails to commit, and takes its part of later work like any other.
    const answer = await callerOf(zombie)('POST', '/events', { event_type: 'job.done', user_id: 'u' })
    assert.equal(answer.status, 202)
    await untilQuiet(zombie)
    assert.deepEqual(await rowOf(), [{ enriched: { by: 'heir' } }])
    const [counts] = await installation.query(
      'select processed::int, next_offset::int from log_group_partitions',
    )
    assert.deepEqual(counts, { processed: 2, next_offset: 2 })
    assert.equal((await callerOf(heir)('GET', `/events/${id}`)).body.status, 'processed')
  })

  test('a server that is stopped inside of its transaction holds up its partition for less than 10 s', async (t) => {
    await using installation = await withNamedHandlers()
    const zombie = await installation.start({ SERVER_NAME: 'zombie' })
    await untilShared(installation, [1])
    // The commit of the offset waits for this lock; granted while the server is stopped, it leaves an open transaction.
    const gate = await installation.connect()
    await gate.query('begin; select 1 from log_group_partitions for update')
    const { body } = await callerOf(zombie)('POST', '/events', { event_type: 'job.done', user_id: 'u' })
    const waits = async () =>
      (
        await installation.query(
          `select 1 from pg_stat_activity where application_name = 'pulse processing' and wait_event_type = 'Lock'`,
        )
      )[0]
    await eventually('the zombie waits for the gate', waits, 10_000)
    zombie.process.kill('SIGSTOP')
    await gate.query('commit')
    await gate.end()
    const stoppedMs = performance.now()
    await installation.start({ SERVER_NAME: 'heir' })
    const rowOf = () => installation.query('select enriched from events where event_id = $1', [body.event_id])
    const done = async () => ((await rowOf()).length > 0 ? true : undefined)
    await eventually('the heir has processed it', done, takeoverMsMax + 5_000)
    t.diagnostic(`processed ${Math.round(performance.now() - stoppedMs)} ms after the stop`)
    zombie.process.kill('SIGCONT')
    await untilQuiet(zombie)
    assert.deepEqual(await rowOf(), [{ enriched: { by: 'heir' } }])
  })

  test('a server that is stopped while it looks after the generations of ids does not keep another one from starting', async () => {
    await using installation = await onFreshDatabase()
    const zombie = await installation.start()
    const gate = await installation.connect()
    const look = `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
      and query like '%from log_id_generations where sealed_at <%'`
    // It may as well wait here with a question that comes after: then it is let through and waited for again.
    const isInside = async () => {
      await gate.query('begin; lock table log_id_generations in access exclusive mode')
      const waits = `select 1 from pg_locks where not granted and relation = 'log_id_generations'::regclass`
      await eventually('it waits', async () => (await installation.query(waits))[0], 10_000)
      if ((await installation.query(look)).length > 0) return true
      await gate.query('commit')
      return undefined
    }
    await eventually('it looks after the generations', isInside, 20_000)
    zombie.process.kill('SIGSTOP')
    await gate.query('commit')
    await gate.end()
    const heir = await installation.start()
    const { status } = await callerOf(heir)('POST', '/events', { event_type: 'job.done', user_id: 'u' })
    assert.equal(status, 202)
  })
})

// The first event of each worker waits for the first one of every other: they are done if all work at the same time.
const slowConfig = `
import { appendFile, readFile } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
const { MET, WORKERS } = process.env
const met = async () => new Set((await readFile(MET, 'utf8')).trim().split('\\n')).size
let haveMet = false
export default {
  handlers: {
    'slow.*': async () => {
      if (!haveMet) await appendFile(MET, process.pid + '\\n')
      while (!haveMet) {
        haveMet = (await met()) >= Number(WORKERS)
        await wait(5)
      }
      await wait(40)
      return {}
    },
  },
}`

test('EF-14 EF-15 three workers get through slow events faster than one, all at the same time, and each event is done once', async (t) => {
  const settings = { PARTITIONS: '12', HANDLER_CONCURRENCY: '1' }
  const events = Array.from({ length: 100 }, (_, n) => ({ event_type: 'slow.job', user_id: `user-${n}` }))
  const measure = async (workers: number): Promise<number> => {
    await using installation = await onFreshDatabase(settings, slowConfig)
    const more = { MET: join(installation.folder, 'met'), WORKERS: String(workers) }
    for (let n = 0; n < workers; n++) await installation.start(more)
    await untilShared(installation, new Array(workers).fill(12 / workers))
    const [server] = installation.alive()
    assert.ok(server)
    const startedMs = performance.now()
    assert.equal((await callerOf(server)('POST', '/events', events)).body.accepted, events.length)
    const all = async () => {
      const [row] = await installation.query(
        'select count(*)::int as n, count(distinct event_id)::int as ids from events',
      )
      assert.equal(row?.n, row?.ids)
      return row?.n === events.length ? true : undefined
    }
    await eventually('every event is processed', all, 60_000)
    return performance.now() - startedMs
  }
  const one = await measure(1)
  const three = await measure(3)
  t.diagnostic(`1 worker ${Math.round(one)} ms, 3 workers ${Math.round(three)} ms`)
  assert.ok(one > 100 * 40, 'one worker ran more than one handler at a time')
  assert.ok(three < one, 'three are no faster than one')
})

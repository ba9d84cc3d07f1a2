import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { openServices, type Services } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { freshDatabase } from '@pulse/dev/services/postgres'
import { type PulseProcess, startPulse } from '@pulse/dev/services/pulse'
import pg from 'pg'

let services: Services
let settings: Record<string, string>
let other: PulseProcess
let database: pg.Client
const opened = new AsyncDisposableStack()
before(async () => {
  services = opened.use(await openServices(['postgres']))
  const fresh = opened.use(await freshDatabase(services.address('postgres')))
  settings = { DATABASE_URL: fresh.url, NAMES_RATE_ADDRESS: '', RATE_LIMIT_ADDRESS: '' }
  other = await start()
  database = new pg.Client({ connectionString: fresh.url, options: '-c search_path=pulse' })
  await database.connect()
  opened.defer(() => database.end())
})
after(() => opened[Symbol.asyncDispose]())

/** A server of the same database that answers from memory. */
async function start(): Promise<PulseProcess> {
  const data = await mkdtemp(join(tmpdir(), 'pulse-names-'))
  await chmod(data, 0o755)
  opened.defer(() => rm(data, { recursive: true, force: true }))
  const server = await startPulse(data, settings)
  opened.defer(() => server.kill())
  await eventually('names from memory', async () => (await statsOf(server)).certain || undefined, 20_000)
  return server
}

const headers = ({ key }: PulseProcess) => ({
  authorization: `Bearer ${key}`,
  'content-type': 'application/json',
})

async function statsOf(server: PulseProcess): Promise<{ certain: boolean; names_estimated: number }> {
  const response = await fetch(`${server.url}/api/names/stats`, { headers: headers(server) })
  return (await response.json()) as { certain: boolean; names_estimated: number }
}

/** The status of a claim, or undefined if the server ended before it answered. */
const claim = (server: PulseProcess, username: string): Promise<number | undefined> =>
  fetch(`${server.url}/api/names`, {
    method: 'POST',
    headers: headers(server),
    body: JSON.stringify({ username }),
  }).then(
    ({ status }) => status,
    () => undefined,
  )

async function check(
  server: PulseProcess,
  username: string,
): Promise<{ available: boolean; source?: string }> {
  const response = await fetch(`${server.url}/api/check-username?username=${username}`)
  return (await response.json()) as { available: boolean; source?: string }
}

/** Resolves when somebody waits to write into the table. */
const untilWaiting = (table: string) =>
  eventually(
    `somebody waits for ${table}`,
    async () => {
      const waiting = 'select 1 from pg_locks where relation = $1::regclass and not granted'
      return (await database.query(waiting, [table])).rowCount === 0 ? undefined : true
    },
    20_000,
  )

/** Kills a server in the middle of a claim that a lock holds up, and lets go of the lock. */
async function killWhileLocked(username: string, table: string): Promise<number | undefined> {
  const server = await start()
  await database.query('begin')
  // Others may read, and nobody may write.
  await database.query(`lock table ${table} in share mode`)
  const answer = claim(server, username)
  await untilWaiting(table)
  await server.kill()
  await database.query('commit')
  return await answer
}

const hasRow = async (key: string) =>
  (await database.query('select 1 from names where key = $1', [key])).rowCount === 1

test('a server that is killed before the hash is in the log leaves the name free', async () => {
  assert.equal(await killWhileLocked('before.hash', 'log_heads'), undefined)
  assert.equal(await hasRow('before.hash'), false)
  assert.equal((await check(other, 'before.hash')).available, true)
  assert.equal(await claim(other, 'before.hash'), 201)
})

test('a server that is killed between the hash and the row leaves what the row says, and no name is lost to everybody', async () => {
  assert.equal(await killWhileLocked('before.row', 'names'), undefined)
  // The statement was sent, and the database may carry it out for nobody.
  await eventually(
    'the end of the statement',
    async () => {
      const active = `select 1 from pg_stat_activity where state = 'active' and query like 'insert into names%'`
      return (await database.query(active)).rowCount === 0 || undefined
    },
    20_000,
  )
  const { available, source } = await check(other, 'before.row')
  assert.equal(available, !(await hasRow('before.row')))
  assert.ok(source, 'the hash was known, so it was looked up')
  assert.equal(await claim(other, 'before.row'), available ? 201 : 409)
  assert.equal((await check(other, 'before.row')).available, false)
})

test('a server that is killed between the row and its answer leaves the name taken, everywhere', async () => {
  const server = await start()
  // It cannot apply the hash, so the claim waits for it.
  other.process.kill('SIGSTOP')
  const answer = claim(server, 'before.answer')
  await eventually('the row', async () => (await hasRow('before.answer')) || undefined, 20_000)
  await server.kill()
  other.process.kill('SIGCONT')
  assert.equal(await answer, undefined)
  // Nobody was told that the name is taken, so it may still be called free until the hash has come.
  await eventually(
    'the hash applied',
    async () => (await check(other, 'before.answer')).available === false || undefined,
    20_000,
  )
  const third = await start()
  assert.equal((await check(third, 'before.answer')).available, false)
})

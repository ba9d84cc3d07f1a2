import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { Client } from 'pg'
import { ConfigError } from '../config/config.ts'
import { prepareLayout } from './data-folder.ts'
import { DatabaseError } from './database-error.ts'
import { ask, killHard, openTrial, until } from './database-trial.ts'

const isRoot = process.getuid?.() === 0

async function refused(opening: Promise<unknown>, message: RegExp): Promise<void> {
  await assert.rejects(opening, (error) => {
    assert.ok(error instanceof ConfigError, String(error))
    assert.match(error.message, message)
    assert.equal(error.message.split('\n').length, 2, 'one clear line')
    return true
  })
}

test('a first start makes a database with checksums that syncs, listens on a socket alone, and has a private password', async () => {
  await using trial = await openTrial()
  const database = await trial.open()
  const [facts] = await ask<Record<string, string>>(
    database,
    `select current_setting('data_checksums') as checksums, current_setting('listen_addresses') as listens,
       current_setting('fsync') as fsync, current_setting('jit') as jit, current_setting('autovacuum') as autovacuum,
       current_setting('search_path') as path, current_setting('max_wal_size') as wal,
       (select datlocprovider::text || ' ' || datlocale || ' ' || pg_encoding_to_char(encoding)
          from pg_database where datname = current_database()) as locale`,
  )
  const expected = {
    checksums: 'on',
    listens: '',
    fsync: 'on',
    jit: 'off',
    autovacuum: 'on',
    path: 'pulse,public',
    wal: '384MB',
    locale: 'b C.UTF-8 UTF8',
  }
  assert.deepEqual(facts, expected)
  assert.equal(database.durability, 'disk')
  assert.equal(database.describe().location, join(trial.data, 'postgres'))
  assert.equal(database.status().kind, 'up')
  assert.equal((await stat(join(trial.data, 'database-password'))).mode & 0o777, 0o600)
  assert.equal((await stat(join(trial.data, 'run'))).mode & 0o777, 0o700)
  const { uid } = await stat(join(trial.data, 'postgres'))
  assert.equal(uid === 0, false, 'never as root')
})

test('what was written is there after a clean stop and a new start', async () => {
  await using trial = await openTrial()
  {
    await using first = await trial.open()
    await ask(first, 'create table kept as select 7 as x')
  }
  assert.equal(await trial.postmaster(), 0, 'closing stops the postmaster')
  const second = await trial.open()
  assert.deepEqual(await ask(second, 'select x from kept'), [{ x: 7 }])
  assert.equal(second.describe().adopted, false)
})

test('a wrong password is refused with the way out, and nobody gets in without the right one', async () => {
  await using trial = await openTrial()
  const file = join(trial.data, 'database-password')
  await (await trial.open())[Symbol.asyncDispose]()
  await writeFile(file, 'wrong')
  await refused(
    trial.open({ graceSeconds: 1 }),
    /the password in .*database-password is not that of .*remove the file while no server runs/,
  )
  // Its watcher would stop it once this process is gone.
  process.kill(await trial.postmaster(), 'SIGINT')
  await until('what was refused ends', async () => (await trial.postmaster()) === 0)
  await rm(file)
  assert.equal((await trial.open()).status().kind, 'up', 'the way out leads out')
})

test('a lost password is made anew, also after a crash, and everything is still there; the old one opens nothing', async () => {
  await using trial = await openTrial()
  const file = join(trial.data, 'database-password')
  const first = await trial.startOwner({ graceSeconds: 1 })
  const client = new Client(await connectionBySocket(trial.data))
  client.on('error', () => {})
  await client.connect()
  await client.query('create table kept as select 7 as x')
  const old = await readFile(file, 'utf8')
  await rm(file)
  await refused(
    trial.open({ graceSeconds: 1 }),
    /database-password is missing, .* stop the server that uses it/,
  )
  await killHard(first)
  process.kill(await trial.postmaster(), 'SIGKILL')
  await until('the database is gone', async () => (await trial.postmaster()) === 0)
  const database = await trial.open()
  assert.deepEqual(await ask(database, 'select x from kept'), [{ x: 7 }])
  assert.notEqual(await readFile(file, 'utf8'), old)
  assert.equal((await stat(file)).mode & 0o777, 0o600)
  const stranger = new Client({ ...database.client('stranger'), password: old.trim() })
  await assert.rejects(stranger.connect(), /password authentication failed/)
  assert.doesNotMatch(await readFile(join(trial.data, 'postgres.log'), 'utf8'), /alter role/i)
})

/** How a program beside the server gets into its database. */
async function connectionBySocket(data: string) {
  const password = (await readFile(join(data, 'database-password'), 'utf8')).trim()
  return { host: join(data, 'run'), port: 5_432, user: 'pulse', password, database: 'pulse' }
}

test('the next start adopts a database that a killed server left running, data and process', async () => {
  await using trial = await openTrial()
  const owner = await trial.startOwner()
  const pid = await trial.postmaster()
  await killHard(owner)
  assert.equal(await trial.postmaster(), pid, 'it runs on')
  const database = await trial.open()
  assert.equal(database.describe().adopted, true)
  assert.equal(await trial.postmaster(), pid)
  assert.deepEqual(await ask(database, 'select 1 as x'), [{ x: 1 }])
})

test('of servers that start together on an empty folder one wins, and nothing half is left', async () => {
  await using trial = await openTrial()
  const outcomes = await Promise.allSettled([trial.startOwner(), trial.startOwner(), trial.startOwner()])
  const reasons = outcomes.filter((one) => one.status === 'rejected').map((one) => String(one.reason))
  assert.equal(reasons.length, 2)
  for (const reason of reasons) assert.match(reason, /is in use by another Pulse server/)
  await until('halves are gone', async () =>
    (await readdir(trial.data)).every((name) => !name.includes('half')),
  )
})

test('a killed database is back within 5 seconds with all that was committed, and says both', async () => {
  await using trial = await openTrial()
  const database = await trial.open()
  const pool = database.pool('test', { max: 2 })
  await pool.query('create table kept (x int)')
  const seen: string[] = []
  database.news.on('status', (status) => seen.push(status.kind))
  for (let round = 1; round <= 3; round++) {
    await pool.query('insert into kept values ($1)', [round])
    const pid = await trial.postmaster()
    process.kill(pid, 'SIGKILL')
    await until('the loss is noticed', () => seen.length === round * 2 - 1, 5_000)
    const tookMs = await until('it is up', () => database.status().kind === 'up', 5_000)
    assert.ok(tookMs < 5_000)
    assert.notEqual(await trial.postmaster(), pid)
    const { rows } = await pool.query('select count(*)::int as n from kept')
    assert.deepEqual(rows, [{ n: round }])
  }
  assert.deepEqual(seen, ['down', 'up', 'down', 'up', 'down', 'up'])
})

test('a crashed session that takes the others with it is survived too, and the folder stays owned', async () => {
  await using trial = await openTrial()
  const database = await trial.open()
  const pid = await trial.postmaster()
  const seen: string[] = []
  database.news.on('status', (status) => seen.push(status.kind))
  const [session] = await ask<{ pid: number }>(
    database,
    `select pid from pg_stat_activity where backend_type = 'checkpointer'`,
  )
  process.kill(session?.pid ?? 0, 'SIGKILL')
  await until('it is back', () => seen.join(' ') === 'down up', 10_000)
  assert.equal(await trial.postmaster(), pid)
  await refused(
    trial.open({ graceSeconds: 1 }),
    new RegExp(`in use by another Pulse server \\(process ${process.pid}\\)`),
  )
})

test('a stale pid file whose number now belongs to another program does not stop a start', async () => {
  await using trial = await openTrial()
  await (await trial.open())[Symbol.asyncDispose]()
  const other = spawn('/bin/sleep', ['60'], { stdio: 'ignore' })
  await once(other, 'spawn')
  try {
    const files = join(trial.data, 'postgres')
    await writeFile(
      join(files, 'postmaster.pid'),
      `${other.pid}\n${files}\n1\n5432\n${trial.data}/run\n\n 1 1\nready   \n`,
    )
    assert.equal((await trial.open()).status().kind, 'up')
  } finally {
    other.kill('SIGKILL')
  }
})

test('a folder of another major version is refused with the way out', async () => {
  await using trial = await openTrial()
  await (await trial.open())[Symbol.asyncDispose]()
  await writeFile(join(trial.data, 'postgres', 'PG_VERSION'), '17\n')
  await refused(
    trial.open(),
    /is a PostgreSQL 17 database, and this Pulse brings PostgreSQL 18; nothing was changed\. .* --data .* pg_dump and pg_restore/,
  )
})

test('a folder that others can read, that is not a database, or that a kill left half is dealt with', async () => {
  await using trial = await openTrial()
  const files = join(trial.data, 'postgres')
  await mkdir(join(trial.data, 'postgres.half-1', 'postgres'), { recursive: true })
  await writeFile(join(trial.data, 'postgres.half-1', 'postgres', 'PG_VERSION'), '18\n')
  await (await trial.open())[Symbol.asyncDispose]()
  assert.deepEqual(
    (await readdir(trial.data)).filter((name) => name.includes('half')),
    [],
  )
  await chmod(files, 0o755)
  await refused(trial.open(), /others can read or write .*chmod 700/)
  await chmod(files, 0o700)
  await rm(join(files, 'PG_VERSION'))
  await refused(trial.open(), /is neither empty nor a PostgreSQL folder/)
})

test('a start killed in the middle of initdb leaves a folder that the next start can use', async () => {
  await using trial = await openTrial()
  const starting = trial.startOwner({ graceSeconds: 1 }).catch((error: unknown) => error)
  await until('initdb has begun', async () =>
    (await readdir(trial.data).catch(() => [])).some((name) => name.includes('half')),
  )
  const half = (await readdir(trial.data)).find((name) => name.includes('half'))
  process.kill(Number(half?.split('-')[1]), 'SIGKILL')
  await starting
  const database = await trial.open()
  assert.deepEqual(await ask(database, 'select 1 as x'), [{ x: 1 }])
})

test('a first start that cannot write says why, and leaves a folder that the next start can use', async () => {
  await using trial = await openTrial()
  const opener = new URL('embedded.ts', import.meta.url).href
  const given = JSON.stringify({ data: trial.data, dataIsDefault: false, graceSeconds: 1 })
  const program = `import { openEmbedded } from ${JSON.stringify(opener)}; await openEmbedded(${given})`
  // A limit on the size of files stands for a full disk: the write fails in the same way.
  const words = ['-c', 'ulimit -f 500; exec "$0" --input-type=module --eval "$1"', process.execPath, program]
  const child = spawn('/bin/sh', words, { cwd: import.meta.dirname, stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', (text) => (said += text))
  await once(child, 'close')
  assert.match(said, /initdb failed: could not .*File too large/)
  assert.deepEqual((await readdir(trial.data)).sort(), ['database-password', 'run'])
  assert.equal((await trial.open()).status().kind, 'up')
})

test('a database that cannot start says why, and where its log is', async () => {
  await using trial = await openTrial()
  await (await trial.open())[Symbol.asyncDispose]()
  await writeFile(join(trial.data, 'postgres', 'postgresql.auto.conf'), 'shared_buffers = lots\n')
  await assert.rejects(trial.open({ graceSeconds: 1 }), (error) => {
    assert.ok(error instanceof DatabaseError)
    assert.equal(error.code, 'start-failed')
    assert.match(error.message, /invalid value for parameter "shared_buffers".*postgres\.log/)
    return true
  })
})

test('a path that is too long for a socket gets its socket elsewhere, private all the same', async () => {
  await using trial = await openTrial()
  const data = join(trial.data, 'a'.repeat(60), 'b'.repeat(60))
  const database = await trial.open({ data })
  const folder = String(database.client('x').host)
  assert.ok(Buffer.byteLength(folder) <= 85, folder)
  assert.equal((await stat(folder)).mode & 0o777, 0o700)
  assert.deepEqual(await ask(database, 'select 1 as x'), [{ x: 1 }])
  await database[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

test('a private folder of root that is empty is opened for the database alone, and only to pass through', {
  skip: !isRoot && 'only root runs the database as another user',
}, async () => {
  await using trial = await openTrial()
  await mkdir(trial.data, { mode: 0o700 })
  const database = await trial.open()
  assert.equal((await stat(trial.data)).mode & 0o777, 0o710)
  assert.equal((await stat(trial.data)).gid, (await stat(join(trial.data, 'postgres'))).gid)
  assert.equal(database.describe().movedFrom, undefined)
})

test('links in the folder of the database lead the server to no other file', async () => {
  await using trial = await openTrial()
  await (await trial.open())[Symbol.asyncDispose]()
  const victim = join(trial.data, 'victim')
  await writeFile(victim, 'untouched\n', { mode: 0o600 })
  const before = await stat(victim)
  const files = join(trial.data, 'postgres')
  for (const name of ['pulse.conf', `pulse.conf.${process.pid}`]) {
    await rm(join(files, name), { force: true })
    await symlink(victim, join(files, name))
  }
  await (await trial.open())[Symbol.asyncDispose]()
  const after = await stat(victim)
  assert.equal(await readFile(victim, 'utf8'), 'untouched\n')
  assert.deepEqual([after.uid, after.gid, after.mode], [before.uid, before.gid, before.mode])
  const main = join(files, 'postgresql.conf')
  await rm(main)
  await symlink(victim, main)
  await assert.rejects(trial.open({ graceSeconds: 1 }), { code: 'ELOOP' })
  assert.equal(await readFile(victim, 'utf8'), 'untouched\n')
})

test('a link that somebody planted where the socket goes is refused, and what it points to is left alone', async () => {
  await using trial = await openTrial()
  await mkdir(trial.data)
  const target = join(trial.data, 'target')
  await mkdir(target)
  await symlink(target, join(trial.data, 'run'))
  await writeFile(join(trial.data, 'database-password'), 'x')
  const before = await stat(target)
  await refused(trial.open(), /run belongs to somebody else/)
  assert.deepEqual([(await stat(target)).uid, (await stat(target)).mode], [before.uid, before.mode])
})

test('a chosen folder that the database cannot enter is refused, the default one moves', {
  skip: !isRoot && 'only root runs the database as another user',
}, async () => {
  const closed = await mkdtemp(join(tmpdir(), 'pulse-closed-'))
  const machineFolder = await mkdtemp(join(tmpdir(), 'pulse-machine-'))
  try {
    await chmod(machineFolder, 0o711)
    const data = join(closed, 'data')
    await refused(
      prepareLayout({ data, dataIsDefault: false, machineFolder }),
      /who cannot enter .*; choose a folder that .* can reach, or open the way/,
    )
    const layout = await prepareLayout({ data, dataIsDefault: true, machineFolder })
    assert.equal(layout.movedFrom, join(data, 'postgres'))
    assert.ok(layout.files.startsWith(join(machineFolder, 'data-')), layout.files)
    const again = await prepareLayout({ data, dataIsDefault: true, machineFolder })
    assert.equal(again.files, layout.files)
  } finally {
    await rm(closed, { recursive: true })
    await rm(machineFolder, { recursive: true })
  }
})

// Each has a folder of its own, and most of their time is waiting: for a watcher, or for a database that hangs.
describe('what is known only after a while', { concurrency: true }, () => {
  test('a second server on the same folder is refused with the number of the first, and does it no harm', async () => {
    await using trial = await openTrial()
    const owner = await trial.startOwner({ graceSeconds: 1 })
    const pid = await trial.postmaster()
    await refused(
      trial.open({ graceSeconds: 1 }),
      new RegExp(`${trial.data} is in use by another Pulse server \\(process ${owner.pid}\\)`),
    )
    assert.equal(await trial.postmaster(), pid)
    const second = await trial.startOwner({ graceSeconds: 1 }).then(
      () => 'started',
      (error: unknown) => String(error),
    )
    assert.match(second, /is in use by another Pulse server/)
    // Longer than the grace time of the refused server, whose watcher must leave the other's database alone.
    await assert.rejects(
      until('the database of the owner ends', async () => (await trial.postmaster()) !== pid, 3_000),
    )
  })

  test('a database without an owner stops after the grace time', async () => {
    await using trial = await openTrial()
    const owner = await trial.startOwner({ graceSeconds: 2 })
    await killHard(owner)
    const tookMs = await until('the postmaster stops', async () => (await trial.postmaster()) === 0)
    assert.ok(tookMs > 1_500, `not before its time: ${tookMs} ms`)
    const log = await readFile(join(trial.data, 'postgres.log'), 'utf8')
    assert.match(log, /received fast shutdown request/)
  })

  test('a database that a new owner adopted outlives the grace time of the old one', async () => {
    await using trial = await openTrial()
    const owner = await trial.startOwner({ graceSeconds: 1 })
    const pid = await trial.postmaster()
    await killHard(owner)
    const database = await trial.open()
    await assert.rejects(until('the postmaster ends', async () => (await trial.postmaster()) !== pid, 3_000))
    assert.equal(database.status().kind, 'up')
  })

  test('a running database that hangs ends the start with one line that says so', async () => {
    await using trial = await openTrial()
    await killHard(await trial.startOwner())
    const pid = await trial.postmaster()
    process.kill(pid, 'SIGSTOP')
    try {
      await assert.rejects(trial.open(), (error) => {
        assert.ok(error instanceof DatabaseError, String(error))
        assert.match(error.message, /^the database of .* runs but does not answer: timeout expired; see .*$/)
        return true
      })
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    assert.equal((await trial.open()).describe().adopted, true)
  })
})

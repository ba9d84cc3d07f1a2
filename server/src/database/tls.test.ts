import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { chownSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { ConfigError } from '../config/config.ts'
import { findBinaries } from './binaries.ts'
import { ask, openTrial, type Trial, until } from './database-trial.ts'
import { databaseUser, runAs } from './os-user.ts'

const isThere = spawnSync('openssl', ['version']).status === 0
if (!isThere && (process.env.REQUIRE ?? '').split(',').includes('openssl'))
  throw new Error('openssl is missing, and REQUIRE names it')
const skip = isThere ? false : 'openssl is not installed'

let trial: Trial
let postgres: ChildProcess | undefined
let port = 0
let password = ''

/** The files of the embedded database, served over TLS by a certificate for "localhost" of an authority of our own. */
before(async () => {
  trial = await openTrial()
  if (skip) return
  await (await trial.open())[Symbol.asyncDispose]()
  password = (await readFile(join(trial.data, 'database-password'), 'utf8')).trim()
  await makeCertificates(trial.data)
  port = await freePort()
  const files = join(trial.data, 'postgres')
  const hba = join(files, 'pg_hba.conf')
  await writeFile(hba, 'local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n')
  const settings = {
    listen_addresses: '127.0.0.1',
    port,
    ssl: 'on',
    ssl_cert_file: join(trial.data, 'server.pem'),
    ssl_key_file: join(trial.data, 'server.key'),
  }
  const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const { postgres: program } = await findBinaries(databaseUser(), '/var/lib/pulse')
  postgres = spawn(program, ['-D', files, '-k', join(trial.data, 'run'), ...options], {
    cwd: '/',
    env: {},
    stdio: 'ignore',
    ...runAs(databaseUser()),
  })
  const pidFile = join(files, 'postmaster.pid')
  await until('it is ready', async () => (await readFile(pidFile, 'utf8').catch(() => '')).includes('ready'))
})
after(async () => {
  postgres?.kill('SIGINT')
  await trial[Symbol.asyncDispose]()
})

async function makeCertificates(folder: string): Promise<void> {
  const run = (...words: string[]) => execFileSync('openssl', words, { cwd: folder, stdio: 'pipe' })
  await writeFile(join(folder, 'names'), 'subjectAltName=DNS:localhost\n')
  for (const name of ['authority', 'stranger'])
    run(
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.pem`,
    )
  run(
    'req',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-subj',
    '/CN=server',
    '-keyout',
    'server.key',
    '-out',
    'server.csr',
  )
  run(
    'x509',
    '-req',
    '-in',
    'server.csr',
    '-CA',
    'authority.pem',
    '-CAkey',
    'authority.key',
    '-CAcreateserial',
    '-days',
    '2',
    '-extfile',
    'names',
    '-out',
    'server.pem',
  )
  const user = databaseUser()
  if (user) for (const name of ['server.key', 'server.pem']) chownSync(join(folder, name), user.uid, user.gid)
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await until('a port', () => server.listening)
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address ? address.port : 0
}

const cases: readonly [
  title: string,
  host: string,
  parameters: string,
  outcome: 'encrypted' | 'plain' | RegExp,
][] = [
  ['disable is plain', 'localhost', 'sslmode=disable', 'plain'],
  ['require encrypts without asking who it is', '127.0.0.1', 'sslmode=require', 'encrypted'],
  [
    'require with a root certificate asks for its authority',
    '127.0.0.1',
    'sslmode=require&sslrootcert=stranger.pem',
    /could not prove who it is/,
  ],
  [
    'verify-ca takes any name of the authority',
    '127.0.0.1',
    'sslmode=verify-ca&sslrootcert=authority.pem',
    'encrypted',
  ],
  [
    'verify-ca refuses another authority',
    'localhost',
    'sslmode=verify-ca&sslrootcert=stranger.pem',
    /could not prove who it is/,
  ],
  [
    'verify-ca without a root certificate refuses a private authority',
    'localhost',
    'sslmode=verify-ca',
    /could not prove who it is/,
  ],
  [
    'verify-full takes the right name',
    'localhost',
    'sslmode=verify-full&sslrootcert=authority.pem',
    'encrypted',
  ],
  [
    'verify-full refuses another name',
    '127.0.0.1',
    'sslmode=verify-full&sslrootcert=authority.pem',
    /could not prove who it is: .*altnames/,
  ],
  [
    'a root certificate that cannot be read is named',
    'localhost',
    'sslmode=verify-full&sslrootcert=none.pem',
    /its sslrootcert .*none\.pem cannot be read/,
  ],
]
for (const [title, host, parameters, outcome] of cases)
  test(`sslmode ${title}`, { skip }, async () => {
    const query = parameters.replace('sslrootcert=', `sslrootcert=${trial.data}/`)
    const url = `postgres://pulse:${password}@${host}:${port}/pulse?${query}`
    if (outcome instanceof RegExp) {
      await assert.rejects(trial.open({ url }), (error) => {
        assert.ok(error instanceof ConfigError, String(error))
        assert.match(error.message, outcome)
        return true
      })
      return
    }
    await using database = await trial.open({ url })
    const rows = await ask(database, 'select ssl from pg_stat_ssl where pid = pg_backend_pid()')
    assert.deepEqual(rows, [{ ssl: outcome === 'encrypted' }])
  })

test('a database that does not speak TLS is said, with the way out', { skip }, async () => {
  await using plain = await openTrial()
  const owner = await plain.open()
  const url = `${owner.url()}&sslmode=require`
  await assert.rejects(
    plain.open({ url }),
    /does not speak TLS; if the way to it is safe, add sslmode=disable/,
  )
})

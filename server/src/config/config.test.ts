import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ConfigError, type ConfigSources, parseFlags, readConfig } from './config.ts'
import { settingList } from './settings.ts'

interface Folder extends AsyncDisposable {
  readonly path: string
  write(name: string, text: string): Promise<string>
}

async function openFolder(): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), 'pulse-config-'))
  return {
    path,
    async write(name, text) {
      await writeFile(join(path, name), text)
      return join(path, name)
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true }),
  }
}

async function refused(from: ConfigSources): Promise<ConfigError> {
  const outcome = await readConfig(from).then(
    () => assert.fail('it should have been refused'),
    (error: unknown) => error,
  )
  assert.ok(outcome instanceof ConfigError, String(outcome))
  return outcome
}

test('with no configuration at all every setting has its default', async () => {
  await using folder = await openFolder()
  const config = await readConfig({ env: {}, cwd: folder.path })
  assert.equal(config.http.port, 8_000)
  assert.equal(config.http.host, '127.0.0.1')
  assert.equal(config.database.data, join(folder.path, 'pulse-data'))
  assert.equal(config.database.dataIsDefault, true)
  assert.equal(config.database.url, undefined)
  assert.deepEqual(config.roles, ['all'])
  assert.deepEqual(config.accounts.rateLimitAddress, { count: 600, windowMs: 60_000 })
  assert.equal(config.accounts.rateLimitKey, null)
  assert.deepEqual(config.unknown, [])
})

test('every default is what its own kind reads', () => {
  for (const [key, { kind, default: value }] of settingList)
    if (value !== undefined) assert.deepEqual(kind.read(kind.write(value)), value, key)
})

test('one error names every bad setting with what was expected, received, and from where', async () => {
  await using folder = await openFolder()
  const bad: Record<string, string> = {
    PORT: '80000',
    HOST: 'a b',
    OPEN: 'perhaps',
    ROLES: 'intake,cook',
    RATE_LIMIT_ADDRESS: 'often',
    DISK_USED_RATIO_MAX: '1.5',
    ID_WINDOW_HOURS: '1.5',
    PUBLIC_URL: 'ftp://example.com',
    CORS_ORIGINS: 'https://example.com/path',
    TRUSTED_PROXIES: 'the balancer',
    LOG_DRIVER: 'files',
    KAFKA_BROKERS: 'nowhere',
    LOG_LEVEL: 'loud',
    RETRY_ATTEMPTS: '0',
  }
  const error = await refused({ env: bad, cwd: folder.path })
  assert.deepEqual(new Set(error.problems.map((problem) => problem.setting)), new Set(Object.keys(bad)))
  for (const [name, value] of Object.entries(bad)) {
    const problem = error.problems.find(({ setting }) => setting === name)
    assert.match(problem?.message ?? '', /^expected .+, received .+ from environment/)
    assert.ok(problem?.message.includes(value), problem?.message)
    assert.ok(error.message.includes(`${name}: `))
  }
  assert.equal(error.exitCode, 3)
})

test('every setting that has a kind of its own refuses nonsense from each source', async () => {
  await using folder = await openFolder()
  const texts = new Set(['DATA', 'CONFIG', 'TLS_CERT_FILE', 'TLS_KEY_FILE', 'NAMES_RULES', 'USERS_DATA_PATH'])
  const nonsense = '\u0000 nonsense \u0000'
  const checked = settingList.filter(([, setting]) => !texts.has(setting.name))
  const env = Object.fromEntries(checked.map(([, setting]) => [setting.name, nonsense]))
  const error = await refused({ env, cwd: folder.path })
  assert.deepEqual(
    error.problems.map((problem) => problem.setting).sort(),
    checked.map(([, setting]) => setting.name).sort(),
  )
})

test('a bad secret is named, and its value is nowhere in the error', async () => {
  await using folder = await openFolder()
  const file = await folder.write('url', 'mysql://root:hunter2@db/x\n')
  const env = { JWT_SECRET: 'short-secret', DATABASE_URL_FILE: file }
  const error = await refused({ env, cwd: folder.path })
  assert.deepEqual(error.problems.map((problem) => problem.setting).sort(), ['DATABASE_URL', 'JWT_SECRET'])
  assert.match(error.message, /received \*\*\* \(12 characters\)/)
  for (const secret of ['short-secret', 'hunter2', 'mysql:'])
    assert.equal(JSON.stringify([error.problems, error.message]).includes(secret), false, secret)
})

test('BF-26 flags go over the environment, that over .env, that over the config file, that over the default', async () => {
  await using folder = await openFolder()
  await folder.write(
    'pulse.config.ts',
    'export default { port: 4, host: "127.0.0.4", data: "from-file", retryAttempts: 4 }',
  )
  await folder.write('.env', 'PORT=3\nHOST=127.0.0.3\nDATA=from-dot-env\n')
  const env = { PORT: '2', HOST: '127.0.0.2' }
  const config = await readConfig({ env, flags: parseFlags(['--port', '1']), cwd: folder.path })
  assert.equal(config.http.port, 1)
  assert.equal(config.http.host, '127.0.0.2')
  assert.equal(config.data, join(folder.path, 'from-dot-env'))
  assert.equal(config.database.dataIsDefault, false)
  assert.equal(config.processing.retryAttempts, 4)
  assert.equal(config.processing.retryBaseMs, 1_000)
  assert.deepEqual(config.explain('PORT'), {
    name: 'PORT',
    key: 'port',
    value: '1',
    source: 'flag --port',
    shadowed: [
      { value: '2', source: 'environment PORT' },
      { value: '3', source: '.env PORT' },
      { value: '4', source: `${join(folder.path, 'pulse.config.ts')} port` },
      { value: '8000', source: 'default' },
    ],
  })
  assert.equal(config.explain('retryBaseMs')?.source, 'default')
  assert.equal(config.explain('no such thing'), undefined)
})

test('explain masks secrets, shadowed ones too', async () => {
  await using folder = await openFolder()
  await folder.write('.env', `JWT_SECRET=${'b'.repeat(40)}\n`)
  const file = await folder.write('secret', `${'a'.repeat(32)}\n`)
  const config = await readConfig({ env: { JWT_SECRET_FILE: file }, cwd: folder.path })
  assert.equal(config.accounts.jwtSecret, 'a'.repeat(32))
  const explained = config.explain('JWT_SECRET')
  assert.equal(explained?.value, '*** (32 characters)')
  assert.match(explained?.source ?? '', /JWT_SECRET_FILE/)
  assert.equal(/aaaa|bbbb/.test(JSON.stringify(explained)), false)
})

test('a secret given twice, or by a file that cannot be read, is refused', async () => {
  await using folder = await openFolder()
  const twice = await refused({
    env: { JWT_SECRET: 'x'.repeat(32), JWT_SECRET_FILE: 'secret' },
    cwd: folder.path,
  })
  assert.match(twice.message, /both JWT_SECRET and JWT_SECRET_FILE/)
  const missing = await refused({ env: { JWT_SECRET_FILE: 'not-there' }, cwd: folder.path })
  assert.match(missing.message, /JWT_SECRET_FILE: the file .*not-there cannot be read \(ENOENT\)/)
})

test('empty text in the environment counts as not set, and as none where empty means something', async () => {
  await using folder = await openFolder()
  const config = await readConfig({
    env: { PORT: '', DATABASE_URL: '', RATE_LIMIT_ADDRESS: '' },
    cwd: folder.path,
  })
  assert.equal(config.http.port, 8_000)
  assert.equal(config.database.url, undefined)
  assert.equal(config.accounts.rateLimitAddress, null)
})

test('a config file brings event types, topics, handlers and migrations, relative to itself', async () => {
  await using folder = await openFolder()
  const define = new URL('define-config.ts', import.meta.url).href
  const file = await folder.write(
    'team.ts',
    `import { defineConfig, PermanentError } from '${define}'
     export default defineConfig({
       eventTypes: { 'order.placed': { topic: 'orders', key: '/properties/order_id', indexed: ['order_id'] } },
       topics: { orders: { partitions: 8 } },
       handlers: { 'order.*': async (event) => { throw new PermanentError(event.event_id) } },
       migrations: ['sql'],
     })`,
  )
  const config = await readConfig({ env: {}, flags: { config: file }, cwd: tmpdir() })
  assert.deepEqual(config.intake.eventTypes, {
    'order.placed': { topic: 'orders', key: '/properties/order_id', indexed: ['order_id'] },
  })
  assert.deepEqual(config.log.topics, { orders: { partitions: 8 } })
  assert.equal(typeof config.processing.handlers['order.*'], 'function')
  assert.deepEqual(config.database.migrations, [join(folder.path, 'sql')])
})

test('everything wrong in the parts of a config file is named by its path', async () => {
  await using folder = await openFolder()
  const content = {
    eventTypes: {
      a: { key: 'user_id' },
      b: 7,
      c: { indexed: [1], colour: 'red' },
      d: { partitions: 0 },
      'pulse.x': {},
    },
    topics: { e: {}, 'f g': { partitions: 1 } },
    handlers: { '*.x': 1 },
    migrations: 'sql',
    retryAttempts: -1,
  }
  const file = await folder.write('bad.json', JSON.stringify(content))
  const error = await refused({ env: { CONFIG: file }, cwd: folder.path })
  assert.deepEqual(
    new Set(error.problems.map((problem) => problem.setting)),
    new Set([
      'eventTypes.a.key',
      'eventTypes.b',
      'eventTypes.c.indexed',
      'eventTypes.c.colour',
      'eventTypes.d.partitions',
      'eventTypes.pulse.x',
      'topics.e.partitions',
      'topics.f g',
      'handlers.*.x',
      'migrations',
      'RETRY_ATTEMPTS',
    ]),
  )
})

test('a config file that is missing, broken or exports nothing is named', async () => {
  await using folder = await openFolder()
  const missing = await refused({ env: { CONFIG: 'nowhere.ts' }, cwd: folder.path })
  assert.match(missing.message, /CONFIG: there is no file .*nowhere\.ts/)
  await folder.write('broken.ts', 'export default {')
  const broken = await refused({ env: { CONFIG: 'broken.ts' }, cwd: folder.path })
  assert.match(broken.message, /CONFIG: .*broken\.ts could not be loaded: SyntaxError/)
  await folder.write('empty.ts', 'export const port = 1')
  const empty = await refused({ env: { CONFIG: 'empty.ts' }, cwd: folder.path })
  assert.match(empty.message, /CONFIG: .*empty\.ts has no default export/)
})

test('keys that no setting has are listed with the nearest name', async () => {
  await using folder = await openFolder()
  await folder.write('pulse.config.ts', 'export default { retryAttemps: 5, colour: "red" }')
  await folder.write('.env', 'PROT=1\n')
  const config = await readConfig({ env: { PATH: '/bin' }, cwd: folder.path })
  assert.deepEqual(
    config.unknown.map((one) => one.setting),
    ['retryAttemps', 'colour', 'PROT'],
  )
  assert.match(config.unknown[0]?.message ?? '', /did you mean retryAttempts\?/)
  assert.match(config.unknown[2]?.message ?? '', /\.env.*did you mean PORT\?/)
})

test('a flag that does not exist or lacks its value is refused', () => {
  assert.throws(() => parseFlags(['--prot', '1']), ConfigError)
  assert.throws(() => parseFlags(['--port']), ConfigError)
  assert.deepEqual(
    { ...parseFlags(['--open', '--port=1', '--insecure-http']) },
    { open: true, port: '1', 'insecure-http': true },
  )
})

const combinations: readonly [title: string, env: Record<string, string>, wrong: readonly string[]][] = [
  ['OPEN beyond loopback', { OPEN: 'true', HOST: '0.0.0.0', INSECURE_HTTP: 'true' }, ['OPEN']],
  ['DEMO beyond loopback', { DEMO: 'true', HOST: '::', INSECURE_HTTP: 'true' }, ['DEMO']],
  ['OPEN to every origin', { OPEN: 'true', CORS_ORIGINS: '*' }, ['CORS_ORIGINS']],
  ['OPEN to one origin', { OPEN: 'true', CORS_ORIGINS: 'http://localhost:5173' }, []],
  ['OPEN on loopback', { OPEN: 'true', HOST: '::1' }, []],
  ['plain HTTP beyond loopback', { HOST: '0.0.0.0' }, ['HOST']],
  ['plain HTTP beyond loopback, allowed', { HOST: '0.0.0.0', INSECURE_HTTP: '1' }, []],
  ['TLS beyond loopback', { HOST: '0.0.0.0', TLS_CERT_FILE: 'c.pem', TLS_KEY_FILE: 'k.pem' }, []],
  ['half of TLS', { TLS_CERT_FILE: 'c.pem' }, ['TLS_KEY_FILE']],
  [
    'a proxy that speaks TLS',
    { HOST: '0.0.0.0', PUBLIC_URL: 'https://p.example', TRUSTED_PROXIES: '10.0.0.0/8' },
    [],
  ],
  ['an https PUBLIC_URL without a proxy', { HOST: '0.0.0.0', PUBLIC_URL: 'https://p.example' }, ['HOST']],
  [
    'a proxy that does not speak TLS',
    { HOST: '0.0.0.0', PUBLIC_URL: 'http://p.example', TRUSTED_PROXIES: '10.0.0.0/8' },
    ['HOST'],
  ],
  ['kafka without brokers', { LOG_DRIVER: 'kafka' }, ['KAFKA_BROKERS']],
  [
    'kafka, where rows go before their ids',
    { LOG_DRIVER: 'kafka', KAFKA_BROKERS: 'a:1', ROW_RETENTION_DAYS: '2' },
    ['ROW_RETENTION_DAYS'],
  ],
  ['waits in the wrong order', { RETRY_BASE_MS: '100', RETRY_MAX_MS: '99' }, ['RETRY_MAX_MS']],
  ['an event longer than a body', { EVENT_BYTES_MAX: '2048', BODY_BYTES_MAX: '2047' }, ['EVENT_BYTES_MAX']],
  ['every origin and one', { CORS_ORIGINS: '*,https://a.example' }, ['CORS_ORIGINS']],
]
for (const [title, env, wrong] of combinations)
  test(`${title} is ${wrong.length === 0 ? 'accepted' : `refused at ${wrong.join(' and ')}`}`, async () => {
    await using folder = await openFolder()
    const from = { env, cwd: folder.path }
    if (wrong.length === 0) assert.ok(await readConfig(from))
    else
      assert.deepEqual(
        (await refused(from)).problems.map((problem) => problem.setting),
        wrong,
      )
  })

test('what is handed out is frozen all the way down', async () => {
  await using folder = await openFolder()
  const config = await readConfig({ env: { CORS_ORIGINS: 'https://a.example' }, cwd: folder.path })
  assert.throws(() => Object.assign(config, { open: true }), TypeError)
  assert.throws(() => Object.assign(config.http, { port: 1 }), TypeError)
  assert.throws(() => (config.http.corsOrigins as string[]).push('https://evil.example'), TypeError)
})

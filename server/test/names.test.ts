import assert from 'node:assert/strict'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { signalTree } from '@pulse/dev/faults/process-tree'
import { openServices, type Services } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { freshDatabase } from '@pulse/dev/services/postgres'
import { databasePidOf, databaseUrlOf, type PulseProcess, startPulse } from '@pulse/dev/services/pulse'
import pg from 'pg'

let services: Services
before(async () => {
  services = await openServices(['postgres'])
})
after(() => services[Symbol.asyncDispose]())

interface Answer {
  readonly status: number
  readonly headers: Headers
  // The answers differ by route; each test asserts what its own must have.
  readonly body: Readonly<Record<string, unknown>>
}

type Server = Pick<PulseProcess, 'url' | 'key'>

async function call(
  server: Server,
  method: string,
  path: string,
  body?: unknown,
  key = server.key,
): Promise<Answer> {
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: {
      ...(key === '' ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? {} : JSON.parse(text) }
}

/** As anybody asks: without a credential. */
const check = (server: Server, username: string) =>
  call(server, 'GET', `/api/check-username?username=${encodeURIComponent(username)}`, undefined, '')
const claim = (server: Server, username: string) => call(server, 'POST', '/api/names', { username })
const statsOf = async (server: Server) => (await call(server, 'GET', '/api/names/stats')).body
const untilCertain = (server: Server) =>
  eventually(
    'names answered from memory',
    async () => ((await statsOf(server)).certain === true ? true : undefined),
    20_000,
  )

async function folder(seed?: unknown): Promise<{ data: string } & AsyncDisposable> {
  const data = await mkdtemp(join(tmpdir(), 'pulse-names-'))
  await chmod(data, 0o755)
  if (seed !== undefined) await writeFile(join(data, 'users.json'), JSON.stringify(seed))
  return { data, [Symbol.asyncDispose]: () => rm(data, { recursive: true, force: true }) }
}

const seeded = [
  { username: 'Dorthy71', email: 'garrison@example.com' },
  { email: 'x@example.com' },
  { username: 'MayurDev' },
]

// Each has servers and a database of its own, and both wait: one for look-ups that time out, one for leases.
describe('names over HTTP', { concurrency: 2 }, () => {
  describe('a server with a file of names', { concurrency: 1 }, () => {
    let server: PulseProcess
    const opened = new AsyncDisposableStack()
    before(async () => {
      const place = opened.use(await folder(seeded))
      server = await startPulse(place.data, { USERS_DATA_PATH: join(place.data, 'users.json') })
      opened.defer(async () => void (await server.stop()))
      await untilCertain(server)
      await eventually(
        'the names of the file',
        async () => ((await check(server, 'MayurDev')).body.available === false ? true : undefined),
        20_000,
      )
    })
    after(() => opened[Symbol.asyncDispose]())

    test('BF-01 a free name answers 200 with available and the name, and nothing else', async () => {
      const { status, body, headers } = await check(server, '  free.name ')
      assert.equal(status, 200)
      assert.deepEqual(body, { available: true, username: 'free.name' })
      assert.equal(headers.get('cache-control'), 'no-store')
    })

    test('BF-02 BF-14 a name of the file answers 200 with its source', async () => {
      for (const name of ['Dorthy71', 'MayurDev', 'dorthy71']) {
        const { status, body } = await check(server, name)
        assert.equal(status, 200)
        assert.deepEqual(body, { available: false, username: name, source: 'PostgreSQL' })
      }
    })

    test('BF-13 BF-15 BF-25 every name of the file is a row, and a restart makes no second one', async () => {
      const client = new pg.Client(await databaseUrlOf(server.data))
      await client.connect()
      try {
        const { rows } = await client.query('select name from pulse.names order by key')
        assert.deepEqual(
          rows.map(({ name }) => name),
          ['Dorthy71', 'MayurDev'],
        )
      } finally {
        await client.end()
      }
      await server.stop()
      server = await startPulse(server.data, { USERS_DATA_PATH: join(server.data, 'users.json') })
      await untilCertain(server)
      const { body } = await call(server, 'POST', '/api/names/import', {
        usernames: ['Dorthy71', 'MayurDev'],
      })
      assert.deepEqual([body.added, body.present], [0, 2])
      assert.equal((await check(server, 'Dorthy71')).body.available, false)
    })

    test('BF-16 the file of names is ignored by git', async () => {
      const lines = (await readFile(new URL('../../.gitignore', import.meta.url), 'utf8')).split('\n')
      assert.ok(lines.includes('data/users.json'))
    })

    test('BF-11 the check answers to GET with the parameter username', async () => {
      assert.equal((await call(server, 'POST', '/api/check-username?username=x')).status, 405)
      const { status, body } = await call(server, 'GET', '/api/check-username', undefined, '')
      assert.equal(status, 400)
      assert.deepEqual([body.available, body.message], [false, 'Username is required'])
      assert.equal((await check(server, '   ')).status, 400)
    })

    test('a name that is not one answers 422 with the reason', async () => {
      const { status, body } = await check(server, 'two words')
      assert.equal(status, 422)
      assert.equal(body.code, 'invalid_name')
      assert.equal(body.available, false)
      assert.match(String(body.detail), /space/i)
    })

    test('a claimed name is taken in every spelling, and the second claim gets suggestions that are free', async () => {
      const first = await claim(server, 'Ada.Lovelace')
      assert.equal(first.status, 201)
      assert.equal(first.body.username, 'Ada.Lovelace')
      assert.equal((await check(server, 'ada.lovelace')).body.available, false)
      const second = await claim(server, 'ADA.LOVELACE')
      assert.equal(second.status, 409)
      assert.equal(second.body.code, 'name_taken')
      const suggestions = second.body.suggestions as string[]
      assert.equal(suggestions.length, 5)
      for (const name of suggestions) assert.equal((await check(server, name)).body.available, true, name)
    })

    test('a claim needs the scope names', async () => {
      assert.equal((await call(server, 'POST', '/api/names', { username: 'x' }, '')).status, 401)
      const { body } = await call(server, 'POST', '/admin/keys', { name: 'reader', scopes: ['events:read'] })
      assert.equal(
        (await call(server, 'POST', '/api/names', { username: 'x' }, String(body.key))).status,
        403,
      )
    })

    test('a socket answers each name that is typed, and says what is wrong with one', async () => {
      await using socket = await openSocket(server)
      socket.send({ id: 1, username: 'typed.name' })
      socket.send({ id: 2, username: 'Dorthy71' })
      socket.send({ id: 3, username: 'two words' })
      const answers = new Map((await socket.answers(3)).map((answer) => [answer.id, answer]))
      assert.deepEqual(answers.get(1), { id: 1, available: true, username: 'typed.name' })
      assert.deepEqual(answers.get(2), {
        id: 2,
        available: false,
        username: 'Dorthy71',
        source: 'PostgreSQL',
      })
      assert.equal(answers.get(3)?.code, 'invalid_name')
      assert.equal(answers.get(3)?.available, false)
      socket.sendText('{"username": 5}')
      assert.equal(await socket.closed, 4400)
    })

    test('whoever asks for the list is refused for a while, by GET and by socket, and it is counted', async () => {
      const place = opened.use(await folder())
      const limited = await startPulse(place.data, { NAMES_RATE_ADDRESS: '5/1h' })
      try {
        for (let n = 0; n < 5; n++) assert.equal((await check(limited, `list-${n}`)).status, 200)
        const refused = await check(limited, 'list-6')
        assert.equal(refused.status, 429)
        assert.ok(Number(refused.headers.get('retry-after')) > 0)
        await using socket = await openSocket(limited)
        socket.send({ id: 1, username: 'list-7' })
        assert.equal((await socket.answers(1))[0]?.code, 'rate_limited')
        const metrics = await fetch(`${limited.url}/metrics`, {
          headers: { authorization: `Bearer ${limited.key}` },
        })
        const text = await metrics.text()
        assert.match(text, /^pulse_names_sweeps_total 1$/m)
        assert.match(text, /^pulse_names_checks_total\{outcome="limited"\} 2$/m)
      } finally {
        await limited.stop()
      }
    })

    test('BF-12 while the database stands still, free names are answered, and all others never as free', async () => {
      const pid = (await databasePidOf(server.data)) ?? assert.fail('no database')
      await untilCertain(server)
      await signalTree(pid, 'SIGSTOP')
      try {
        assert.deepEqual((await check(server, 'nobody.has.it')).body, {
          available: true,
          username: 'nobody.has.it',
        })
        const away = await eventually(
          'an answer of 503',
          async () => {
            const answer = await check(server, 'nobody.has.that')
            return answer.status === 503 ? answer : undefined
          },
          20_000,
        )
        assert.ok(Number(away.headers.get('retry-after')) > 0)
        const taken = await check(server, 'Dorthy71')
        assert.equal(taken.status, 503)
        assert.notEqual(taken.body.available, true)
      } finally {
        await signalTree(pid, 'SIGCONT')
      }
      await untilCertain(server)
      assert.equal((await check(server, 'Dorthy71')).body.available, false)
    })
  })

  describe('two servers of one database', { concurrency: 1 }, () => {
    let first: PulseProcess
    let second: PulseProcess
    const opened = new AsyncDisposableStack()
    let settings: Record<string, string>
    before(async () => {
      const database = opened.use(await freshDatabase(services.address('postgres')))
      settings = {
        DATABASE_URL: database.url,
        NAMES_PROFILE: 'exact',
        ...{ NAMES_RATE_ADDRESS: '', RATE_LIMIT_ADDRESS: '' },
      }
      const start = async () => {
        const server = await startPulse(opened.use(await folder()).data, settings)
        opened.defer(async () => void (await server.stop()))
        await untilCertain(server)
        return server
      }
      first = await start()
      second = await start()
    })
    after(() => opened[Symbol.asyncDispose]())

    test('a name is taken on the other server right after the answer to its claim', async () => {
      for (let n = 0; n < 100; n++) {
        const [here, there] = n % 2 === 0 ? [first, second] : [second, first]
        assert.equal((await claim(here, `right-after-${n}`)).status, 201)
        assert.equal((await check(there, `right-after-${n}`)).body.available, false, `claim ${n}`)
      }
    })

    test('a server that stands still holds up a claim until it may answer from memory no more', async () => {
      await eventually(
        'both known',
        async () => ((await statsOf(first)).servers === 2 ? true : undefined),
        10_000,
      )
      const stopped = second.process.pid ?? assert.fail('no process')
      process.kill(stopped, 'SIGSTOP')
      try {
        assert.equal((await claim(first, 'while-it-slept')).status, 201)
      } finally {
        process.kill(stopped, 'SIGCONT')
      }
      assert.equal((await check(second, 'while-it-slept')).body.available, false)
    })

    test('claims through kill -9 of a server are all or nothing, and none that was acknowledged is called free', async () => {
      const acknowledged: string[] = []
      const place = opened.use(await folder())
      for (let round = 0; round < 3; round++) {
        const server = await startPulse(place.data, settings)
        await untilCertain(server)
        const claims = Array.from({ length: 40 }, (_, n) => `kill-${round}-${n}`)
        let answered = 0
        const all = claims.map(async (name) => {
          const answer = await claim(server, name).catch(() => undefined)
          answered++
          if (answer?.status === 201) acknowledged.push(name)
        })
        // In the middle of them, wherever that is today.
        await eventually('some answers', async () => (answered > 5 ? true : undefined), 10_000)
        await server.kill()
        await Promise.all(all)
        for (const name of acknowledged)
          for (const other of [first, second])
            assert.equal((await check(other, name)).body.available, false, name)
      }
      assert.ok(acknowledged.length > 0)
      const again = await startPulse(place.data, settings)
      try {
        for (const name of acknowledged) assert.equal((await check(again, name)).body.available, false, name)
      } finally {
        await again.stop()
      }
    })
  })
})

interface NameSocket extends AsyncDisposable {
  send(question: object): void
  sendText(text: string): void
  /** The first so many answers, in the order in which they came. */
  answers(count: number): Promise<readonly Readonly<Record<string, unknown>>[]>
  /** The code with which the server has closed it. */
  readonly closed: Promise<number>
}

async function openSocket(server: Server): Promise<NameSocket> {
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/api/names/live`)
  const received: Readonly<Record<string, unknown>>[] = []
  socket.addEventListener('message', ({ data }) => received.push(JSON.parse(String(data))))
  const closed = new Promise<number>((resolve) =>
    socket.addEventListener('close', ({ code }) => resolve(code)),
  )
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve)
    socket.addEventListener('error', reject)
  })
  return {
    send: (question) => socket.send(JSON.stringify(question)),
    sendText: (text) => socket.send(text),
    answers: (count) =>
      eventually(`${count} answers`, async () => (received.length >= count ? received : undefined), 10_000),
    closed,
    [Symbol.asyncDispose]: async () => {
      socket.close()
      await closed
    },
  }
}

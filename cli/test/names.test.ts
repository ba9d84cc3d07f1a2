import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { createClient, PulseError } from '@pulse/client'
import { eventually, startTestServer, type TestServer } from './server.ts'
import { openTemporaryFolder } from './temporary-folder.ts'

let server: TestServer
before(async () => {
  server = await startTestServer({ env: { RATE_LIMIT_ADDRESS: '100000/1s' } })
  await eventually(async () => (await server.client.names.stats()).certain || undefined)
})
after(() => server?.[Symbol.asyncDispose]())

const fresh = (name: string) => `${name}.${randomUUID().slice(0, 8)}`
const documentOf = (text: string): Record<string, unknown> => JSON.parse(text)
const linesOf = (text: string) => text.trim().split('\n')

test('a name is free, is claimed, and is taken for everybody else, who are told of free ones', async () => {
  const name = fresh('ada')
  const before = await server.pulse(['names', 'check', name])
  assert.deepEqual([before.exitCode, before.stderr], [0, ''])
  assert.match(before.stdout, new RegExp(`^ANSWER +SAID BY +NAME\nfree +memory +${name}\n$`))
  const claimed = await server.pulse(['names', 'claim', name, '--owner', 'user_42'])
  assert.deepEqual([claimed.exitCode, claimed.stderr], [0, ''])
  assert.match(claimed.stdout, new RegExp(`^${name} is yours since 20\\S+Z\\.\n$`))
  const again = await server.pulse(['names', 'claim', name])
  assert.deepEqual([again.exitCode, again.stdout], [6, ''])
  assert.match(
    again.stderr,
    new RegExp(`^Free: \\S+.*\npulse: The name "${name}" is taken\\. \\[request \\S+\\]\n$`),
  )
  const { stdout } = await server.pulse(['names', 'check', name.toUpperCase(), '--json'])
  const { schema, data } = documentOf(stdout)
  assert.equal(schema, 'pulse.names.check.v1')
  assert.deepEqual(data, [{ available: false, username: name.toUpperCase(), source: 'PostgreSQL' }])
})

test('with --json the problem of a name that is taken lists free ones', async () => {
  const name = fresh('bob')
  await server.client.names.claim({ username: name })
  const { exitCode, stderr } = await server.pulse(['names', 'claim', name, '--json'])
  assert.equal(exitCode, 6)
  const { code, suggestions } = documentOf(stderr)
  assert.equal(code, 'name_taken')
  assert.ok(Array.isArray(suggestions) && suggestions.length > 0)
  for (const free of suggestions) assert.equal((await server.client.names.check(free)).available, true, free)
})

test('of many names each is answered, and one that is not valid says why', async () => {
  const [taken, free] = [fresh('carol'), fresh('dan')]
  await server.client.names.claim({ username: taken })
  const ran = await server.pulse(['names', 'check', taken, free, 'two words'])
  assert.equal(ran.exitCode, 8)
  const [, ...rows] = linesOf(ran.stdout)
  assert.deepEqual(
    rows.slice(0, 2).map((row) => row.split(/ +/)),
    [
      ['taken', 'database', taken],
      ['free', 'memory', free],
    ],
  )
  assert.match(rows[2] ?? '', /^invalid +rules +two words: .+/)
  assert.equal(ran.stderr, 'pulse: 1 name not valid.\n')
  const alone = await server.pulse(['names', 'check', 'two words'])
  assert.deepEqual([alone.exitCode, alone.stdout], [2, ''])
})

test('one name is checked without a key; a claim needs one', async () => {
  const stranger = { env: { DATA: '/nowhere', PULSE_URL: server.url } }
  assert.equal((await server.pulse(['names', 'check', fresh('eve')], stranger)).exitCode, 0)
  assert.equal((await server.pulse(['names', 'claim', fresh('eve')], stranger)).exitCode, 4)
})

test('a claim that is made again with its key is answered as the first time, and without one is a conflict', async () => {
  const username = fresh('frank')
  const idempotencyKey = randomUUID()
  const first = await server.client.names.claim({ username }, { idempotencyKey })
  assert.deepEqual(await server.client.names.claim({ username }, { idempotencyKey }), first)
  const words = ['names', 'claim', username, '--idempotency-key', idempotencyKey, '--json']
  const { stdout } = await server.pulse(words)
  assert.deepEqual(documentOf(stdout).data, first)
  await assert.rejects(
    server.client.names.claim({ username }),
    (error) => error instanceof PulseError && error.code === 'name_taken' && error.suggestions.length > 0,
  )
})

test('the client repeats a claim whose answer was lost, and it is the same claim', async () => {
  const username = fresh('grace')
  let lost = 0
  const losing: typeof fetch = async (input, init) => {
    const response = await fetch(input, init)
    // The server has answered; nobody hears it.
    if (lost++ > 0) return response
    await response.text()
    throw new TypeError('the connection was lost')
  }
  const client = createClient({ url: server.url, credential: server.key, fetch: losing })
  const claimed = await client.names.claim({ username })
  assert.equal(claimed.username, username)
  assert.equal(lost, 2)
})

test('a name that was let go is free again; one that nobody has cannot be let go', async () => {
  const username = fresh('heidi')
  await server.client.names.claim({ username })
  const unasked = await server.pulse(['names', 'release', username])
  assert.deepEqual([unasked.exitCode, unasked.stdout], [2, ''])
  assert.equal((await server.client.names.check(username)).available, false)
  const ran = await server.pulse(['names', 'release', username, '--yes'])
  assert.deepEqual([ran.exitCode, ran.stdout, ran.stderr], [0, `${username} is free.\n`, ''])
  assert.equal((await server.client.names.check(username)).available, true)
  const again = await server.pulse(['names', 'release', username, '--yes', '--json'])
  assert.deepEqual([again.exitCode, documentOf(again.stderr).code], [5, 'not_found'])
})

test('every name that can be claimed can be let go, also one that no address can have in its path', async () => {
  for (const username of ['.', '..', 'a%2fb', 'a/../b', 'a?b#c', 'a&b=c+d', '%']) {
    await server.client.names.claim({ username })
    await server.client.names.release(username)
    assert.equal((await server.client.names.check(username)).available, true, username)
    await assert.rejects(
      server.client.names.release(username),
      (error) => error instanceof PulseError && error.code === 'not_found',
    )
  }
})

test('suggestions are free names near one, as many as were asked for', async () => {
  const found = await server.client.names.suggestions('ada', { count: 3 })
  assert.equal(found.length, 3)
  for (const { available } of await server.client.names.checkMany(found)) assert.equal(available, true)
})

test('the statistics of the filter are told, and a rebuild makes the next generation', async () => {
  const { generation } = await server.client.names.stats()
  const rebuilt = await server.pulse(['names', 'rebuild'])
  assert.equal(rebuilt.exitCode, 0)
  await eventually(async () => {
    const { stdout } = await server.pulse(['names', 'stats', '--json'])
    const { data } = documentOf(stdout) as { data: { generation: number; rebuilding: boolean } }
    return data.generation > generation && !data.rebuilding ? true : undefined
  })
  const { stdout, exitCode } = await server.pulse(['names', 'stats'])
  assert.equal(exitCode, 0)
  assert.match(stdout, /^ {2}profile {13}username\n {2}free names {10}from memory\n {2}names {15}about /)
  assert.match(stdout, /\n {2}false positives {5}0\.\d+ % expected, 0\.\d+ % measured\n/)
})

describe('an import', () => {
  const freshNames = (amount: number) => {
    const mark = randomUUID().slice(0, 8)
    return Array.from({ length: amount }, (_, n) => `name${n}.${mark}`)
  }
  const allTaken = async (names: readonly string[]) => {
    const found = []
    for (let from = 0; from < names.length; from += 1_000)
      found.push(...(await server.client.names.checkMany(names.slice(from, from + 1_000))))
    return found.every(({ available }) => !available)
  }

  test('takes every name of a file in requests of any size, and adds nothing the second time', async () => {
    await using folder = await openTemporaryFolder()
    const names = freshNames(2_500)
    const file = await folder.write('names.txt', `\ufeff${names.join('\r\n')}\n\n`)
    const first = await server.pulse(['names', 'import', file, '--batch', '400'])
    assert.deepEqual([first.exitCode, first.stderr], [0, ''])
    assert.match(first.stdout, /^2,500 added, 0 were there already, 0 refused in \d+ s\.\n$/)
    assert.equal(await allTaken(names), true)
    const again = await server.pulse(['names', 'import', file, '--json'])
    const { schema, data } = documentOf(again.stdout)
    assert.equal(schema, 'pulse.names.import.v1')
    const { seconds: _, ...counts } = data as Record<string, unknown>
    assert.deepEqual(counts, { added: 0, present: 2_500, refused: 0, bad: [] })
  })

  test('reads an array of names, lines of JSON, CSV and standard input', async () => {
    await using folder = await openTemporaryFolder()
    const [a = '', b = '', c = '', d = ''] = freshNames(4)
    const array = await folder.write('names.json', `[\n  ${JSON.stringify(a)},\n  {"username": "${b}"}\n]\n`)
    const csv = await folder.write('people.csv', `id,"the ""login""",note\n1,${c},"two\nlines"\n`)
    assert.match((await server.pulse(['names', 'import', array])).stdout, /^2 added, /)
    const fromCsv = await server.pulse(['names', 'import', csv, '--column', 'the "login"'])
    assert.match(fromCsv.stdout, /^1 added, /, fromCsv.stderr)
    const input = `{"login": "${d}"}\n{"login": "${a}"}\n`
    const piped = await server.pulse(['names', 'import', '-', '--column', 'login'], { input })
    assert.match(piped.stdout, /^1 added, 1 were there already, 0 refused/, piped.stderr)
    assert.equal(await allTaken([a, b, c, d]), true)
    const wrong = await server.pulse(['names', 'import', csv])
    assert.equal(wrong.exitCode, 2)
    assert.match(wrong.stderr, /the header has no column 'username'; it has id, the "login", note/)
  })

  test('loses no name that is refused: all of them are in the file, with their lines', async () => {
    await using folder = await openTemporaryFolder()
    const good = freshNames(300)
    // More in one request than the server lists.
    const bad = good.map((name) => `not ${name}`)
    const lines = good.flatMap((name, n) => [name, bad[n] ?? ''])
    const broken = Buffer.concat([Buffer.from(lines.join('\n')), Buffer.from([0x0a, 0xff, 0x0a])])
    const file = await folder.write('names.txt', Buffer.concat([broken, Buffer.from('x'.repeat(2_000))]))
    const refused = join(folder.path, 'refused.ndjson')
    const ran = await server.pulse(['names', 'import', file, '--refused', refused])
    assert.equal(ran.exitCode, 8)
    assert.match(ran.stdout, /^300 added, 0 were there already, 302 refused in /)
    assert.match(ran.stderr, /^line 2: not name0\S+: .+\n/)
    assert.match(ran.stderr, /\n… and 282 more\. Next: --refused FILE keeps them all\n/)
    assert.ok(ran.stderr.endsWith(`pulse: 302 names refused. Next: see ${refused}\n`))
    const kept = linesOf(await readFile(refused, 'utf8')).map(documentOf)
    assert.deepEqual(
      kept.slice(0, 300).map(({ line, text }) => [line, text]),
      bad.map((name, n) => [2 * n + 2, name]),
    )
    assert.deepEqual(
      kept.slice(300).map(({ line, reason }) => [line, reason]),
      [
        [601, 'is not valid UTF-8'],
        [602, 'is longer than 1,024 characters'],
      ],
    )
  })

  test('that is interrupted says that it is not complete, and can be made again', async () => {
    await using folder = await openTemporaryFolder()
    const names = freshNames(3_000)
    const file = await folder.write('names.txt', names.join('\n'))
    const ctrlC = new AbortController()
    const ran = server.pulse(['names', 'import', file, '--batch', '1', '--in-flight', '1'], {
      interrupt: ctrlC.signal,
    })
    await eventually(async () => {
      const { available } = await server.client.names.check(names[20] ?? '')
      return available ? undefined : true
    })
    ctrlC.abort()
    const { exitCode, stdout, stderr } = await ran
    assert.deepEqual([exitCode, stdout], [130, ''])
    assert.equal(stderr, 'Not complete. The same command again adds what is missing.\npulse: Interrupted.\n')
    const again = documentOf((await server.pulse(['names', 'import', file, '--json'])).stdout)
    const { added, present } = again.data as { added: number; present: number }
    assert.ok(added > 0 && present > 20)
    assert.equal(added + present, names.length)
    assert.equal(await allTaken(names), true)
  })
})

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type NameEntry, type NameFileOptions, openNameFile } from './name-file.ts'

let folder: string
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pulse-name-file-'))
})
after(() => rm(folder, { recursive: true, force: true }))

async function read(name: string, content: string | Uint8Array, options: Partial<NameFileOptions> = {}) {
  const path = join(folder, name)
  await writeFile(path, content)
  const file = await openNameFile(path, { column: 'username', delimiter: ',', ...options })
  const entries: NameEntry[] = []
  let bytes = 0
  for await (const page of file.read()) {
    assert.ok(page.bytes >= bytes)
    bytes = page.bytes
    entries.push(...page.entries)
  }
  assert.equal(bytes, file.bytes)
  return { format: file.format, entries }
}

const textsOf = ({ entries }: { entries: readonly NameEntry[] }) => entries.map(({ text }) => text)
const problemsOf = ({ entries }: { entries: readonly NameEntry[] }) =>
  entries.map(({ line, problem }) => [line, problem])

// Characters that formats give a meaning, and such of several bytes, so that pieces of a file end inside of them.
const parts = ['ada', 'a,b', '[x]', '{y}', 'say "hi"', 'ünï', '名前', '😀', "o'brien", 'back\\slash']
const many = Array.from({ length: 60_000 }, (_, n) => `${parts[n % parts.length]}${n}`)

test('a long file gives every name with its line, in whatever format it is', async () => {
  const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`
  const files: [name: string, format: string, content: string, firstLine: number][] = [
    ['names.txt', 'lines', many.join('\n'), 1],
    ['windows.txt', 'lines', `\ufeff${many.join('\r\n')}\r\n`, 1],
    ['array.json', 'json', JSON.stringify(many, undefined, 2), 2],
    [
      'objects.json',
      'json',
      `[\n${many.map((username) => JSON.stringify({ n: [1, '],'], username })).join(',\n')}\n]\n`,
      2,
    ],
    ['lines.ndjson', 'ndjson', many.map((name) => JSON.stringify(name)).join('\n'), 1],
    ['people.csv', 'csv', `id,username\n${many.map((name, n) => `${n},${quoted(name)}`).join('\n')}\n`, 2],
  ]
  for (const [name, format, content, firstLine] of files) {
    const found = await read(name, content)
    assert.equal(found.format, format, name)
    assert.deepEqual(textsOf(found), many, name)
    assert.ok(
      found.entries.every(({ line, record }, n) => line === n + firstLine && record === n + 1),
      name,
    )
    assert.ok(
      found.entries.every(({ problem }) => problem === undefined),
      name,
    )
  }
})

test('an array on one line, and one without an element, are arrays', async () => {
  assert.deepEqual(textsOf(await read('one-line.json', '["a","b, c", "]"]')), ['a', 'b, c', ']'])
  assert.deepEqual(textsOf(await read('none.json', ' [ ]\n')), [])
})

test('a file is lines unless it is surely something else', async () => {
  const found = await read('odd.txt', '[x]\n{y}\n\n  two words \n')
  assert.deepEqual(textsOf(found), ['[x]', '{y}', 'two words'])
  assert.deepEqual(
    found.entries.map(({ line }) => line),
    [1, 2, 4],
  )
})

test('what holds no name is told with its line, and stops nothing behind it', async () => {
  const lines = '"a"\n{"user": "b"}\n{"username": 7}\n{broken\n{"username": "c"}\n'
  const found = await read('bad.ndjson', lines)
  assert.deepEqual(problemsOf(found), [
    [1, undefined],
    [2, "has no 'username' with a name"],
    [3, "has no 'username' with a name"],
    [4, 'is not valid JSON'],
    [5, undefined],
  ])
  const array = await read('bad.json', '["a",\n,\n7,\n"b"')
  assert.deepEqual(problemsOf(array), [
    [1, undefined],
    [2, 'an element is missing'],
    [3, "has no 'username' with a name"],
    [4, 'the file ends inside the array'],
  ])
  const bytes = Buffer.concat([Buffer.from('a\n'), Buffer.from([0x62, 0xff]), Buffer.from('\n\ufffd\n')])
  const broken = await read('bad.txt', bytes)
  assert.deepEqual(problemsOf(broken), [
    [1, undefined],
    [2, 'is not valid UTF-8'],
    [3, undefined],
  ])
})

test('CSV is read by its header, and fields may be absent', async () => {
  const content = 'login\tteam\nada\tblue\n\t\nbob\n"c\n"\tred\n'
  const found = await read('people.tsv', content, { format: 'csv', column: 'team', delimiter: '\t' })
  assert.deepEqual(
    found.entries.map(({ text, problem }) => problem ?? text),
    ['blue', 'has no such column', 'red'],
  )
  const other = { format: 'csv', column: 'nick', delimiter: '\t' } as const
  await assert.rejects(
    read('people.tsv', content, other),
    /the header has no column 'nick'; it has login, team/,
  )
})

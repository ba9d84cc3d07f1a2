import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type FileRecord, openRecords, type RecordSource } from '../src/import/records.ts'
import { openTemporaryFolder } from './temporary-folder.ts'

type Told = [line: number, values: unknown]

function tell({ line, parsed }: FileRecord): Told {
  return [line, 'problem' in parsed ? parsed.problem : Object.fromEntries(parsed.values)]
}

async function collect(records: AsyncIterable<FileRecord>): Promise<FileRecord[]> {
  const collected: FileRecord[] = []
  for await (const record of records) collected.push(record)
  return collected
}

async function all(source: RecordSource): Promise<FileRecord[]> {
  return await collect(source.read())
}

async function read(name: string, content: string | Uint8Array, delimiter?: string): Promise<Told[]> {
  await using folder = await openTemporaryFolder()
  return (await all(await openRecords(await folder.write(name, content), { delimiter }))).map(tell)
}

test('NDJSON: each line is a record, empty lines count only as lines, bad ones are told with theirs', async () => {
  const told = await read('a.ndjson', '{"a":1}\n\nnope\n[1]\r\n{"b":"é"}')
  assert.deepEqual(told[0], [1, { a: 1 }])
  assert.match(String(told[1]?.[1]), /^not valid JSON/)
  assert.deepEqual(told.slice(2), [
    [4, 'not a JSON object'],
    [5, { b: 'é' }],
  ])
})

test('a JSON array: each element is a record, with the line that it begins on', async () => {
  const told = await read('a.json', '[\n  {"a": 1},\n  {"b": [\n    1, 2]},\n\n  7,\n  {"c": {}}\n]\n')
  assert.deepEqual(told, [
    [2, { a: 1 }],
    [3, { b: [1, 2] }],
    [6, 'not a JSON object'],
    [7, { c: {} }],
  ])
})

test('a JSON array that is empty, cut short, or followed by something', async () => {
  assert.deepEqual(await read('a.json', '[]'), [])
  assert.deepEqual(await read('a.json', '[\n]'), [])
  assert.deepEqual(await read('a.json', '[{"a":1},{"b":'), [
    [1, { a: 1 }],
    [1, 'the file ends inside the array'],
  ])
  assert.deepEqual(await read('a.json', '[{"a":1}]\nx'), [
    [1, { a: 1 }],
    [2, 'this stands behind the end of the array'],
  ])
  assert.deepEqual(await read('a.json', '[{"a":1},,{"b":2}]'), [
    [1, { a: 1 }],
    [1, 'an element is missing'],
    [1, { b: 2 }],
  ])
})

test('CSV: quotes, line breaks, empty fields, a byte order mark, spaces that belong to a field', async () => {
  const told = await read('a.csv', '\ufeffname,"say, it",n\r\n"x\ny","a ""b""",\n\nz, c ,2\n')
  assert.deepEqual(told, [
    [2, { name: 'x\ny', 'say, it': 'a "b"' }],
    [5, { name: 'z', 'say, it': ' c ', n: '2' }],
  ])
})

test('CSV: records that do not fit the header are told', async () => {
  const told = await read('a.csv', 'a,b\n1\n1,2,3\n"x"y,2\n1,"open\n2,3\n')
  assert.deepEqual(told, [
    [2, '1 fields, but the header has 2'],
    [3, '3 fields, but the header has 2'],
    [4, 'characters stand behind a closing quote'],
    [5, 'a quote that opens here is never closed'],
  ])
})

test('CSV with tabs keeps empty fields at both ends', async () => {
  assert.deepEqual(await read('a.tsv', 'a\tb\tc\n\t2\t\n', '\t'), [[2, { b: '2' }]])
})

test('CSV headers without usable names are refused', async () => {
  await using folder = await openTemporaryFolder()
  for (const content of ['a,,b\n1,2,3\n', 'a,a\n1,2\n', '', '\n\n'])
    await assert.rejects(openRecords(await folder.write('a.csv', content)), /columns need names|is empty/)
})

test('a line that is not UTF-8 is a bad record, and the next one is not', async () => {
  const told = await read(
    'a.ndjson',
    Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xff]), Buffer.from('"}\n{"b":2}\n')]),
  )
  assert.deepEqual(told, [
    [1, 'not valid UTF-8'],
    [2, { b: 2 }],
  ])
})

test('columns and members may be called like what objects inherit', async () => {
  const [record] = await read('a.csv', '__proto__,constructor\n1,2\n')
  assert.equal(JSON.stringify(record), '[2,{"__proto__":"1","constructor":"2"}]')
})

for (const format of ['ndjson', 'json', 'csv'] as const)
  test(`reading ${format} can go on behind every record of a file larger than a chunk`, async () => {
    await using folder = await openTemporaryFolder()
    const rows = Array.from({ length: 9_000 }, (_, at) => ({ n: at, text: 'ü"\n'.repeat(at % 17) }))
    const lines = {
      ndjson: rows.map((row) => `${JSON.stringify(row)}\n`).join(''),
      json: JSON.stringify(rows, null, 1),
      csv: `n,text\n${rows.map((row) => `${row.n},"${row.text.replaceAll('"', '""')}"\n`).join('')}`,
    }
    const source = await openRecords(await folder.write(`a.${format}`, lines[format]))
    const whole = await all(source)
    assert.equal(whole.length, rows.length)
    assert.ok(source.bytes > 300_000)
    for (const at of [0, 1, 4_321, 8_998]) {
      const rest = await collect(source.read(whole[at]?.next))
      assert.deepEqual(rest, whole.slice(at + 1))
    }
  })

test('a file that is no text in UTF-8 is told as what it is, with the way out, and one that is not there plainly', async () => {
  await using folder = await openTemporaryFolder()
  const beginnings: readonly (readonly [name: string, bytes: readonly number[], said: RegExp])[] = [
    ['little.csv', [0xff, 0xfe, 0x61, 0], /little\.csv is UTF-16/],
    ['big.csv', [0xfe, 0xff, 0, 0x61], /big\.csv is UTF-16/],
    ['a.ndjson.gz', [0x1f, 0x8b, 8, 0], /a\.ndjson\.gz is compressed/],
    ['a.zip', [0x50, 0x4b, 3, 4], /a\.zip is a zip archive/],
  ]
  for (const [name, bytes, said] of beginnings) {
    const file = await folder.write(name, Uint8Array.from(bytes))
    await assert.rejects(openRecords(file), (error: Error & { next?: string }) => {
      assert.match(error.message, said)
      assert.match(error.next ?? '', /\| pulse events import -$/)
      return true
    })
  }
  await assert.rejects(openRecords('/nowhere/a.csv'), {
    message: '/nowhere/a.csv cannot be read: it is not there',
  })
})

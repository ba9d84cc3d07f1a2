import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type RecordScanner, scanArray, scanCsv, scanLines } from './record-scanner.ts'

/** The records of a text that arrives in the given pieces. */
function records(scanner: RecordScanner, pieces: readonly Buffer[]): string[] {
  const found: string[] = []
  let open = ''
  for (const piece of pieces) {
    let at = 0
    for (let end = scanner.find(piece, 0); end >= 0; end = scanner.find(piece, at)) {
      found.push(open + piece.toString('latin1', at, end))
      open = ''
      at = end
    }
    open += piece.toString('latin1', at)
  }
  return [...found, open]
}

const texts: [string, () => RecordScanner, string, string[]][] = [
  ['lines', scanLines, '{"a":1}\n\n{"b":2}\r\n{"c"', ['{"a":1}\n', '\n', '{"b":2}\r\n', '{"c"']],
  [
    'CSV with quotes, doubled quotes and line breaks inside',
    () => scanCsv(','),
    'a,b\r\n"x\ny","say ""hi"""\n5\'10",z\n"",\n',
    ['a,b\r\n', '"x\ny","say ""hi"""\n', '5\'10",z\n', '"",\n', ''],
  ],
  [
    'an array whose elements hold brackets, commas and quotes',
    () => scanArray(false),
    '[{"a":"],\\"[{"},\n {"b":[1,{"c":2}]} ,3]\n',
    ['[{"a":"],\\"[{"},', '\n {"b":[1,{"c":2}]} ,', '3]', '\n'],
  ],
]

for (const [name, scanner, text, expected] of texts)
  test(`records end where they end, wherever the text is cut: ${name}`, () => {
    const bytes = Buffer.from(text)
    for (let cut = 0; cut <= bytes.length; cut++)
      assert.deepEqual(
        records(scanner(), [bytes.subarray(0, cut), bytes.subarray(cut)]),
        expected,
        `cut at ${cut}`,
      )
    assert.deepEqual(
      records(
        scanner(),
        Array.from(bytes, (byte) => Buffer.from([byte])),
      ),
      expected,
    )
  })

test('a file that ends too early is told', () => {
  const unfinished = (scanner: RecordScanner, text: string) => {
    records(scanner, [Buffer.from(text)])
    return scanner.unfinished()
  }
  assert.match(unfinished(scanCsv(','), 'a,"b\n') ?? '', /quote/)
  assert.equal(unfinished(scanCsv(','), 'a,"b"'), undefined)
  assert.match(unfinished(scanArray(false), '[{"a":1}') ?? '', /inside the array/)
  assert.match(unfinished(scanArray(false), '[{"a":1}] x') ?? '', /behind the end/)
})

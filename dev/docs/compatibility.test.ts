import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { root } from '../setup/place.mjs'
import { listFiles } from '../tidy/source.ts'

const page = 'docs/compatibility.md'
const read = (path: string) => readFileSync(join(root, path), 'utf8')

/** What the page says about each line of the checklist: number -> third column. */
function linesOf(text: string): ReadonlyMap<string, string> {
  const rows = [...text.matchAll(/^\| ((?:EF|ES|BF)-\d\d) \| .* \| (.*) \|$/gm)]
  const lines = new Map(rows.map(([, line = '', how = '']) => [line, how]))
  assert.equal(lines.size, rows.length, 'each line once')
  return lines
}

/** Files of a cell, relative to the clone, that the word `tested` stands before. */
function testsNamedIn(how: string): readonly string[] {
  const links = /^tested: ((?:\[[^\]]*\]\([^)]*\)(?:, )?)+)/.exec(how)?.[1] ?? ''
  return [...links.matchAll(/\]\(\.\.\/([^)]*)\)/g)].map(([, path = '']) => path)
}

/** Numbers that stand in titles of tests, with the files. */
function numbersInTitles(): ReadonlyMap<string, ReadonlySet<string>> {
  const found = new Map<string, Set<string>>()
  for (const path of listFiles(root).filter((each) => /\.test\.tsx?$/.test(each)))
    for (const [, title = ''] of read(path).matchAll(/\btest\(\s*['"`]((?:EF|ES|BF)-\d\d\b.*)/g))
      for (const [number] of title.matchAll(/(?:EF|ES|BF)-\d\d\b/g))
        found.set(number, (found.get(number) ?? new Set()).add(path))
  return found
}

test('every line of the checklist stands in docs/compatibility.md, and says how', () => {
  const lines = linesOf(read(page))
  const numbers = (system: string, length: number) =>
    Array.from({ length }, (_, n) => `${system}-${String(n + 1).padStart(2, '0')}`)
  const wanted = [...numbers('EF', 48), ...numbers('ES', 35), ...numbers('BF', 29)]
  assert.deepEqual([...lines.keys()], wanted)
  for (const [line, how] of lines)
    assert.match(how, /^(tested: |replaced: |documented: |measured[:,] |later: )/, line)
})

test('a line that the page calls tested is tested in each file that it names', () => {
  const titles = numbersInTitles()
  for (const [line, how] of linesOf(read(page)))
    for (const path of testsNamedIn(how))
      assert.ok(titles.get(line)?.has(path), `${path} has no test whose title carries ${line}`)
})

test('a line that has a test is not called measured or later', () => {
  const lines = linesOf(read(page))
  for (const [line, paths] of numbersInTitles())
    assert.match(
      lines.get(line) ?? '',
      /^(tested|replaced): /,
      `${line} is tested in ${[...paths].join(', ')}`,
    )
})

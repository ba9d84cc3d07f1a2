import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { limits } from '@pulse/protocol/limits'
import { root } from '../setup/place.mjs'
import { limitsPage } from './limits.ts'
import { printedPages } from './pages.ts'

for (const { path, text } of printedPages)
  test(`${path} says what its tables say`, async () => {
    assert.equal(
      await readFile(join(root, path), 'utf8'),
      text(),
      'write it with node_modules/.bin/node dev/docs/main.ts',
    )
  })

test('the page of limits shows sizes, times and counts the way people write them', () => {
  const page = limitsPage()
  assert.equal(limits.bodyBytesMax, 4 * 1024 * 1024)
  assert.match(
    page,
    /\| body, after decompression \| 4 MiB \| 413 `payload_too_large` \| `BODY_BYTES_MAX` \|/,
  )
  assert.match(page, /\| events in an array or NDJSON \| 5,000 \|/)
  assert.match(page, /\| life of a ticket, which works once \| 30 s \|/)
  assert.match(page, /\| an event in the log \| 7 days \|/)
})

test('EF-28 what people look for has its page: architecture, quick start, testing, operation', () => {
  for (const [path, heading] of [
    ['docs/ARCHITECTURE.md', /^## Life of one event$/m],
    ['README.md', /^## Quick start: /m],
    ['CONTRIBUTING.md', /^## Tests$/m],
    ['docs/operating/README.md', /^## As a systemd service$/m],
  ] as const)
    assert.match(readFileSync(join(root, path), 'utf8'), heading)
})

test('every limit of the wire stands in the page with its value', () => {
  const page = limitsPage()
  const small = Object.values(limits).filter((value) => value < 10_000)
  for (const value of small) assert.ok(page.includes(` ${value.toLocaleString('en-US')} |`), String(value))
})

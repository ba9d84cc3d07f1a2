import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { test } from 'node:test'
import { root } from '../setup/place.mjs'
import { listFiles } from '../tidy/source.ts'
import { anchorsOf, linksOf } from './links.ts'

const read = (path: string) => readFileSync(path, 'utf8')

test('every relative link of every page leads to a file, and to a heading where it names one', () => {
  const pages = listFiles(root).filter((path) => path.endsWith('.md'))
  const broken: string[] = []
  let links = 0
  for (const page of pages)
    for (const { line, target } of linksOf(read(join(root, page)))) {
      links++
      const [path = '', anchor] = decodeURI(target).split('#')
      const file = path === '' ? join(root, page) : join(root, dirname(page), path)
      const isOutside = relative(root, file).startsWith('..')
      if (isOutside || !existsSync(file)) broken.push(`${page}:${line} ${target} is not there`)
      else if (anchor !== undefined && !anchorsOf(read(file)).has(anchor))
        broken.push(`${page}:${line} ${target} has no such heading`)
    }
  assert.deepEqual(broken, [])
  assert.ok(links > 20, 'the pages were found')
})

test('links are told from code and from other sites', () => {
  const page = 'See [a](a.md) and `[b](b.md)`, [c](https://c.example)\n```\n[d](d.md)\n```\n![e](../e.png#f)'
  assert.deepEqual(linksOf(page), [
    { line: 1, target: 'a.md' },
    { line: 5, target: '../e.png#f' },
  ])
})

test('headings are named as GitHub names them', () => {
  const page = '# What `it` is, and why\n```\n# no heading\n```\n## Twice\n## Twice'
  assert.deepEqual([...anchorsOf(page)], ['what-it-is-and-why', 'twice', 'twice-1'])
})

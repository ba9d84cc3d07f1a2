import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addSection, parseChange } from './release.ts'

test('a release adds its section above the older ones, the biggest changes first', () => {
  const mended = parseChange('a.md', "---\n'@pulse/server': patch\n---\n\nA gap is told.\n")
  const broken = parseChange('b.md', "---\n'@pulse/server': major\n---\n\nA field is gone,\nfor good.\n")
  const first = addSection('# Changelog\n\nIn words.\n', {
    version: '1.0.0',
    day: '2026-01-02',
    changes: [mended],
  })
  assert.equal(first, '# Changelog\n\nIn words.\n\n## 1.0.0 (2026-01-02)\n\n### Mended\n\n- A gap is told.\n')
  const second = addSection(first, { version: '2.0.0', day: '2026-02-03', changes: [mended, broken] })
  const section =
    '## 2.0.0 (2026-02-03)\n\n### Breaking\n\n- A field is gone,\n  for good.\n\n### Mended\n\n- A gap is told.\n'
  assert.equal(second, first.replace('## 1.0.0', `${section}\n## 1.0.0`))
})

test('a change that does not say how big it is stops the release', () => {
  assert.throws(() => parseChange('c.md', 'Something.'), /c\.md does not say/)
})

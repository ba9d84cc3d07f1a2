import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { documentation } from './documentation.ts'
import { settingList } from './settings.ts'

test('docs/operating/configuration.md says what the table of settings says', async () => {
  const page = new URL('../../../docs/operating/configuration.md', import.meta.url)
  assert.equal(await readFile(page, 'utf8'), documentation(), 'write documentation() to the page again')
})

test('every setting stands in the page once, with its sentence', () => {
  const page = documentation()
  for (const [key, setting] of settingList) {
    assert.equal(page.split(`| \`${key}\` |`).length, 2, key)
    assert.ok(page.includes(setting.help.replaceAll('|', '\\|')), key)
  }
})

test('names, keys and flags of settings are those of each other', () => {
  for (const [key, setting] of settingList) {
    assert.equal(setting.name, key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase())
    if (setting.flag !== undefined)
      assert.equal(setting.flag, setting.name.toLowerCase().replaceAll('_', '-'))
  }
})

import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { CliConfig } from '../src/config.ts'
import { forgetContext, readContext, saveContext } from '../src/context.ts'
import { findTarget } from '../src/target.ts'
import { openTemporaryFolder, type TemporaryFolder } from './temporary-folder.ts'

const configIn = (folder: TemporaryFolder, more: Partial<CliConfig> = {}): CliConfig => ({
  url: undefined,
  key: undefined,
  dataFolder: folder.path,
  contextFile: join(folder.path, 'config', 'pulse', 'context.json'),
  command: 'pulse',
  stateFolder: join(folder.path, 'state'),
  colour: false,
  ...more,
})

const runServerIn = async (folder: TemporaryFolder) => {
  await folder.write('server.json', JSON.stringify({ pid: 1, port: 9001, url: 'http://127.0.0.1:9001' }))
  await folder.write('key', 'local-key\n')
}

test('without anything, the default address is asked without a key', async () => {
  await using folder = await openTemporaryFolder()
  const { url, urlFrom, key } = await findTarget({}, configIn(folder))
  assert.deepEqual([url, urlFrom, key], ['http://127.0.0.1:8000', 'default', undefined])
})

test('option before environment before context before data folder', async () => {
  await using folder = await openTemporaryFolder()
  await runServerIn(folder)
  const plain = configIn(folder)
  const told = async (given: { url?: string; key?: string }, config: CliConfig) => {
    const { url, key, urlFrom, keyFrom } = await findTarget(given, config)
    return [url, urlFrom, key, keyFrom]
  }
  assert.deepEqual(await told({}, plain), ['http://127.0.0.1:9001', 'local', 'local-key', 'local'])
  await saveContext(plain.contextFile, { url: 'https://saved.example', key: 'saved-key' })
  assert.deepEqual(await told({}, plain), ['https://saved.example', 'context', 'saved-key', 'context'])
  const config = configIn(folder, { url: 'https://env.example', key: 'env-key' })
  assert.deepEqual(await told({}, config), ['https://env.example', 'environment', 'env-key', 'environment'])
  const given = { url: 'https://option.example/', key: 'option-key' }
  assert.deepEqual(await told(given, config), ['https://option.example', 'option', 'option-key', 'option'])
})

test('a data folder that is named wins over a saved context', async () => {
  await using folder = await openTemporaryFolder()
  await runServerIn(folder)
  const config = configIn(folder, { url: 'https://env.example', key: 'env-key' })
  await saveContext(config.contextFile, { url: 'https://saved.example', key: 'saved-key' })
  const { url, key } = await findTarget({ data: folder.path }, config)
  assert.deepEqual([url, key], ['http://127.0.0.1:9001', 'local-key'])
})

test('a stored key goes to no other server than its own', async () => {
  await using folder = await openTemporaryFolder()
  await runServerIn(folder)
  const config = configIn(folder)
  await saveContext(config.contextFile, { url: 'https://saved.example', key: 'saved-key' })
  assert.equal((await findTarget({ url: 'https://evil.example' }, config)).key, undefined)
  assert.equal((await findTarget({ url: 'https://saved.example:444' }, config)).key, undefined)
  assert.equal((await findTarget({ url: 'https://saved.example/x' }, config)).key, 'saved-key')
  assert.equal((await findTarget({ url: 'http://127.0.0.1.evil.example' }, config)).key, undefined)
})

test('the key of a data folder goes only to the server that runs in it', async () => {
  await using folder = await openTemporaryFolder()
  await folder.write('key', 'local-key\n')
  const keyFor = async (url?: string) => (await findTarget(url ? { url } : {}, configIn(folder))).key
  assert.equal(await keyFor(), undefined, 'nobody knows whose the default port is while no server runs')
  await runServerIn(folder)
  for (const url of [undefined, 'http://127.0.0.1:9001', 'http://localhost:9001/', 'http://[::1]:9001'])
    assert.equal(await keyFor(url), 'local-key', url)
  for (const url of ['http://127.0.0.1:9002', 'https://localhost:9001', 'http://192.0.2.1:9001'])
    assert.equal(await keyFor(url), undefined, url)
})

test('a server that listens on every address is found on the one of this machine', async () => {
  await using folder = await openTemporaryFolder()
  await folder.write('key', 'local-key\n')
  const addresses = {
    'http://0.0.0.0:9001': 'http://127.0.0.1:9001',
    'http://[::]:9001': 'http://[::1]:9001',
  }
  for (const [bound, reachable] of Object.entries(addresses)) {
    await folder.write('server.json', JSON.stringify({ pid: 1, url: bound }))
    const { url, key } = await findTarget({}, configIn(folder))
    assert.deepEqual([url, key], [reachable, 'local-key'])
  }
})

test('an address that is none, or has more than an address needs, is refused', async () => {
  await using folder = await openTemporaryFolder()
  for (const url of [
    '127.0.0.1:8000',
    'ftp://x',
    'x',
    'https://me:secret@x.example',
    'http://x/?a=1',
    'http://x/#a',
  ])
    await assert.rejects(findTarget({ url }, configIn(folder)), { exitCode: 2 })
})

test('the saved context can be read by its owner only, also when it replaces one that others could read', async () => {
  await using folder = await openTemporaryFolder()
  const file = await folder.write('context.json', '{}')
  await saveContext(file, { url: 'https://saved.example', key: 'k' })
  assert.equal((await stat(file)).mode & 0o777, 0o600)
  assert.deepEqual(await readContext(file), { url: 'https://saved.example', key: 'k' })
  await forgetContext(file)
  await forgetContext(file)
  assert.equal(await readContext(file), undefined)
})

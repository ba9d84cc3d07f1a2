import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmod, chown, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ConfigError } from '../config/config.ts'
import { readOrMakeSecret, readSecret, replaceSecret } from './secret-files.ts'

async function openFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'pulse-secrets-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

const modeOf = async (path: string) => (await stat(path)).mode & 0o777

const refused = (work: Promise<unknown>, pattern: RegExp) =>
  assert.rejects(work, (error) => error instanceof ConfigError && pattern.test(error.message))

test('servers that start together agree on one secret, which only its owner may read', async () => {
  await using folder = await openFolder()
  const path = join(folder.path, 'new', 'key')
  let made = 0
  const make = () => {
    made += 1
    return `secret-${made}`
  }
  const texts = await Promise.all(Array.from({ length: 8 }, () => readOrMakeSecret(path, make)))
  assert.equal(new Set(texts).size, 1)
  assert.equal(await readFile(path, 'utf8'), `${texts[0]}\n`)
  assert.equal(await modeOf(path), 0o600)
  assert.deepEqual(await readdir(join(folder.path, 'new')), ['key'], 'no draft is left')
  await replaceSecret(path, 'other')
  assert.equal(await readSecret(path), 'other')
  assert.equal(await modeOf(path), 0o600)
})

test('a secret that others could read is closed again, an empty one is said', async () => {
  await using folder = await openFolder()
  const path = join(folder.path, 'key')
  await writeFile(path, 'text\n')
  await chmod(path, 0o644)
  assert.equal(await readSecret(path), 'text')
  assert.equal(await modeOf(path), 0o600)
  await writeFile(path, '\n')
  assert.equal(await readSecret(path), undefined)
  await refused(
    readOrMakeSecret(path, () => 'new'),
    /key is empty; remove it/,
  )
})

test('a link in the place of a secret is refused, and the file behind it stays as it is', async () => {
  await using folder = await openFolder()
  const known = join(folder.path, 'known-to-all')
  await writeFile(known, 'x'.repeat(64), { mode: 0o644 })
  const path = join(folder.path, 'jwt-secret')
  await symlink(known, path)
  await refused(
    readOrMakeSecret(path, () => 'new'),
    /jwt-secret is a link/,
  )
  assert.equal(await modeOf(known), 0o644)
})

test('a pipe in the place of a secret is refused and not waited for', async () => {
  await using folder = await openFolder()
  const path = join(folder.path, 'key')
  execFileSync('sh', ['-c', 'mkfifo "$1"', 'sh', path])
  await refused(readSecret(path), /key is not a file/)
})

test('the secret of another user is refused, unless the folder is his too', {
  skip: process.getuid?.() !== 0 && 'only root can give files away',
}, async () => {
  await using folder = await openFolder()
  const path = join(folder.path, 'key')
  await writeFile(path, 'text\n', { mode: 0o600 })
  await chown(path, 12_345, 12_345)
  await refused(readSecret(path), /belongs to another user \(number 12345\)/)
  await chown(folder.path, 12_345, 12_345)
  assert.equal(await readSecret(path), 'text')
})

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { root } from '../setup/place.mjs'
import { buildClientPackage } from './client-package.ts'

const run = promisify(execFile)

/** A project of somebody who has installed the package, React and nothing else. */
let project: string
let installed: string

before(async () => {
  project = await mkdtemp(join(tmpdir(), 'pulse-user-'))
  installed = join(project, 'node_modules/@pulse/client')
  await mkdir(join(project, 'node_modules/@types'), { recursive: true })
  await buildClientPackage(root, installed)
  for (const name of ['react', '@types/react', 'csstype'])
    await symlink(join(root, 'node_modules', name), join(project, 'node_modules', name))
  await writeFile(join(project, 'package.json'), '{"type":"module"}')
})
after(() => rm(project, { recursive: true, force: true }))

test('the package is what package managers and bundlers expect', async () => {
  const { messages, pkg } = await publint({ pkgDir: installed, strict: true, pack: false })
  assert.deepEqual(
    messages.map((message) => formatMessage(message, pkg)),
    [],
  )
  const manifest = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8'))
  assert.equal(manifest.scripts, undefined)
  assert.equal(manifest.dependencies, undefined)
  const { stdout } = await run('npm', ['pack', '--dry-run', '--json'], { cwd: installed })
  const [packed] = JSON.parse(stdout) as { files: { path: string }[]; unpackedSize: number }[]
  const paths = packed?.files.map(({ path }) => path) ?? []
  for (const path of ['client.js', 'client.d.ts', 'react.js', 'README.md', 'LICENSE', 'protocol/position.js'])
    assert.ok(paths.includes(path), `${path} is in the package`)
  assert.ok((packed?.unpackedSize ?? 0) < 400_000, 'it stays small')
})

test('its code imports nothing but itself, and React for the hooks', async () => {
  const outside = new Set<string>()
  for (const path of await readdir(installed, { recursive: true })) {
    if (!/\.(js|d\.ts)$/.test(path)) continue
    const text = await readFile(join(installed, path), 'utf8')
    for (const [, specifier = ''] of text.matchAll(/(?:from|import\()\s*['"]([^'"]+)['"]/g)) {
      if (!specifier.startsWith('.')) outside.add(specifier)
      else assert.match(specifier, /\.js$/, `${path} imports ${specifier}`)
    }
  }
  assert.deepEqual([...outside], ['react'])
})

test('plain JavaScript can import every entry', async () => {
  const script = `
    import { createClient, memoryStore } from '@pulse/client'
    import { createCalls } from '@pulse/client/calls'
    import { useSubscription, useConnection } from '@pulse/client/react'
    const pulse = createClient({ url: 'http://127.0.0.1:9' })
    console.log([createCalls, memoryStore, useSubscription, useConnection, pulse.subscribe].map((one) => typeof one).join())`
  await writeFile(join(project, 'user.js'), script)
  const { stdout } = await run(process.execPath, ['user.js'], { cwd: project })
  assert.equal(stdout.trim(), 'function,function,function,function,function')
})

/** The examples of the README, as files of the project. What they take for granted stands before them. */
async function writeExamples(): Promise<number> {
  const text = await readFile(join(installed, 'README.md'), 'utf8')
  const examples = [...text.matchAll(/^```(tsx?)\n(.*?)^```$/gms)]
  const given =
    "import { createClient as givenClient } from '@pulse/client'\nconst pulse = givenClient({ url: '' })\n"
  for (const [at, [, kind = '', code = '']] of examples.entries())
    await writeFile(
      join(project, `example-${at}.${kind}`),
      code.includes('const pulse =') ? code : `${given}${code}\nexport {}\n`,
    )
  return examples.length
}

for (const [resolution, module] of [
  ['bundler', 'esnext'],
  ['nodenext', 'nodenext'],
])
  test(`the README's examples compile with the package's own types, checked in full (${resolution})`, async () => {
    assert.ok((await writeExamples()) >= 7)
    const settings = {
      compilerOptions: {
        ...{ strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false, noEmit: true },
        ...{ target: 'es2022', lib: ['es2022', 'dom', 'dom.iterable'], jsx: 'react-jsx', types: [] },
        ...{ module, moduleResolution: resolution },
      },
      include: ['example-*'],
    }
    await writeFile(join(project, 'tsconfig.json'), JSON.stringify(settings))
    const compiled = await run(join(root, 'node_modules/.bin/tsc'), ['-p', project]).then(
      () => '',
      (error: { stdout: string }) => error.stdout,
    )
    assert.equal(compiled, '')
  })

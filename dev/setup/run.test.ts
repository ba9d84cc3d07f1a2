import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { runQuietly } from './child.mjs'
import { root } from './place.mjs'

// A clone in small: the real set-up and the real npm, with packages that lie in the clone itself, so that these
// tests need no network and a second each instead of a minute.
class Clone implements Disposable {
  readonly root = mkdtempSync(join(tmpdir(), 'pulse-setup-'))

  constructor() {
    cpSync(import.meta.dirname, join(this.root, 'dev/setup'), { recursive: true })
    this.depend([])
    this.write('packages/node/package/node', `#!/bin/sh\nexec ${process.execPath} "$@"\n`)
    this.write('packages/vite/package/bin/vite.js', fakeVite)
    this.pack('node', { version: '1.0.0', bin: { node: 'node' } })
    this.pack('vite', { version: '1.0.0', type: 'module' })
    this.pack('corpus', { version: '1.0.0' })
    this.write('cli/src/main.ts', 'console.log(JSON.stringify(process.argv.slice(2))); process.exitCode = 7')
    this.write('dev/stories/main.ts', "console.log(import.meta.resolve('corpus/package.json'))")
    for (const file of ['web/app.js', 'client/src/a.ts', 'protocol/src/a.ts']) this.write(file, '')
    for (const file of ['client/package.json', 'protocol/package.json']) this.write(file, {})
  }

  write(path: string, content: string | object): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true })
    const text = typeof content === 'string' ? content : JSON.stringify(content)
    writeFileSync(join(this.root, path), text)
  }

  /** Writes package.json with these packages besides those that the set-up itself needs. */
  depend(more: readonly string[]): void {
    const files = (names: readonly string[]) =>
      Object.fromEntries(names.map((name) => [name, `file:packages/${name}.tgz`]))
    const dependencies = files(['node', 'vite', ...more])
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: object }
    const devDependencies = files(['corpus'])
    this.write('package.json', { private: true, type: 'module', scripts, dependencies, devDependencies })
  }

  /** Makes a package file as npm has them; a link to a folder would not be installed like one of a registry. */
  pack(name: string, fields: object): void {
    this.write(`packages/${name}/package/package.json`, { name, ...fields })
    execFileSync('tar', ['czf', `${name}.tgz`, '-C', name, 'package'], { cwd: join(this.root, 'packages') })
  }

  /** Runs a command of the set-up; both streams come back as one text. */
  run(...args: string[]): Promise<{ code: number; output: string }> {
    return this.runWith({}, ...args)
  }

  runWith(env: NodeJS.ProcessEnv, ...args: string[]): Promise<{ code: number; output: string }> {
    const program = join(this.root, 'dev/setup/run.mjs')
    const settings = { npm_config_offline: 'true', npm_config_allow_scripts: '', ...env }
    return runQuietly(process.execPath, [program, ...args], {
      cwd: this.root,
      env: { ...process.env, ...settings },
    })
  }

  lock(): Promise<{ code: number; output: string }> {
    return runQuietly('npm', ['install', '--package-lock-only', '--offline', '--no-audit'], {
      cwd: this.root,
    })
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true })
  }
}

const fakeVite = `import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
rmSync('dist', { recursive: true, force: true })
mkdirSync('dist')
const source = readFileSync('app.js', 'utf8')
if (source === 'broken') { console.error('app.js is broken at line 1'); process.exit(3) }
writeFileSync('dist/app.js', source)`

test('a first start installs, builds and runs; a second one only runs', async () => {
  using clone = new Clone()
  await clone.lock()
  const first = await clone.run('start', '--port', '8001')
  assert.match(
    first.output,
    /^Installing .*\nInstalled in .*\nBuilding .*\nBuilt in .*\n\["start","--port","8001"\]\n$/,
  )
  assert.equal(first.code, 7, 'the exit code is the program’s own')
  const second = await clone.run('start')
  assert.deepEqual(second, { code: 7, output: '["start"]\n' })
})

test('a changed source of the dashboard builds it again, and nothing is installed', async () => {
  using clone = new Clone()
  await clone.lock()
  await clone.run('start')
  clone.write('web/app.js', 'second')
  const again = await clone.run('start')
  assert.match(again.output, /^Building .*\nBuilt in .*\n\["start"\]\n$/)
  assert.equal(readFileSync(join(clone.root, 'web/dist/app.js'), 'utf8'), 'second')
})

test('a build that fails shows why, and the next start builds again', async () => {
  using clone = new Clone()
  await clone.lock()
  clone.write('web/app.js', 'broken')
  const failed = await clone.run('start')
  assert.equal(failed.code, 1)
  assert.match(failed.output, /app\.js is broken at line 1/)
  clone.write('web/app.js', 'mended')
  assert.match((await clone.run('start')).output, /Built in/)
})

test('start leaves developers’ packages out; once they are there, it keeps them', async () => {
  using clone = new Clone()
  await clone.lock()
  await clone.run('start')
  assert.throws(() => readFileSync(join(clone.root, 'node_modules/corpus/package.json')))
  const story = await clone.run('story')
  assert.equal(story.code, 0, story.output)
  assert.match(story.output, /node_modules\/corpus\/package\.json/)
  assert.equal((await clone.run('start')).output, '["start"]\n')

  // A pull changes the lock file: the new install has both sizes again.
  clone.pack('added', { version: '1.0.0' })
  clone.depend(['added'])
  await clone.lock()
  assert.match((await clone.run('start')).output, /^Installing/)
  assert.match((await clone.run('story')).output, /^file:.*corpus/)
})

test('two commands at once in a fresh clone take turns', async () => {
  using clone = new Clone()
  await clone.lock()
  const both = await Promise.all([clone.run('start'), clone.run('start')])
  assert.deepEqual(
    both.map(({ code }) => code),
    [7, 7],
  )
  assert.equal(both.filter(({ output }) => output.startsWith('Installing')).length, 1)
})

test('an install that fails shows npm’s own words', async () => {
  using clone = new Clone()
  await clone.lock()
  clone.depend(['absent'])
  clone.write('package-lock.json', {})
  const { code, output } = await clone.run('start')
  assert.equal(code, 1)
  assert.match(output, /npm error .*absent\.tgz|npm error code EUSAGE/)
  assert.match(output, /npm could not install the packages; its output is above\./)
})

test('without a network and a filled cache, it says so', async () => {
  using clone = new Clone()
  clone.write('package.json', { name: 'small', version: '1.0.0', dependencies: { absent: '1.0.0' } })
  const absent = { version: '1.0.0', integrity: `sha512-${'A'.repeat(86)}==` }
  clone.write('package-lock.json', {
    name: 'small',
    version: '1.0.0',
    lockfileVersion: 3,
    requires: true,
    packages: {
      '': { name: 'small', version: '1.0.0', dependencies: { absent: '1.0.0' } },
      'node_modules/absent': absent,
    },
  })
  const { code, output } = await clone.run('start')
  assert.equal(code, 1)
  assert.match(output, /The package registry cannot be reached/)
})

test('a machine without npm is told what Pulse needs', async () => {
  using clone = new Clone()
  await clone.lock()
  const { code, output } = await clone.runWith({ PATH: clone.root }, 'start')
  assert.deepEqual(
    { code, output: output.split('\n')[1] },
    {
      code: 1,
      output: 'npm was not found on the PATH. Pulse needs Node 20 or newer with npm 10 or newer.',
    },
  )
})

test('a signal reaches the server once, even when npm and the terminal both send it', async () => {
  using clone = new Clone()
  clone.write(
    'cli/src/main.ts',
    `let signals = 0
     process.on('SIGINT', () => { signals += 1; console.log('signal', signals); if (signals === 2) process.exit(5) })
     setInterval(() => undefined, 1000)
     console.log('ready')`,
  )
  await clone.lock()
  // Through npm and its shell, which must pass the signal on instead of dying of it and leaving the server behind.
  const child = spawn('npm', ['start', '--offline'], { cwd: clone.root })
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  const said = async (text: string) => {
    const signal = AbortSignal.timeout(20_000)
    while (!output.includes(text)) await once(child.stdout, 'data', { signal })
  }
  await said('ready')
  child.kill('SIGINT')
  child.kill('SIGINT')
  await said('signal 1')
  const exited = once(child, 'exit')
  // The echo of the first signal is over after its time; from then on a signal is a new one.
  const again = setInterval(() => child.kill('SIGINT'), 400)
  assert.deepEqual(await exited, [5, null])
  clearInterval(again)
  assert.equal(output.match(/signal/g)?.length, 2)
})

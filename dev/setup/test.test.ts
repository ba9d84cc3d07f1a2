import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import { runQuietly } from './child.mjs'
import { endLeftovers } from './leftovers.ts'
import { ownNode, root, SetupError } from './place.mjs'
import { watchRunningFiles } from './running-files.ts'
import { findTestFiles } from './test-files.ts'
import { describeTimes } from './test-shares.ts'

class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'pulse-runner-'))

  /** Writes a test file with this body and gives its path. */
  file(name: string, body: string): string {
    const path = join(this.path, `${name}.test.ts`)
    writeFileSync(
      path,
      `import { test } from 'node:test'\nimport { spawn } from 'node:child_process'\n${body}\n`,
    )
    return path
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}

/** Runs `npm test -- PATH…` as it is, without the marks of the run that this test itself is part of. */
function runTests(...paths: string[]): Promise<{ code: number; output: string }> {
  const { NODE_TEST_CONTEXT: _context, ...env } = process.env
  return runQuietly(ownNode, ['dev/setup/test.ts', ...paths], { cwd: root, env })
}

test('a run that passes ends with its counts, its times and exit code 0', async () => {
  using folder = new Folder()
  folder.file('a', "test('holds', () => {})\ntest('left out', { skip: true }, () => {})")
  const { code, output } = await runTests(folder.path)
  assert.equal(code, 0, output)
  assert.match(output, /✔ holds/)
  assert.match(output, /Slowest files:\n +\d\.\d s .*a\.test\.ts/)
  assert.match(output, /\n1 passed, 0 failed, 1 skipped\n$/)
})

test('a failing test, and a run in which nothing ran, fail', async () => {
  using folder = new Folder()
  const failing = folder.file('failing', "test('breaks', () => { throw new Error('as planned') })")
  const failed = await runTests(failing)
  assert.equal(failed.code, 1)
  assert.match(failed.output, /\n0 passed, 1 failed, 0 skipped\n$/)
  const skipping = folder.file('skipping', "test('left out', { skip: true }, () => {})")
  assert.equal((await runTests(skipping)).code, 1)
})

test('a process that a test leaves running is killed, named, and fails the run', {
  skip: notLinux(),
}, async () => {
  using folder = new Folder()
  const body = "spawn('sleep', ['987654'], { detached: true, stdio: 'ignore' }).unref()"
  const { code, output } = await runTests(folder.file('leaving', `test('forgets', () => { ${body} })`))
  assert.equal(code, 1)
  assert.match(output, /Left running by a test, now killed: \d+ sleep 987654/)
  // Not asked by its number: killed and not yet buried by its parent, it still has one.
  const running = readdirSync('/proc').filter((name) => commandOf(name).startsWith('sleep 987654'))
  assert.deepEqual(running, [])
})

test('a file that never ends is stopped, also when it does not yield', async () => {
  using folder = new Folder()
  const stopped: string[] = []
  const ended: string[] = []
  using _watch = watchRunningFiles({
    fileMsMax: 500,
    onStopped: (file) => stopped.push(basename(file)),
    onEnded: (file) => ended.push(basename(file)),
  })
  const file = folder.file('endless', 'for (;;) {}')
  const [code, signal] = await once(spawn(ownNode, [file]), 'exit')
  assert.deepEqual([code, signal], [null, 'SIGKILL'])
  assert.deepEqual([stopped, ended], [['endless.test.ts'], ['endless.test.ts']])
})

test('processes that end by themselves are not leftovers', { skip: notLinux() }, async () => {
  const mark = `MARK_OF_TEST=${process.pid}-${performance.now()}`
  const [name = '', value = ''] = mark.split('=')
  spawn('sleep', ['0.3'], { env: { ...process.env, [name]: value } })
  assert.deepEqual(await endLeftovers(mark), [])
})

test('named files and folders give their tests, and a name without any is refused', () => {
  assert.deepEqual(findTestFiles(root, ['dev/setup/test.test.ts', 'dev/setup']), [
    'dev/setup/run.test.ts',
    'dev/setup/test.test.ts',
  ])
  assert.ok(!findTestFiles(root, []).some((file) => file.includes('node_modules')))
  assert.throws(() => findTestFiles(root, ['dev/setup/absent.test.ts']), SetupError)
  assert.throws(() => findTestFiles(root, ['docs/decisions']), SetupError)
})

test('each file counts for the first part whose path fits', () => {
  const results = [
    { file: 'server/src/names/names.test.ts', ms: 1_000, tests: 3 },
    { file: 'server/src/intake/intake.test.ts', ms: 3_000, tests: 5 },
    { file: 'elsewhere/x.test.ts', ms: 10, tests: 1 },
  ]
  const parts = [
    { name: 'Names', paths: ['server/src/names/'] },
    { name: 'Foundation', paths: ['server/'] },
  ]
  const lines = describeTimes(results, parts)
  assert.deepEqual(lines.slice(-3), [
    '     3.0 s  Foundation: 5 tests in 1 files',
    '     1.0 s  Names: 3 tests in 1 files',
    '     0.0 s  Other: 1 tests in 1 files',
  ])
  assert.match(lines[1] ?? '', /3\.0 s {2}server\/src\/intake\/intake\.test\.ts/)
})

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}

function notLinux(): string | false {
  return process.platform === 'linux' ? false : 'reads /proc'
}

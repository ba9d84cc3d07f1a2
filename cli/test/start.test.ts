import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { kept, runPulse } from './run-pulse.ts'
import { eventually, startTestServer } from './server.ts'
import { openTemporaryFolder } from './temporary-folder.ts'

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))

/** `pulse start` with what it said, once it says `text`. */
async function startSaying(
  data: string,
  home: string,
  text: RegExp,
  more: Readonly<Record<string, string>> = {},
): Promise<{ child: ChildProcess; said: () => string }> {
  const child = spawn(process.execPath, [main, 'start', '--port', '0', '--data', data], {
    env: { ...kept, HOME: home, LOG_LEVEL: 'warn', ...more },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  await new Promise<void>((resolve, reject) => {
    const onData = (chunk: Buffer) => {
      said += chunk
      if (text.test(said)) resolve()
    }
    child.stdout.on('data', onData)
    child.stderr.on('data', onData)
    child.once('exit', (code) => reject(new Error(`it ended with ${code}: ${said}`)))
  })
  return { child, said: () => said }
}

test('EF-27 start brings everything up, healthy, in at most eight lines, and SIGTERM stops it with exit code 0', async () => {
  await using folder = await openTemporaryFolder()
  await using home = await openTemporaryFolder()
  const { child, said } = await startSaying(folder.path, home.path, /Bound to/)
  const lines = said().trimEnd().split('\n')
  assert.ok(lines.length <= 8, said())
  const url = /Bound to {3}(\S+)/.exec(said())?.[1]
  const health = await fetch(`${url}/health`)
  assert.equal(health.status, 200)
  assert.equal(((await health.json()) as { status: string }).status, 'healthy')
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  assert.deepEqual(await exited, [0, null])
})

test('one key press that arrives twice is one signal: the server stops in order', async () => {
  await using folder = await openTemporaryFolder()
  await using home = await openTemporaryFolder()
  const { child } = await startSaying(folder.path, home.path, /Bound to/)
  const exited = once(child, 'exit')
  child.kill('SIGINT')
  child.kill('SIGINT')
  assert.deepEqual(await exited, [0, null])
})

test('a second signal ends a server that is still finishing, at once', async (t) => {
  await using folder = await openTemporaryFolder()
  await using home = await openTemporaryFolder()
  const handler = 'export default { handlers: { stuck: () => new Promise(() => {}) } }'
  const CONFIG = await home.write('stuck.config.ts', handler)
  // So patient that only the second signal can end it within this test.
  const patience = { CONFIG, DRAIN_MS_MAX: '600000', HANDLER_TIMEOUT_MS: '600000', LOG_LEVEL: 'info' }
  const { child, said } = await startSaying(folder.path, home.path, /Bound to/, patience)
  // Otherwise a failure would leave a server that nobody ends for ten minutes.
  t.after(() => child.kill('SIGTERM'))
  const ended = once(child, 'exit')
  await runPulse(['events', 'send', 'stuck', '--data', folder.path], { env: { HOME: home.path } })
  await eventually(async () => {
    const { data } = JSON.parse(
      (await runPulse(['top', '--count', '1', '--json', '--data', folder.path])).stdout,
    )
    return data.queue_length === 1 ? true : undefined
  })
  child.kill('SIGINT')
  await eventually(async () => (said().includes('finishing what is accepted') ? true : undefined))
  // Later than what still counts as the same key press.
  setTimeout(() => child.kill('SIGINT'), 400)
  assert.deepEqual(await ended, [130, null])
  // It left its database to the next server, and there is none.
  const [postmaster] = (await readFile(join(folder.path, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')
  process.kill(Number(postmaster), 'SIGINT')
})

test('a taken port exits with 7, in one line and before a database is made for it', async () => {
  await using first = await startTestServer()
  await using folder = await openTemporaryFolder()
  await using home = await openTemporaryFolder()
  const port = new URL(first.url).port
  const second = await runPulse(['start', '--port', port, '--data', folder.path], {
    env: { HOME: home.path },
  })
  assert.equal(second.exitCode, 7)
  assert.match(
    second.stderr,
    new RegExp(`^pulse: port ${port} is taken by process .*main\\.ts --port 0 .*\\n$`),
  )
  assert.deepEqual(await readdir(folder.path), [])
})

test('config check names every wrong setting and exits with 3; a good one exits with 0', async () => {
  const wrong = await runPulse(['config', 'check'], { env: { PORT: 'x', PARTITIONS: '0' } })
  assert.equal(wrong.exitCode, 3)
  assert.match(wrong.stderr, /PORT[\s\S]*PARTITIONS/)
  assert.equal((await runPulse(['config', 'check'])).exitCode, 0)
})

test('config explain says where a value comes from', async () => {
  const { exitCode, stdout } = await runPulse(['config', 'explain', 'PORT'], { env: { PORT: '9000' } })
  assert.equal(exitCode, 0)
  assert.match(stdout, /^PORT = 9000\n/)
  assert.match(stdout, /8000/)
  assert.equal((await runPulse(['config', 'explain', 'PROT'])).exitCode, 5)
})

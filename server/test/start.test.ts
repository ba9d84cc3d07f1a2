import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { eventually } from '@pulse/dev/services/eventually'
import { databasePidOf } from '@pulse/dev/services/pulse'

const program = fileURLToPath(new URL('../src/main.ts', import.meta.url))

let data: string
before(async () => {
  data = await mkdtemp(join(tmpdir(), 'pulse-start-'))
})
after(() => rm(data, { recursive: true, force: true, maxRetries: 5 }))

/** The server with both of its streams in one file or pipe, as `npm start 2>&1` and containers have it. */
function startMerged(...flags: readonly string[]) {
  const child = spawn('/bin/sh', ['-c', 'exec "$0" "$@" 2>&1', process.execPath, program, ...flags], {
    env: { ...process.env, PORT: '0', HOST: '127.0.0.1', DATA: data, LOG_LEVEL: 'info' },
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: data,
  })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const bound = () => eventually('the banner', async () => /Bound to {3}(\S+)/.exec(said)?.[1], 30_000)
  return { child, bound, said: () => said }
}

test('the banner stands whole before the first line of the log, also where both go to one place', async () => {
  const { child, bound, said } = startMerged()
  const ended = once(child, 'exit')
  await bound()
  await eventually('a log line', async () => (said().includes('"database ready"') ? true : undefined), 5_000)
  child.kill('SIGTERM')
  await ended
  const lines = said().trimEnd().split('\n')
  const banner = lines.slice(0, 7)
  assert.match(banner[0] ?? '', /^Pulse \d/)
  assert.match(banner[6] ?? '', /^ {2}Bound to/)
  for (const line of lines.slice(7)) assert.equal(typeof JSON.parse(line), 'object', line)
})

test('a closed terminal stops the server in order: SIGHUP, and nobody reads what it says any more', async () => {
  const { child, bound } = startMerged()
  const ended = once(child, 'exit')
  await bound()
  child.stdout.destroy()
  child.kill('SIGHUP')
  assert.deepEqual(await ended, [0, null])
  assert.equal((await readFile(join(data, 'server.json'), 'utf8')).trim(), '{}')
  assert.equal(await databasePidOf(data), undefined, 'the database still runs')
})

test('a start that forgets the configuration of its tables is refused, and told which it was', async () => {
  const folder = join(data, 'team')
  await mkdir(join(folder, 'migrations'), { recursive: true })
  await writeFile(
    join(folder, 'migrations', '0001_parcels.sql'),
    'create table parcels (id uuid primary key);',
  )
  const config = join(folder, 'pulse.config.ts')
  await writeFile(config, "export default { migrations: ['migrations'] }")
  const run = async (...flags: string[]) => {
    const { child, said } = startMerged(...flags)
    const ended = once(child, 'exit') as Promise<[number | null, string | null]>
    const look = async () => (said().includes('Bound to') || child.exitCode !== null ? true : undefined)
    await eventually('it is bound or refused', look, 30_000)
    const isBound = child.exitCode === null
    if (isBound) child.kill('SIGTERM')
    return { isBound, code: (await ended)[0], said: said() }
  }
  assert.deepEqual((await run('--config', config)).isBound, true)
  const forgetful = await run()
  assert.deepEqual([forgetful.isBound, forgetful.code], [false, 3])
  assert.match(forgetful.said, /^pulse: this database has tables .*0001_parcels.* --config FILE/m)
  assert.ok(forgetful.said.includes(`(the last start had --config ${config})`), forgetful.said)
  assert.equal((await run('--config', config)).isBound, true)
})

test('a start does not load the engine that it does not use', async () => {
  const text = `
    import { registerHooks } from 'node:module'
    registerHooks({ resolve: (name, context, next) => (console.log(name), next(name, context)) })
    await import(${JSON.stringify(new URL('../src/app.ts', import.meta.url).href)})`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', text], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const names = (await child.stdout.setEncoding('utf8').toArray()).join('').split('\n')
  assert.ok(names.includes('pg'))
  assert.ok(
    !names.some((name) => name.includes('kafka')),
    'the Kafka client takes as long to load as all the rest',
  )
})

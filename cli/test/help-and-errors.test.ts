import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { runPulse } from './run-pulse.ts'
import { openTemporaryFolder } from './temporary-folder.ts'

const golden = (name: string) => fileURLToPath(new URL(`golden/${name}.txt`, import.meta.url))
const asItIs = { serializers: [(text: unknown) => String(text)] }

// `node --test --test-update-snapshots cli/test/help-and-errors.test.ts` writes the golden files anew.
const helps = [
  [],
  ['start'],
  ['open'],
  ['events'],
  ['events', 'list'],
  ['events', 'get'],
  ['events', 'tail'],
  ['events', 'send'],
  ['events', 'import'],
  ['filters'],
  ['filters', 'set'],
  ['filters', 'test'],
  ['webhooks'],
  ['webhooks', 'create'],
  ['names'],
  ['names', 'import'],
  ['listen'],
  ['streams'],
  ['explain'],
  ['generate', 'events'],
  ['load'],
  ['top'],
  ['keys'],
  ['keys', 'create'],
  ['dead-letters'],
  ['dead-letters', 'redrive'],
  ['doctor'],
  ['config'],
  ['config', 'explain'],
  ['login'],
]

for (const words of helps)
  test(`the help of 'pulse ${words.join(' ')}' is the one that was agreed`, async (t) => {
    const { exitCode, stdout, stderr } = await runPulse([...words, '--help'])
    assert.deepEqual([exitCode, stderr], [0, ''])
    t.assert.fileSnapshot(stdout, golden(`help-${words.join('-') || 'pulse'}`), asItIs)
  })

test('the help has the table of exit codes', async (t) => {
  const { exitCode, stdout } = await runPulse(['help', 'exit-codes'])
  assert.equal(exitCode, 0)
  t.assert.fileSnapshot(stdout, golden('help-exit-codes'), asItIs)
})

/** The names below `Commands:` in a help. */
function commandsIn(help: string): string[] {
  const list = /\nCommands:\n((?: {2}.*\n)+)/.exec(help)?.[1] ?? ''
  const names = [...list.matchAll(/^ {2}([a-z-]+)/gm)].map(([, name = '']) => name)
  return names.filter((name) => name !== 'help')
}

test('the page of commands names every command that there is', async () => {
  const page = await readFile(new URL('../../docs/commands.md', import.meta.url), 'utf8')
  const isNamed = (group: string, name: string) =>
    page.split('\n').some((line) => line.startsWith(`| \`pulse ${group}`) && line.includes(name))
  const { stdout } = await runPulse(['--help'])
  const groups = commandsIn(stdout)
  assert.ok(groups.length > 10)
  for (const name of groups) {
    assert.ok(isNamed(name, name), `pulse ${name}`)
    const { stdout: help } = await runPulse([name, '--help'])
    for (const child of commandsIn(help)) assert.ok(isNamed(name, child), `pulse ${name} ${child}`)
  }
})

const usageErrors: [words: string[], line: string][] = [
  [['evnts'], "unknown command 'evnts' (Did you mean events?) Next: pulse --help"],
  [['events', 'lst'], "unknown command 'lst' (Did you mean list?) Next: pulse events --help"],
  [
    ['events', 'list', '--typ', 'x'],
    "unknown option '--typ' (Did you mean --type?) Next: pulse events list --help",
  ],
  [['events', 'get'], "missing required argument 'event_id'. Next: pulse events get --help"],
  [
    ['events', 'list', '--limit', '0'],
    "option '--limit <number>' argument '0' is invalid. It must be a whole number from 1 to 1000. Next: pulse events list --help",
  ],
  [
    ['events', 'list', '--status', 'lost'],
    "option '--status <status>' argument 'lost' is invalid. Allowed choices are accepted, retrying, processed, dead, dropped. Next: pulse events list --help",
  ],
  [['events', 'import', 'x.csv', '--over', '60s'], '--over says how long a replay takes. Next: add --replay'],
  [
    ['events', 'import', 'x.csv', '--replay', '--over', 'soon'],
    "option '--over <time>' argument 'soon' is invalid. It must be a length of time such as 500ms, 60s, 2m, 1h. Next: pulse events import --help",
  ],
  [['explain', 'x'], "required option '--subscriber <id>' not specified. Next: pulse explain --help"],
  [
    ['filters', 'set', 'user_1'],
    'What is the filter? Next: write an expression such as \'event_type = "purchase"\', or --pattern, or --types',
  ],
  [
    ['filters', 'set', 'a', '--tiers', 'gold'],
    '--tiers and --min-amount go with --types. Next: write an expression such as \'event_type = "purchase"\', or --pattern, or --types',
  ],
  [
    ['filters', 'test', 'everything', '--types', 'a'],
    'Say the filter once. Next: write an expression such as \'event_type = "purchase"\', or --pattern, or --types',
  ],
  [
    ['filters', 'test', 'everything', '--tiers', 'a'],
    '--tiers and --min-amount go with --types. Next: write an expression such as \'event_type = "purchase"\', or --pattern, or --types',
  ],
  [
    ['filters', 'delete', 'user_1'],
    'This asks before it acts: Delete the filter default of user_1? It gets no later event by it. Next: add --yes',
  ],
  [['load', '--rate', '0'], '--rate must be above 0. Next: pulse load --rate 100'],
  [
    ['keys', 'revoke', 'k1'],
    'This asks before it acts: Revoke key k1? Whoever uses it is refused from now on. Next: add --yes',
  ],
  [
    ['events', 'list', '--url', 'localhost:8000'],
    "'localhost:8000' is not an http or https address. Next: --url http://127.0.0.1:8000",
  ],
]

for (const [words, line] of usageErrors)
  test(`'pulse ${words.join(' ')}' exits with 2 and says why in one line`, async () => {
    const { exitCode, stdout, stderr } = await runPulse(words)
    assert.deepEqual({ exitCode, stdout, stderr }, { exitCode: 2, stdout: '', stderr: `pulse: ${line}\n` })
  })

test('a group without a command shows its help on standard error and exits with 2', async () => {
  const { exitCode, stdout, stderr } = await runPulse(['keys'])
  assert.equal(exitCode, 2)
  assert.equal(stdout, '')
  assert.match(stderr, /Usage: pulse keys/)
})

/** The address of a port where nobody listens. */
async function deadUrl(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
}

test('a server that is not there exits with 7, in words and in JSON', async () => {
  const url = await deadUrl()
  const words = await runPulse(['events', 'list', '--url', url])
  assert.equal(words.exitCode, 7)
  assert.equal(words.stderr, `pulse: No answer from ${url}: ECONNREFUSED. Next: pulse doctor\n`)
  const json = await runPulse(['events', 'list', '--url', url, '--json'])
  assert.deepEqual([json.exitCode, json.stdout], [7, ''])
  const problem: unknown = JSON.parse(json.stderr)
  assert.deepEqual(problem, {
    schema: 'pulse.problem.v1',
    type: 'about:blank',
    title: `No answer from ${url}: ECONNREFUSED`,
    code: 'network',
    exit_code: 7,
    next: 'pulse doctor',
  })
})

test('a secret file that cannot be read exits with 3', async () => {
  const { exitCode, stderr } = await runPulse(['doctor'], { env: { PULSE_KEY_FILE: '/nowhere/key' } })
  assert.equal(exitCode, 3)
  assert.match(stderr, /^pulse: PULSE_KEY_FILE cannot be read: /)
})

test('a map file with a word that it cannot have exits with 2', async () => {
  await using folder = await openTemporaryFolder()
  const mapFile = await folder.write('map.json', '{"typ": "x"}')
  const { exitCode, stderr } = await runPulse(['events', 'import', 'x.csv', '--map-file', mapFile])
  assert.equal(exitCode, 2)
  assert.match(stderr, /is no map file: it has 'typ'; known are type, id/)
})

test('what is proposed can be pasted where npm runs the program too', async () => {
  const nextOf = async (env: Readonly<Record<string, string>>) => {
    const { stderr } = await runPulse(['events', 'tail', '--bad'], { env })
    return stderr.match(/Next: .*/)?.[0]
  }
  const inClone = { npm_package_name: 'pulse', npm_lifecycle_event: 'pulse' }
  assert.equal(await nextOf(inClone), 'Next: npm run pulse -- events tail --help')
  assert.equal(await nextOf({ ...inClone, npm_package_name: 'shop' }), 'Next: pulse events tail --help')
})

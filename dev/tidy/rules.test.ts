import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  checkAny,
  checkDefaultExports,
  checkEnvironment,
  checkNames,
  checkSleeps,
  checkToDos,
} from './code.ts'
import { checkDocComments } from './doc-comments.ts'
import { type Import, importsOf, readPackages } from './imports.ts'
import { checkManifests } from './manifests.ts'
import { type Finding, parseSource, type Source } from './source.ts'
import { checkArrows, checkClimbs, checkCycles, checkDoors, checkDrivers } from './structure.ts'
import { checkLock, checkPins, checkPlaces } from './texts.ts'
import { compareWithRatchet, measure } from './walls.ts'

// Every rule on samples that keep it and samples that break it: a rule that cannot fail holds nothing.

const packages = readPackages(
  new Map([
    ['protocol/package.json', '{"name":"@pulse/protocol","exports":{"./*":"./src/*.ts"}}'],
    [
      'log/package.json',
      '{"name":"@pulse/log","exports":{".":"./src/log.ts","./*":"./src/*.ts","./postgres":"./src/postgres/postgres.ts"}}',
    ],
    ['server/package.json', '{"name":"@pulse/server","exports":{".":"./src/server.ts"}}'],
    ['dev/package.json', '{"name":"@pulse/dev","exports":{"./services":"./services/services.ts"}}'],
  ]),
)

/** The imports of files given as path -> text. */
function importsIn(files: Record<string, string>): readonly Import[] {
  return importsOf(
    Object.entries(files).map(([path, text]) => parseSource(path, text)),
    packages,
  )
}

type ImportRule = (imports: readonly Import[]) => readonly Finding[]

function importKept(rule: ImportRule, files: Record<string, string>): void {
  assert.deepEqual(rule(importsIn(files)), [])
}

function importBroken(rule: ImportRule, files: Record<string, string>, message: RegExp): void {
  const findings = rule(importsIn(files))
  assert.equal(findings.length, 1, `one finding in ${JSON.stringify(files)}`)
  assert.match(findings[0]?.message ?? '', message)
}

type CodeRule = (source: Source) => readonly Finding[]

const findingsIn = (rule: CodeRule, text: string, path: string) => rule(parseSource(path, text))

function kept(rule: CodeRule, text: string, path = 'server/src/intake/intake.ts'): void {
  assert.deepEqual(findingsIn(rule, text, path), [], text)
}

function broken(rule: CodeRule, text: string, path = 'server/src/intake/intake.ts'): void {
  assert.equal(findingsIn(rule, text, path).length, 1, `one finding in ${text}`)
}

test('an arrow is not walked backwards, and no path leads from room to room', () => {
  importKept(checkArrows, { 'server/src/intake/a.ts': "import { x } from '@pulse/log'" })
  importKept(checkArrows, { 'server/src/intake/a.test.ts': "import { x } from '@pulse/dev/services'" })
  importKept(checkArrows, { 'dev/bench/main.ts': "import { x } from '@pulse/server'" })
  importBroken(
    checkArrows,
    { 'log/src/a.ts': "import type { x } from '@pulse/server'" },
    /log must not see server/,
  )
  importBroken(
    checkArrows,
    { 'server/src/a.ts': "const x = await import('@pulse/dev/services')" },
    /not see dev/,
  )
  importBroken(
    checkArrows,
    { 'client/src/a.ts': "export { x } from '@pulse/log'" },
    /client must not see log/,
  )
  importBroken(
    checkArrows,
    { 'log/src/a.ts': "import { x } from '../../protocol/src/event.ts'" },
    /package name/,
  )
})

test('a module is entered by its front door, a side door, or the wiring', () => {
  importKept(checkDoors, { 'server/src/query/query.ts': "import { s } from '../schemas/schemas.ts'" })
  importKept(checkDoors, { 'server/src/query/query.ts': "import { s } from '../http/problem-error.ts'" })
  importKept(checkDoors, { 'server/src/query/query.ts': "import { s } from './cursor.ts'" })
  importKept(checkDoors, { 'server/src/app.ts': "import { r } from './query/query-routes.ts'" })
  importBroken(
    checkDoors,
    { 'server/src/query/a.ts': "import { s } from '../schemas/type-cache.ts'" },
    /module schemas/,
  )
  importBroken(
    checkDoors,
    { 'server/src/query/a.test.ts': "import { s } from '../schemas/b.ts'" },
    /module schemas/,
  )
  importKept(checkDoors, { 'server/src/query/a.ts': "import { g } from '@pulse/log/groups'" })
  importBroken(
    checkDoors,
    { 'server/src/query/a.ts': "import { g } from '@pulse/log/record-batch'" },
    /inside the log/,
  )
})

test('a driver is chosen by the wiring and judged by tests', () => {
  const text = "import { openPostgresLog } from '@pulse/log/postgres'"
  importKept(checkDrivers, { 'server/src/app.ts': text })
  importKept(checkDrivers, { 'server/src/intake/intake.test.ts': text })
  importKept(checkDrivers, { 'dev/bench/main.ts': text })
  importBroken(checkDrivers, { 'server/src/main.ts': text }, /only server\/src\/app\.ts wires/)
  importBroken(checkDrivers, { 'server/src/intake/intake.ts': text }, /only server\/src\/app\.ts wires/)
})

test('an import climbs one folder', () => {
  importKept(checkClimbs, { 'server/src/query/a.ts': "import { s } from '../schemas/schemas.ts'" })
  importBroken(
    checkClimbs,
    { 'server/src/query/x/a.ts': "import { s } from '../../schemas/schemas.ts'" },
    /climbs/,
  )
})

test('a circle of files or of modules is found, types between files are not one', () => {
  const a = 'server/src/query/a.ts'
  const b = 'server/src/query/b.ts'
  importKept(checkCycles, { [a]: "import { b } from './b.ts'", [b]: "import type { a } from './a.ts'" })
  importBroken(
    checkCycles,
    { [a]: "import { b } from './b.ts'", [b]: "import { a } from './a.ts'" },
    /a circle/,
  )
  importBroken(
    checkCycles,
    {
      [a]: "import { b } from './b.ts'",
      [b]: "import { c } from './c.ts'",
      'server/src/query/c.ts': "export { a } from './a.ts'",
    },
    /a\.ts -> .*b\.ts -> .*c\.ts -> .*a\.ts/,
  )
  importBroken(
    checkCycles,
    {
      'server/src/query/a.ts': "import type { s } from '../schemas/schemas.ts'",
      'server/src/schemas/b.ts': "import type { q } from '../query/query.ts'",
    },
    /query -> schemas -> query/,
  )
})

test('the environment is read by config.ts', () => {
  const text = 'export const port = process.env.PORT'
  kept(checkEnvironment, text, 'server/src/config/config.ts')
  kept(checkEnvironment, text, 'dev/setup/test.ts')
  kept(checkEnvironment, text, 'log/src/postgres/postgres.test.ts')
  broken(checkEnvironment, text)
  broken(checkEnvironment, 'const { PORT } = process.env')
  broken(checkEnvironment, "const env = process['env']")
  broken(checkEnvironment, text, 'cli/src/main.ts')
})

test('default exports are for tools that ask for one', () => {
  kept(checkDefaultExports, 'export default {}', 'web/vite.config.ts')
  kept(checkDefaultExports, 'export function intake() {}')
  broken(checkDefaultExports, 'export default {}')
  broken(checkDefaultExports, 'export default function intake() {}')
  broken(checkDefaultExports, 'export default class Intake {}')
})

test('any is found as a type, not as a word', () => {
  kept(checkAny, "const any = 'any' // any")
  broken(checkAny, 'const a: any = 1')
  broken(checkAny, 'const a = 1 as unknown as Map<string, any>')
})

test('a to-do names its issue', () => {
  const word = ['TO', 'DO'].join('')
  kept(checkToDos, `// ${word}(#12): close the socket`)
  kept(checkToDos, `const a = '${word}'`)
  broken(checkToDos, `// ${word}: close the socket`)
  broken(checkToDos, `/**\n * ${word} close the socket\n */`)
})

test('names and files that could mean anything are refused', () => {
  kept(checkNames, 'class Intake {}; interface Services {}; type Base64 = string')
  broken(checkNames, 'class EventManager {}')
  broken(checkNames, 'interface IntakeService {}')
  broken(checkNames, 'type LogImpl = string')
  broken(checkNames, 'export const a = 1', 'server/src/intake/utils.ts')
  broken(checkNames, 'export const a = 1', 'server/src/intake/index.ts')
})

test('a test sleeps only between two looks', () => {
  const path = 'log/src/log.test.ts'
  kept(checkSleeps, 'while (!done()) { await setTimeout(10) }', path)
  kept(checkSleeps, 'await once(child, "exit")', path)
  kept(checkSleeps, 'await setTimeout(10)')
  broken(checkSleeps, 'await setTimeout(10)', path)
  broken(checkSleeps, 'await sleep(1_000)', path)
  broken(checkSleeps, 'await new Promise((resolve) => setTimeout(resolve, 50))', path)
  broken(checkSleeps, 'await new Promise<void>((r) => { setTimeout(r, 50) })', path)
  broken(checkSleeps, 'for (;;) { later(async () => { await delay(5) }) }', path)
})

test('a published function says in a sentence what it does, and when it throws', () => {
  kept(checkDocComments, '/** Accepts one event. */\nexport function accept() {}')
  kept(
    checkDocComments,
    '/** Accepts one event; throws LimitError. */\nexport function accept() { throw new X() }',
  )
  kept(checkDocComments, 'export function accept() {}', 'server/src/intake/submission.ts')
  kept(checkDocComments, 'function accept() {}\nexport const limit = 5')
  kept(checkDocComments, '/** Makes a reader. */\nexport function make() { return () => { throw new X() } }')
  broken(checkDocComments, 'export function accept() {}')
  broken(checkDocComments, '// Accepts one event.\nexport function accept() {}')
  broken(checkDocComments, '/** accept */\nexport const accept = () => 1')
  broken(checkDocComments, '/** Accepts one event. */\nexport function accept() { if (full) throw new X() }')
  broken(checkDocComments, 'export class Intake {}')
  broken(checkDocComments, 'export const parse = (text: string) => text', 'protocol/src/event.ts')
  broken(checkDocComments, 'export async function openLog() {}', 'log/src/log.ts')
})

test('a place of one machine and a mirror’s name are found', () => {
  const found = (text: string) => checkPlaces('docs/a.md', text).map(({ line }) => line)
  assert.deepEqual(found('cd ~/pulse\nsee https://example.org/work/main\nworkers/root.ts'), [])
  assert.deepEqual(found(`a\ncd /${'work'}/main`), [2])
  assert.deepEqual(found(`cache=/${'root'}/.npm`), [1])
  assert.deepEqual(found(`"/${'home'}/alice/pulse"`), [1])
  assert.deepEqual(found(`https://registry.${'npmjs'}.org/zod`), [1])
})

test('a version is exact or refused', () => {
  const found = (version: string) =>
    checkPins('package.json', JSON.stringify({ devDependencies: { a: version } })).length
  for (const version of ['1.2.3', '1.2.3-beta.17', 'npm:typescript@7.0.2', 'npm:@a/b@1.0.0'])
    assert.equal(found(version), 0)
  for (const version of ['^1.2.3', '~1.2.3', '1.x', '*', 'latest', 'npm:a@^1.0.0'])
    assert.equal(found(version), 1)
})

test('a function or file above its wall is measured, a suite without the tests in it', () => {
  const lines = (count: number) => 'work()\n'.repeat(count)
  const long = (text: string, path = 'log/src/a.ts') => measure([parseSource(path, text)])
  assert.deepEqual(long(`function short() {\n${lines(68)}}`), {})
  assert.deepEqual(long(`function long() {\n${lines(69)}}`), { 'log/src/a.ts long': 71 })
  assert.deepEqual(long(`const long = () => {\n${lines(69)}}`), { 'log/src/a.ts long': 71 })
  assert.deepEqual(long(`test('a long one', () => {\n${lines(80)}})`), { 'log/src/a.ts a long one': 82 })
  const two = `test('b', () => {\n${lines(50)}})\n`.repeat(2)
  assert.deepEqual(long(`function suite() {\n${two}}`), {})
  assert.deepEqual(long(lines(501)), { 'log/src/a.ts': 501 })
  assert.deepEqual(long(lines(500)), {})
})

test('the ratchet refuses what is new or longer, and entries that could shrink', () => {
  assert.deepEqual(compareWithRatchet({ a: 80 }, { a: 80 }), [])
  assert.match(compareWithRatchet({ a: 80 }, {})[0] ?? '', /^a: 80 lines are above the wall/)
  assert.match(compareWithRatchet({ a: 81 }, { a: 80 })[0] ?? '', /may only get shorter/)
  assert.match(compareWithRatchet({ a: 79 }, { a: 80 })[0] ?? '', /^a: 79 now: lower its entry/)
  assert.match(compareWithRatchet({}, { a: 80 })[0] ?? '', /below the wall now: remove its entry/)
})

test('what a room imports stands in its package.json, and what of ours stands there is imported', () => {
  const manifests = (log: object) =>
    new Map([
      ['package.json', JSON.stringify({ devDependencies: { typescript: '1.0.0' } })],
      ['log/package.json', JSON.stringify({ name: '@pulse/log', ...log })],
    ])
  const told = (files: Record<string, string>, log: object) =>
    checkManifests(importsIn(files), manifests(log)).map(({ message }) => message)
  const uses = {
    'log/src/a.ts': "import { x } from '@pulse/protocol/event'\nimport 'node:fs'\nimport './b.ts'",
  }
  const protocol = { '@pulse/protocol': '0.1.0' }
  assert.deepEqual(told(uses, { dependencies: protocol }), [])
  assert.match(told(uses, { devDependencies: protocol })[0] ?? '', /@pulse\/protocol is missing/)
  const tests = { 'log/src/a.test.ts': "import 'typescript'\nimport '@pulse/protocol/event'" }
  assert.deepEqual(told(tests, { devDependencies: protocol }), [])
  assert.match(told({ 'log/src/a.ts': "import 'typescript'" }, {})[0] ?? '', /typescript is missing/)
  assert.deepEqual(told({ 'log/src/a.ts': "import 'react'" }, { peerDependencies: { react: '>=18' } }), [])
  assert.match(told({}, { dependencies: protocol })[0] ?? '', /@pulse\/protocol is not imported/)
  const resolved = { 'log/src/a.ts': "const at = import.meta.resolve('@pulse/protocol')" }
  assert.match(told(resolved, {})[0] ?? '', /@pulse\/protocol is missing/)
})

test('an address of a registry in the lock file is found', () => {
  assert.deepEqual(checkLock('package-lock.json', '{"resolved": "cli", "link": true}'), [])
  assert.equal(checkLock('package-lock.json', '{"resolved": "https://mirror.example/a.tgz"}').length, 1)
})

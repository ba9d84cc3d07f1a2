import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { root } from '../setup/place.mjs'
import {
  checkAny,
  checkDefaultExports,
  checkEnvironment,
  checkNames,
  checkSleeps,
  checkToDos,
} from './code.ts'
import { checkDocComments } from './doc-comments.ts'
import { sideDoors } from './doors.ts'
import { importsOf, readPackages } from './imports.ts'
import { checkManifests } from './manifests.ts'
import { type Finding, listFiles, readSources } from './source.ts'
import { checkArrows, checkClimbs, checkCycles, checkDoors, checkDrivers } from './structure.ts'
import { checkLock, checkPins, checkPlaces } from './texts.ts'
import { compareWithRatchet, measure, type Ratchet } from './walls.ts'

// The style guide's checkable rules, held against the repository. Each rule is shown able to fail in rules.test.ts.
const files = listFiles(root)
const sources = readSources(root, files)
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const manifests = new Map(
  files.filter((path) => /^(\w+\/)?package\.json$/.test(path)).map((path) => [path, read(path)]),
)
const imports = importsOf(sources, readPackages(manifests))

function none(findings: readonly Finding[]): void {
  assert.equal(findings.map(({ path, line, message }) => `\n${path}:${line} ${message}`).join(''), '')
}

test('rooms see each other only along the arrows', () => none(checkArrows(imports)))
test('modules are used through their front doors', () => none(checkDoors(imports)))
test('only app.ts wires drivers', () => none(checkDrivers(imports)))
test('every package that a room imports stands in its package.json', () =>
  none(checkManifests(imports, manifests)))
test('no import climbs more than one folder', () => none(checkClimbs(imports)))
test('nothing needs itself in a circle', () => none(checkCycles(imports)))
test('only config.ts reads the environment', () => none(sources.flatMap(checkEnvironment)))
test('nothing is exported by default', () => none(sources.flatMap(checkDefaultExports)))
test('nothing is any', () => none(sources.flatMap(checkAny)))
test('every to-do has its issue', () => none(sources.flatMap(checkToDos)))
test('names say something', () => none(sources.flatMap(checkNames)))
test('no test sleeps', () => none(sources.flatMap(checkSleeps)))
test('every published function has a doc comment that says what it throws', () =>
  none(sources.flatMap(checkDocComments)))
test('nothing names one machine or one mirror', () =>
  none(texts().flatMap((path) => checkPlaces(path, read(path)))))
test('the lock file names no registry', () => none(checkLock('package-lock.json', read('package-lock.json'))))
test('every version is exact', () => none([...manifests].flatMap(([path, text]) => checkPins(path, text))))

test('functions and files stay below their walls, and what was above them only shrinks', () => {
  const allowed = JSON.parse(read('dev/tidy/ratchet.json')) as Ratchet
  assert.equal(compareWithRatchet(measure(sources), allowed).join('\n'), '')
})

test('every side door exists', () => {
  assert.deepEqual(
    [...sideDoors].filter((path) => !files.includes(path)),
    [],
  )
})

/** Files that people write; binary ones cannot be searched. */
function texts(): readonly string[] {
  return files.filter((path) => !/\.(png|jpe?g|ico|woff2?|gz|zst|avif|webp)$/.test(path))
}

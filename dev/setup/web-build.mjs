// Builds the dashboard when one of the files it is made of has changed since the last build.
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { runQuietly } from './child.mjs'
import { ownNode, root, SetupError, say, secondsSince } from './place.mjs'

/** Everything that ends up in the bundle, or decides how it is made. */
const sources = [
  'web',
  'client/src',
  'client/package.json',
  'protocol/src',
  'protocol/package.json',
  'package-lock.json',
]

/** Inside `dist`, which Vite empties before it builds: an interrupted build leaves no stamp. */
const stampFile = join(root, 'web/dist/.sources')

/** @returns {boolean} whether `web/dist` was built from the sources as they are now. */
export function isWebBuilt() {
  return existsSync(stampFile) && readFileSync(stampFile, 'utf8') === digestOfSources()
}

/** Builds `web/dist` unless it is current. Rejects with a SetupError that holds Vite's output. */
export async function ensureWebBuilt() {
  if (isWebBuilt()) return
  // Taken before the build: a file saved while Vite runs makes the next command build again.
  const digest = digestOfSources()
  const started = performance.now()
  say('Building the dashboard …')
  const vite = join(root, 'node_modules/vite/bin/vite.js')
  const built = await runQuietly(ownNode, [vite, 'build', '--logLevel', 'warn'], { cwd: join(root, 'web') })
  if (built.code !== 0) throw new SetupError(`${built.output.trimEnd()}\n\nThe dashboard could not be built.`)
  writeFileSync(stampFile, digest)
  say(`Built in ${secondsSince(started)}.`)
}

/** @returns {string} a digest over the names and contents of all sources. */
function digestOfSources() {
  const hash = createHash('sha256')
  for (const source of sources) {
    for (const file of filesUnder(join(root, source))) {
      hash
        .update(`${relative(root, file)}\0`)
        .update(readFileSync(file))
        .update('\0')
    }
  }
  return hash.digest('hex')
}

/**
 * @param {string} path
 * @returns {string[]} the file itself, or the files below it in a stable order, without what is made from them.
 */
function filesUnder(path) {
  const made = new Set(['dist', 'node_modules', 'test'])
  /** @param {string} folder @returns {string[]} */
  const walk = (folder) =>
    readdirSync(folder, { withFileTypes: true })
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .flatMap((entry) => {
        if (entry.isDirectory()) return made.has(entry.name) ? [] : walk(join(folder, entry.name))
        return entry.name.includes('.test.') ? [] : [join(folder, entry.name)]
      })
  return path.endsWith('.json') ? [path] : walk(path)
}

// Installs the packages that a command needs, and only when they are missing or not those of the lock file.
// Two sizes: `runtime` is what the product runs on, `full` adds what developers need (tests, peers, corpora).
// Whether an install is current is seen from what is there, so an install by hand counts as well as ours. Two looks:
// npm's own record, node_modules/.package-lock.json, which is written last and so is missing after an interruption;
// and the installed packages themselves, because `npm install --package-lock-only` writes that record too.
import { existsSync, readFileSync } from 'node:fs'
import { delimiter, sep } from 'node:path'
import { runQuietly } from './child.mjs'
import { ownNode, root, SetupError, say, secondsSince } from './place.mjs'

const lockFile = `${root}/package-lock.json`
const recordFile = `${root}/node_modules/.package-lock.json`

/** @typedef {'runtime' | 'full'} Size */
/** @typedef {{ version?: string, integrity?: string, link?: boolean, dev?: boolean, optional?: boolean, devOptional?: boolean }} Entry */
/** @typedef {Record<string, Entry>} Entries */

/**
 * @param {Size} size
 * @returns {boolean} whether the packages of this size are there, in the lock file's versions.
 */
export function isInstalled(size) {
  const wanted = readEntries(lockFile)
  const present = readEntries(recordFile)
  if (!wanted || !present || !existsSync(ownNode)) return false
  return entriesFor(wanted, size).every((entry) => isRecorded(present, entry) && isThere(present, entry))
}

/**
 * Makes sure that the packages of this size are there. Rejects with a SetupError that holds npm's whole output
 * when npm fails.
 * @param {Size} size
 */
export async function ensureInstalled(size) {
  if (isInstalled(size)) return
  const present = readEntries(recordFile)
  // A clone that has the developers' packages keeps them: `npm start` after a pull must not take the tests away.
  await install(present && hasDevPackages(present) ? 'full' : size)
}

/**
 * @param {Entries} wanted entries of package-lock.json.
 * @param {Size} size
 * @returns {(Entry & { path: string })[]} the installed packages among them, without the clone's own folders.
 */
function entriesFor(wanted, size) {
  return Object.entries(wanted)
    .filter(([path, entry]) => /(^|\/)node_modules\//.test(path) && (size === 'full' || !entry.dev))
    .map(([path, entry]) => ({ path, ...entry }))
}

/**
 * @param {Entries} present
 * @param {Entry & { path: string }} entry
 */
function isRecorded(present, entry) {
  const found = present[entry.path]
  // Programs for other platforms are optional, and missing on this one.
  if (!found) return entry.optional === true || entry.devOptional === true
  return found.version === entry.version && found.integrity === entry.integrity && found.link === entry.link
}

/**
 * @param {Entries} present
 * @param {Entry & { path: string }} entry
 */
function isThere(present, { path, link, version }) {
  if (!present[path]) return true
  const manifest = `${root}/${path}/package.json`
  if (link) return existsSync(manifest)
  try {
    return JSON.parse(readFileSync(manifest, 'utf8')).version === version
  } catch {
    return false
  }
}

/**
 * @param {string} file
 * @returns {Entries | undefined}
 */
function readEntries(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages
  } catch {
    // Missing or cut off: both mean that there is no finished install.
    return undefined
  }
}

/** @param {Entries} present */
function hasDevPackages(present) {
  return Object.values(present).some((entry) => entry.dev)
}

/** @param {Size} size */
async function install(size) {
  const started = performance.now()
  say(
    size === 'full'
      ? 'Installing the packages for development (once, about a minute) …'
      : 'Installing the packages that Pulse runs on (once, under a minute) …',
  )
  const args = [
    'ci',
    '--prefer-offline',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    '--ignore-scripts=false',
  ]
  // Scripts and developers' packages are spelled out: a NODE_ENV=production or an `omit` in somebody's own
  // npm settings must not leave out what this size needs.
  args.push(size === 'full' ? '--include=dev' : '--omit=dev')
  const { code, output } = await runNpm(args)
  if (code !== 0) throw new SetupError(explain(output))
  if (!existsSync(ownNode)) {
    throw new SetupError(
      'npm finished, but the package `node` has no program: its install script did not run.',
    )
  }
  say(`Installed in ${secondsSince(started)}.`)
}

/**
 * npm must not run on the Node inside the folder that it is about to empty, so the machine's own is used.
 * @param {string[]} args
 */
async function runNpm(args) {
  const inside = `${root}${sep}`
  const path = (process.env.PATH ?? '').split(delimiter).filter((folder) => !folder.startsWith(inside))
  const env = { ...process.env, PATH: path.join(delimiter) }
  try {
    return await runQuietly('npm', args, { cwd: root, env })
  } catch {
    throw new SetupError('npm was not found on the PATH. Pulse needs Node 20 or newer with npm 10 or newer.')
  }
}

/** @param {string} output */
function explain(output) {
  const lines = [output.trimEnd(), '']
  if (/\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED)\b/.test(output)) {
    lines.push('The package registry cannot be reached, and the package cache does not hold everything.')
    lines.push(
      "Check the network, or npm's own settings `registry`, `proxy` and `offline`, and run it again.",
    )
  } else {
    lines.push('npm could not install the packages; its output is above.')
  }
  return lines.join('\n')
}

// Where things are in a clone, and the one-line notes that the set-up writes about itself.
import { fileURLToPath } from 'node:url'

/** The folder of the clone, without a slash at its end. */
export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/[/\\]$/, '')

/** The Node that the repository brings along as a package; it runs the TypeScript, whatever the machine has. */
export const ownNode = `${root}/node_modules/.bin/node`

/**
 * Writes one line about the set-up to stderr, so that stdout stays the program's own.
 * @param {string} line
 */
export function say(line) {
  process.stderr.write(`${line}\n`)
}

/**
 * @param {number} since a `performance.now()`.
 * @returns {string} the seconds that passed, such as `1.4 s`.
 */
export function secondsSince(since) {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`
}

/** A set-up step failed, and `message` says all that the person needs. */
export class SetupError extends Error {
  /** @override */
  name = 'SetupError'
}

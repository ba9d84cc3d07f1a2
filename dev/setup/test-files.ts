import { globSync, statSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { SetupError } from './place.mjs'

const skipped = new Set(['node_modules', 'dist', 'reports', 'pulse-data', '.services'])

/**
 * The test files that the named files and folders hold, all of the clone without a name, as paths relative to
 * `root` in alphabetical order. Throws a SetupError for a name that holds none: a typing mistake must not pass.
 */
export function findTestFiles(root: string, names: readonly string[]): readonly string[] {
  const places = names.length === 0 ? ['.'] : names
  const found = places.flatMap((name) => {
    const files = testFilesAt(resolve(root, name))
    if (files.length === 0) throw new SetupError(`There is no test file at ${name}.`)
    return files
  })
  return [...new Set(found.map((file) => relative(root, file)))].sort()
}

function testFilesAt(path: string): readonly string[] {
  const kind = statSync(path, { throwIfNoEntry: false })
  if (kind === undefined) return []
  if (kind.isFile()) return path.endsWith('.test.ts') ? [path] : []
  const files = globSync('**/*.test.ts', { cwd: path, exclude: (name) => skipped.has(name) })
  return files.map((file) => join(path, file))
}

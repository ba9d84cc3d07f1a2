import { type Finding, findingsInText } from './source.ts'

const elsewhere = [
  /(?<![\w./-])\/(?:work|root)\/[\w.-]+/g,
  /(?<![\w./-])\/(?:home|Users)\/(?!pulse\b)[a-z]\w+\//g,
  /\b(?:registry\.npmjs\.org|registry\.yarnpkg\.com|repo1?\.maven\.(?:apache\.)?org|pypi\.org|deb\.debian\.org)\b/g,
]

/** Nothing in the repository depends on where one machine keeps things or which mirror it reaches. */
export function checkPlaces(path: string, text: string): readonly Finding[] {
  return elsewhere.flatMap((pattern) =>
    findingsInText(path, text, pattern, (match) => `${match} is of one machine: leave it to the environment`),
  )
}

const exact = /^(?:npm:@?[\w./-]+@)?\d+\.\d+\.\d+(?:-[\w.-]+)?$/

/** Versions are pinned, so that two clones of one commit are the same program. */
export function checkPins(path: string, manifest: string): readonly Finding[] {
  const parsed = JSON.parse(manifest) as Record<string, Record<string, string> | undefined>
  return ['dependencies', 'devDependencies', 'optionalDependencies'].flatMap((group) =>
    Object.entries(parsed[group] ?? {})
      .filter(([, version]) => !exact.test(version))
      .map(([name, version]) => ({ path, line: 1, message: `${name} ${version} is not an exact version` })),
  )
}

/** The lock file serves every registry and mirror: what is not of this repository has no address in it. */
export function checkLock(path: string, lock: string): readonly Finding[] {
  return findingsInText(
    path,
    lock,
    /"resolved": "[a-z+]+:\/\/[^"]*"/g,
    (match) => `${match} names a registry: npm writes none with the settings of .npmrc`,
  )
}

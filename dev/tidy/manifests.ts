import type { Import } from './imports.ts'
import { type Finding, findingAt, isTestCode } from './source.ts'

interface Manifest {
  readonly name?: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
}

const own = /^@pulse\//

/**
 * What a room imports stands in its own package.json: among `dependencies` if the product needs it, for tests and `dev`
 * among `devDependencies` too. The tools of the root are there for tests and `dev` besides. A package of ours that
 * stands there is imported. `manifests` are texts by path.
 */
export function checkManifests(
  imports: readonly Import[],
  manifests: ReadonlyMap<string, string>,
): readonly Finding[] {
  const read = (path: string) => JSON.parse(manifests.get(path) ?? '{}') as Manifest
  const tools = read('package.json').devDependencies ?? {}
  const rooms = [...manifests.keys()]
    .filter((path) => path.includes('/'))
    .map((path) => path.split('/')[0] ?? '')
  return rooms.flatMap((room) => {
    const path = `${room}/package.json`
    const { name, devDependencies = {}, ...product } = read(path)
    // What the user of a published package brings along is there as well.
    const dependencies = { ...product.dependencies, ...product.peerDependencies }
    const used = new Set<string>()
    const told = new Set<string>()
    const missing = imports.flatMap((one) => {
      const wanted = packageOf(one.specifier)
      if (wanted === undefined || wanted === name || !one.from.path.startsWith(`${room}/`)) return []
      used.add(wanted)
      const forTests = room === 'dev' || isTestCode(one.from.path)
      if (wanted in dependencies || (forTests && (wanted in devDependencies || wanted in tools))) return []
      if (told.has(wanted)) return []
      told.add(wanted)
      return [findingAt(one.from, one.node, `${wanted} is missing among the dependencies of ${path}`)]
    })
    const unused = Object.keys({ ...dependencies, ...devDependencies })
      .filter((wanted) => own.test(wanted) && !used.has(wanted))
      .map((wanted) => ({ path, line: 1, message: `${wanted} is not imported here` }))
    return [...missing, ...unused]
  })
}

/** `@pulse/log` of `@pulse/log/groups`; undefined for files of the room and for Node's own modules. */
function packageOf(specifier: string): string | undefined {
  if (/^(\.|node:|\/)/.test(specifier)) return undefined
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

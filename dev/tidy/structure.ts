import { arrows, drivers, isDoor, logDoors, moduleOf, roomOf, wiring } from './doors.ts'
import type { Import } from './imports.ts'
import { type Finding, findingAt, isTestCode } from './source.ts'

const at = ({ from, node }: Import, message: string): Finding => findingAt(from, node, message)

/** Rooms see each other only along the arrows, and never by a path from one room into another. */
export function checkArrows(imports: readonly Import[]): readonly Finding[] {
  return imports.flatMap((one) => {
    const [room, target] = [roomOf(one.from.path), one.target && roomOf(one.target)]
    if (target === undefined || target === room || arrows[room] === undefined) return []
    if (one.specifier.startsWith('.')) return [at(one, `reach ${target} by its package name, not by a path`)]
    const seen = [...arrows[room], ...(isTestCode(one.from.path) ? ['dev'] : [])]
    return seen.includes(target) ? [] : [at(one, `${room} must not see ${target}`)]
  })
}

/**
 * A module is used through its front door. Files that lie right in `server/src` belong to no module: they put the
 * modules together, so they may take any part of one (its routes, its reporter).
 */
export function checkDoors(imports: readonly Import[]): readonly Finding[] {
  return imports.flatMap((one) => {
    const { target } = one
    if (target === undefined) return []
    const [room, other] = [roomOf(one.from.path), roomOf(target)]
    if (other === 'log' && room === 'server' && !logDoors.has(target) && !drivers.has(target))
      return [at(one, `${target} is inside the log: use one of its doors`)]
    if (isDoor(target) || moduleOf(one.from.path) === moduleOf(target)) return []
    // Tests of the whole server may open a part alone; a module's own tests may not look into its neighbours.
    if (/^(server\/src\/[^/]+\.ts$|server\/test\/|dev\/)/.test(one.from.path)) return []
    return [at(one, `${target} is inside the module ${moduleOf(target)}: use its front door`)]
  })
}

/** Only the wiring chooses drivers; tests and dev may open one to judge it. */
export function checkDrivers(imports: readonly Import[]): readonly Finding[] {
  return imports.flatMap((one) => {
    if (one.target === undefined || !drivers.has(one.target)) return []
    const { path } = one.from
    const free = path === wiring || isTestCode(path) || /^(dev|log)\//.test(path)
    return free ? [] : [at(one, `only ${wiring} wires drivers`)]
  })
}

/** A path that climbs far ties a file to the place where it happens to lie. */
export function checkClimbs(imports: readonly Import[]): readonly Finding[] {
  return imports
    .filter(({ specifier }) => specifier.startsWith('../../'))
    .map((one) => at(one, `${one.specifier} climbs more than one folder`))
}

/**
 * No file needs itself, however far around; types are erased and may point back. Modules must not need each other
 * in a circle even by types, for then they are one module in two folders.
 */
export function checkCycles(imports: readonly Import[]): readonly Finding[] {
  const files = imports.filter(({ typeOnly }) => !typeOnly)
  const modules = imports.filter(({ from, target }) => {
    const [one, other] = [moduleOf(from.path), target && moduleOf(target)]
    return one !== undefined && other !== undefined && one !== other && !isTestCode(from.path)
  })
  return [
    ...circles(files, (one) => [one.from.path, one.target]),
    ...circles(modules, (one) => [moduleOf(one.from.path), one.target && moduleOf(one.target)]),
  ]
}

type Edge = readonly [string | undefined, string | undefined]

/** One finding for each import that closes a circle, at that import. */
function circles(imports: readonly Import[], edgeOf: (one: Import) => Edge): readonly Finding[] {
  const next = new Map<string, Map<string, Import>>()
  for (const one of imports) {
    const [from, to] = edgeOf(one)
    if (from === undefined || to === undefined) continue
    next.set(from, (next.get(from) ?? new Map()).set(to, one))
  }
  const findings: Finding[] = []
  const done = new Set<string>()
  const visit = (name: string, trail: readonly string[]) => {
    for (const [to, one] of next.get(name) ?? []) {
      const start = [...trail, name].indexOf(to)
      if (start >= 0)
        findings.push(at(one, `a circle: ${[...trail, name].slice(start).join(' -> ')} -> ${to}`))
      else if (!done.has(to)) visit(to, [...trail, name])
    }
    done.add(name)
  }
  for (const name of next.keys()) if (!done.has(name)) visit(name, [])
  return findings
}

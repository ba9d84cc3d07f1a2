import { basename } from 'node:path/posix'
import ts from 'typescript'
import { roomOf } from './doors.ts'
import { type Finding, findingAt, findingsInText, isTestCode, nodesOf, type Source } from './source.ts'

const rooms = new Set(['protocol', 'log', 'server', 'client', 'cli', 'web'])

/** Configuration is read once: only files named `config.ts` of the product see the environment. */
export function checkEnvironment(source: Source): readonly Finding[] {
  if (!rooms.has(roomOf(source.path)) || isTestCode(source.path) || basename(source.path) === 'config.ts')
    return []
  return nodesOf(source)
    .filter((node) => ts.isPropertyAccessExpression(node) || ts.isElementAccessExpression(node))
    .filter((node) => /^(globalThis\.)?process(\.env$|\[)/.test(node.getText(source.tree)))
    .map((node) => findingAt(source, node, 'only config.ts reads the environment'))
}

/** Default exports get a new name at every import; tools that ask for one have a file `*.config.ts`. */
export function checkDefaultExports(source: Source): readonly Finding[] {
  if (/\.config\.ts$/.test(source.path)) return []
  return nodesOf(source)
    .filter(
      (node) =>
        ts.isExportAssignment(node) ||
        (ts.canHaveModifiers(node) &&
          ts.getModifiers(node)?.some(({ kind }) => kind === ts.SyntaxKind.DefaultKeyword) === true),
    )
    .map((node) => findingAt(source, node, 'a default export: give it a name'))
}

/** `any` switches the compiler off for everything that it touches. */
export function checkAny(source: Source): readonly Finding[] {
  return nodesOf(source)
    .filter((node) => node.kind === ts.SyntaxKind.AnyKeyword)
    .map((node) => findingAt(source, node, 'any: say the type, or unknown'))
}

/** A to-do without an issue is a wish that nobody will read. */
export function checkToDos(source: Source): readonly Finding[] {
  const pattern = /^.*(?:\/\/|\/\*|^\s*\*).*\b(?:TODO|FIXME|XXX|HACK)\b(?!.*#\d).*$/gm
  return findingsInText(
    source.path,
    source.text,
    pattern,
    (line) => `a to-do without an issue number: ${line}`,
  )
}

const emptyNames = /(?:Manager|Helper|Helpers|Service|Impl|Base)$/
const emptyFiles = /^(?:index|utils?|types?|helpers?|common|misc|constants)\.(?:ts|tsx|mjs)$/

/** Names that could stand for anything say nothing. */
export function checkNames(source: Source): readonly Finding[] {
  const file = basename(source.path)
  const named = emptyFiles.test(file)
    ? [{ path: source.path, line: 1, message: `name ${file} for the thing inside` }]
    : []
  const declared = nodesOf(source).flatMap((node) => {
    const isNamed =
      ts.isClassDeclaration(node) || ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)
    if (!isNamed || !node.name || !emptyNames.test(node.name.text)) return []
    return [findingAt(source, node.name, `${node.name.text}: say what it is or does`)]
  })
  return [...named, ...declared]
}

/**
 * Tests wait for conditions. A bare timer is either too short on a slow day or too long on all others; it may stand
 * only inside a loop, where it is the pause between two looks.
 */
export function checkSleeps(source: Source): readonly Finding[] {
  if (!isTestCode(source.path)) return []
  return nodesOf(source)
    .filter((node) => ts.isAwaitExpression(node) && isBareTimer(node.expression) && !isInLoop(node))
    .map((node) => findingAt(source, node, 'a test that sleeps: await the condition instead'))
}

function isBareTimer(node: ts.Expression): boolean {
  const text = node.getText()
  if (/^(?:setTimeout|sleep|wait|delay|pause)\(\s*[\d_]+\s*\)$/.test(text)) return true
  return /^new Promise(?:<\w+>)?\(\s*\(?(\w+)\)?\s*=>\s*\{?\s*setTimeout\(\s*\1\b[^)]*\)\s*;?\s*\}?\s*\)$/.test(
    text,
  )
}

function isInLoop(node: ts.Node): boolean {
  for (let at: ts.Node | undefined = node.parent; at; at = at.parent) {
    if (ts.isIterationStatement(at, false)) return true
    if (ts.isFunctionLike(at)) return false
  }
  return false
}

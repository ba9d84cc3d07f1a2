import ts from 'typescript'
import { nodesOf, type Source } from './source.ts'

/** Lines, comments and blank ones included: what a reader has to scroll. */
const walls = { functionLinesMax: 70, fileLinesMax: 500 } as const

/** What stands above a wall: a file by its path, a function by path and name, with its lines. */
export type Ratchet = Readonly<Record<string, number>>

/** Everything in these files that is above its wall. */
export function measure(sources: readonly Source[]): Ratchet {
  const found: Record<string, number> = {}
  for (const source of sources) {
    const lines = source.text.trimEnd().split('\n').length
    if (lines > walls.fileLinesMax) found[source.path] = lines
    for (const node of nodesOf(source)) {
      if (!ts.isFunctionLike(node) || !('body' in node) || !node.body) continue
      const length = linesOf(source, node) - linesOfTestsIn(source, node)
      if (length > walls.functionLinesMax) found[`${source.path} ${nameOf(node)}`] = length
    }
  }
  return found
}

/**
 * Compares what is with what was allowed. The list may only shrink: something new or longer is refused, and an
 * entry that is not needed any more, or could be smaller, must be taken back. Gives one sentence for each.
 */
export function compareWithRatchet(found: Ratchet, allowed: Ratchet): readonly string[] {
  const longer = Object.entries(found)
    .filter(([name, lines]) => lines > (allowed[name] ?? 0))
    .map(([name, lines]) =>
      name in allowed
        ? `${name}: ${lines} lines, was ${allowed[name]}: it may only get shorter`
        : `${name}: ${lines} lines are above the wall (functions ${walls.functionLinesMax}, files ${walls.fileLinesMax})`,
    )
  const shorter = Object.entries(allowed)
    .filter(([name, lines]) => lines > (found[name] ?? 0))
    .map(
      ([name]) =>
        `${name}: ${found[name] ?? 'below the wall'} now: ${name in found ? 'lower' : 'remove'} its entry`,
    )
  return [...longer, ...shorter]
}

/** A suite is a list of tests: each of them is measured by itself, and does not make the list longer. */
function linesOfTestsIn(source: Source, node: ts.Node): number {
  let lines = 0
  const visit = (child: ts.Node) => {
    if (isTestBody(child)) lines += linesOf(source, child)
    else ts.forEachChild(child, visit)
  }
  ts.forEachChild(node, visit)
  return lines
}

function isTestBody(node: ts.Node): boolean {
  if (!ts.isFunctionLike(node) || !ts.isCallExpression(node.parent)) return false
  return /^(?:test|it|describe|t\.test|test\.(?:only|skip))$/.test(node.parent.expression.getText())
}

function linesOf(source: Source, node: ts.Node): number {
  const line = (position: number) => source.tree.getLineAndCharacterOfPosition(position).line
  return line(node.getEnd()) - line(node.getStart(source.tree)) + 1
}

function nameOf(node: ts.SignatureDeclaration): string {
  if (node.name) return node.name.getText()
  const { parent } = node
  if (ts.isVariableDeclaration(parent) || ts.isPropertyAssignment(parent)) return parent.name.getText()
  const call = ts.isCallExpression(parent) ? parent.arguments[0] : undefined
  // A test is known by its title.
  return call && ts.isStringLiteralLike(call) ? call.text : 'a function without a name'
}

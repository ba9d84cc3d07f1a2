import ts from 'typescript'
import { logDoors, moduleOf, roomOf, sideDoors } from './doors.ts'
import { type Finding, findingAt, isTestCode, type Source } from './source.ts'

/** Whether what this file exports is used outside its module or room. */
function isPublished(path: string): boolean {
  if (isTestCode(path) || !path.endsWith('.ts')) return false
  const name = moduleOf(path)
  if (name !== undefined) return path === `server/src/${name}/${name}.ts` || sideDoors.has(path)
  if (roomOf(path) === 'protocol') return true
  return logDoors.has(path) || path === 'server/src/server.ts' || path === 'client/src/client.ts'
}

/**
 * Every published function has a doc comment of at least one sentence; if it throws, the comment says so. Units
 * stand in the names of parameters, or else in the comment.
 */
export function checkDocComments(source: Source): readonly Finding[] {
  if (!isPublished(source.path)) return []
  return source.tree.statements.flatMap((statement) => publishedFunctions(source, statement))
}

function publishedFunctions(source: Source, statement: ts.Statement): readonly Finding[] {
  const exported =
    ts.canHaveModifiers(statement) &&
    ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) === true
  if (!exported) return []
  if (ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement))
    return judge(source, statement, statement.name?.text ?? 'it', statement)
  if (!ts.isVariableStatement(statement)) return []
  return statement.declarationList.declarations.flatMap((declared) => {
    const value = declared.initializer
    if (!value || !(ts.isArrowFunction(value) || ts.isFunctionExpression(value))) return []
    return judge(source, statement, declared.name.getText(source.tree), value)
  })
}

function judge(source: Source, statement: ts.Statement, name: string, body: ts.Node): readonly Finding[] {
  const comment = docComment(source, statement)
  if (comment === undefined)
    return [findingAt(source, statement, `${name} is published without a doc comment`)]
  if (!/\w+\s+\S+.*[.!?:)`]$/s.test(comment))
    return [findingAt(source, statement, `the doc comment of ${name} is not a sentence: ${comment}`)]
  if (ts.isFunctionLike(body) && throwsItself(body) && !/throw|reject|refus|Error/i.test(comment))
    return [findingAt(source, statement, `${name} throws, and its doc comment does not say when`)]
  return []
}

/** The text of the doc comment right above, without its stars. */
function docComment(source: Source, node: ts.Node): string | undefined {
  const ranges = ts.getLeadingCommentRanges(source.text, node.getFullStart()) ?? []
  const last = ranges
    .map(({ pos, end }) => source.text.slice(pos, end))
    .findLast((text) => text.startsWith('/**'))
  return last
    ?.slice(3, -2)
    .replace(/^\s*\*? ?/gm, '')
    .trim()
}

/** Whether the function itself throws; what functions inside it throw is their own matter. */
function throwsItself(node: ts.Node): boolean {
  let throws = false
  const visit = (child: ts.Node) => {
    if (ts.isThrowStatement(child)) throws = true
    if (!ts.isFunctionLike(child)) ts.forEachChild(child, visit)
  }
  ts.forEachChild(node, visit)
  return throws
}

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'

/** One file of code, parsed. Paths are relative to the repository, with forward slashes. */
export interface Source {
  readonly path: string
  readonly text: string
  readonly tree: ts.SourceFile
}

/** A broken rule: where, and what to do about it. */
export interface Finding {
  readonly path: string
  readonly line: number
  readonly message: string
}

const codeEndings = /\.(ts|tsx|mjs)$/

/**
 * Code that only tests and measurements run: it may see more than the product may. Besides tests, suites and benches
 * that is the world a test opens (`-world`,
 * `-trial`), an engine that a suite starts and breaks (`-engine`), and a suite's data.
 */
export function isTestCode(path: string): boolean {
  return /(\.test|\.suite|\.bench|-world|-trial|-engine)\.ts$|\/suite-|\/test\//.test(path)
}

/** Parses one file; samples in tests use it with a text of their own. */
export function parseSource(path: string, text: string): Source {
  const kind = path.endsWith('.tsx')
    ? ts.ScriptKind.TSX
    : path.endsWith('.mjs')
      ? ts.ScriptKind.JS
      : ts.ScriptKind.TS
  return { path, text, tree: ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true, kind) }
}

/**
 * Every file that git knows or would add, as paths relative to `root`. Throws when `root` is no clone: without
 * git nothing says which files are ours and which were made.
 */
export function listFiles(root: string): readonly string[] {
  const options = { cwd: root, encoding: 'utf8', maxBuffer: 1e8 } as const
  const listed = execFileSync('git', ['ls-files', '-z', '-co', '--exclude-standard'], options)
  return [...new Set(listed.split('\0'))].filter((path) => path !== '' && existsSync(join(root, path))).sort()
}

/** Reads and parses the code among these files. */
export function readSources(root: string, files: readonly string[]): readonly Source[] {
  return files
    .filter((path) => codeEndings.test(path))
    .map((path) => parseSource(path, readFileSync(join(root, path), 'utf8')))
}

/** A finding at a node. */
export function findingAt(source: Source, node: ts.Node, message: string): Finding {
  const line = source.tree.getLineAndCharacterOfPosition(node.getStart(source.tree)).line + 1
  return { path: source.path, line, message }
}

/** A finding at each place of the text that the pattern matches; `pattern` needs the flag `g`. */
export function findingsInText(
  path: string,
  text: string,
  pattern: RegExp,
  message: (match: string) => string,
): readonly Finding[] {
  return [...text.matchAll(pattern)].map((match) => ({
    path,
    line: text.slice(0, match.index).split('\n').length,
    message: message(match[0].trim()),
  }))
}

/** All nodes of a file, parents before children. */
export function nodesOf(source: Source): readonly ts.Node[] {
  const nodes: ts.Node[] = []
  const visit = (node: ts.Node) => {
    nodes.push(node)
    ts.forEachChild(node, visit)
  }
  visit(source.tree)
  return nodes
}

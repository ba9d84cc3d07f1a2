import { dirname, join } from 'node:path/posix'
import ts from 'typescript'
import { nodesOf, type Source } from './source.ts'

/** One import, re-export, dynamic import or `import.meta.resolve`. */
export interface Import {
  readonly from: Source
  readonly node: ts.Node
  /** As written, such as `../http/http.ts` or `@pulse/log`. */
  readonly specifier: string
  /** The repository's file that it means; undefined for packages that are not ours. */
  readonly target: string | undefined
  /** It is erased before the code runs. */
  readonly typeOnly: boolean
}

/** The `exports` of each of our packages: package name -> its folder and its subpaths with their files. */
export type Packages = ReadonlyMap<
  string,
  { readonly folder: string; readonly exports: ReadonlyMap<string, string> }
>

/** Reads the packages out of package.json texts by path. Entries without a name are left out. */
export function readPackages(manifests: ReadonlyMap<string, string>): Packages {
  const packages = new Map<string, { folder: string; exports: Map<string, string> }>()
  for (const [path, text] of manifests) {
    const { name, exports = {} } = JSON.parse(text) as { name?: string; exports?: Record<string, string> }
    if (name !== undefined)
      packages.set(name, { folder: dirname(path), exports: new Map(Object.entries(exports)) })
  }
  return packages
}

/** All imports of these files, with the files that they mean. */
export function importsOf(sources: readonly Source[], packages: Packages): readonly Import[] {
  return sources.flatMap((from) =>
    nodesOf(from).flatMap((node) => {
      const specifier = specifierOf(node)
      if (specifier === undefined) return []
      return [
        {
          from,
          node,
          specifier,
          target: resolve(from.path, specifier, packages),
          typeOnly: isTypeOnly(node),
        },
      ]
    }),
  )
}

function specifierOf(node: ts.Node): string | undefined {
  const named =
    ts.isImportDeclaration(node) || ts.isExportDeclaration(node)
      ? node.moduleSpecifier
      : ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)
        ? node.argument.literal
        : ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
          ? node.arguments[0]
          : ts.isCallExpression(node) && /^import\.meta\.resolve$/.test(node.expression.getText())
            ? node.arguments[0]
            : undefined
  return named && ts.isStringLiteralLike(named) ? named.text : undefined
}

function isTypeOnly(node: ts.Node): boolean {
  if (ts.isImportTypeNode(node)) return true
  if (ts.isExportDeclaration(node)) return node.isTypeOnly
  if (!ts.isImportDeclaration(node)) return false
  const clause = node.importClause
  if (!clause) return false
  if (clause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true
  const names = clause.namedBindings
  if (clause.name || !names || !ts.isNamedImports(names)) return false
  return names.elements.length > 0 && names.elements.every((element) => element.isTypeOnly)
}

function resolve(from: string, specifier: string, packages: Packages): string | undefined {
  if (specifier.startsWith('.')) return join(dirname(from), specifier)
  const [scope, name, ...rest] = specifier.split('/')
  const found = packages.get(`${scope}/${name}`)
  if (!found) return undefined
  const wanted = rest.length === 0 ? '.' : `./${rest.join('/')}`
  const exact = found.exports.get(wanted)
  if (exact !== undefined) return join(found.folder, exact)
  const pattern = found.exports.get('./*')
  return pattern === undefined ? found.folder : join(found.folder, pattern.replace('*', rest.join('/')))
}

import { join } from 'node:path'
import ts from 'typescript'

/** A type of a package's source: the file that exports it, and its name. */
export interface TypeName {
  readonly file: string
  readonly name: string
}

/**
 * Writes the declarations of these types, and of all that they mention, into one text that needs no package. Types that
 * are inferred from zod's schemas are written out as what they come to; interfaces stay as they are, with their
 * comments. Throws when a name is not there, or two different types have one name.
 */
export function declareTypes(root: string, names: readonly TypeName[]): string {
  const files = [...new Set(names.map(({ file }) => file))]
  const program = ts.createProgram(files, {
    ...{ target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext, strict: true, noEmit: true },
    ...{ moduleResolution: ts.ModuleResolutionKind.NodeNext, allowImportingTsExtensions: true },
    ...{ exactOptionalPropertyTypes: true, skipLibCheck: true, types: [], baseUrl: root },
  })
  const checker = program.getTypeChecker()
  const written = new Map<string, { readonly symbol: ts.Symbol; readonly text: string }>()

  const declare = (symbol: ts.Symbol): void => {
    const known = written.get(symbol.name)
    if (known?.symbol === symbol) return
    if (known) throw new Error(`two types are called ${symbol.name}`)
    const declaration = symbol.declarations?.find(
      (one) => ts.isInterfaceDeclaration(one) || ts.isTypeAliasDeclaration(one),
    )
    if (!declaration) throw new Error(`${symbol.name} is no type`)
    if (ts.isInterfaceDeclaration(declaration)) {
      written.set(symbol.name, { symbol, text: textWithComment(declaration) })
      mentionedBy(declaration, checker).forEach(declare)
    } else {
      const { NoTruncation, InTypeAlias, MultilineObjectLiterals } = ts.TypeFormatFlags
      const flags = NoTruncation | InTypeAlias | MultilineObjectLiterals
      const type = checker.getDeclaredTypeOfSymbol(symbol)
      written.set(symbol.name, {
        symbol,
        text: `${commentOf(declaration)}export type ${symbol.name} = ${checker.typeToString(type, undefined, flags)}`,
      })
    }
  }

  for (const { file, name } of names) declare(exported(program, checker, { file: join(file), name }))
  return `${[...written.values()].map(({ text }) => text).join('\n\n')}\n`
}

function exported(program: ts.Program, checker: ts.TypeChecker, { file, name }: TypeName): ts.Symbol {
  const source = program.getSourceFile(file)
  const module = source && checker.getSymbolAtLocation(source)
  const found = module && checker.getExportsOfModule(module).find((one) => one.name === name)
  if (!found) throw new Error(`${file} exports no ${name}`)
  return found
}

/** Types of our own that an interface names. */
function mentionedBy(declaration: ts.InterfaceDeclaration, checker: ts.TypeChecker): ts.Symbol[] {
  const found: ts.Symbol[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isTypeReferenceNode(node)) {
      const symbol = checker.getSymbolAtLocation(node.typeName)
      const target = symbol && symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
      const isOurs = target?.declarations?.some((one) => !one.getSourceFile().isDeclarationFile)
      if (target && isOurs) found.push(target)
    }
    ts.forEachChild(node, visit)
  }
  visit(declaration)
  return found
}

function textWithComment(declaration: ts.InterfaceDeclaration): string {
  const text = declaration.getText()
  return `${commentOf(declaration)}${text.startsWith('export') ? text : `export ${text}`}`
}

function commentOf(declaration: ts.Node): string {
  const text = declaration.getSourceFile().text
  const ranges = ts.getLeadingCommentRanges(text, declaration.getFullStart()) ?? []
  const last = ranges.at(-1)
  return last && text.startsWith('/**', last.pos) ? `${text.slice(last.pos, last.end)}\n` : ''
}

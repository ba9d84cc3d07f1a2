import { execFile } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { declareTypes, type TypeName } from './wire-types.ts'

const run = promisify(execFile)

/** What users of the package may import, by the source that it is made of. */
const entries = { '.': 'client', './calls': 'calls', './react': 'react' } as const

/** Where the protocol's words lie in the package. Those that are only types are in one file without code. */
const wireTypes = 'protocol-types'

const specifier = /(['"])@pulse\/protocol\/([\w-]+)\1/g
const typeImport = /(?:import|export) (?:type )?\{([^}]*)\} from ['"]@pulse\/protocol\/([\w-]+)['"]/g

/**
 * Builds the package `@pulse/client` as it is published into `out`, which is emptied: JavaScript and declarations by
 * `tsc`, with what it needs of the protocol inside, so that it depends on nothing. `root` is the repository.
 */
export async function buildClientPackage(root: string, out: string): Promise<void> {
  const built = await mkdtemp(join(tmpdir(), 'pulse-client-build-'))
  try {
    await compile(root, built)
    await rm(out, { recursive: true, force: true })
    await mkdir(join(out, 'protocol'), { recursive: true })
    const names = await readdir(join(built, 'client/src'))
    const texts = new Map<string, string>()
    for (const name of names) texts.set(name, await readFile(join(built, 'client/src', name), 'utf8'))
    const modules = modulesWithCode(texts)
    for (const module of modules) await moveModule(built, out, module)
    const types = typesOf(root, texts, modules)
    await writeFile(join(out, 'protocol', `${wireTypes}.d.ts`), declareTypes(root, types))
    for (const [name, text] of texts) await writeFile(join(out, name), pointInside(text, modules))
    await copyFile(join(root, 'client/README.md'), join(out, 'README.md'))
    await copyFile(join(root, 'LICENSE'), join(out, 'LICENSE'))
    await writeFile(join(out, 'package.json'), `${JSON.stringify(await manifest(root), null, 2)}\n`)
  } finally {
    await rm(built, { recursive: true, force: true })
  }
}

async function compile(root: string, built: string): Promise<void> {
  const project = join(built, 'tsconfig.json')
  const settings = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: {
      ...{ noEmit: false, declaration: true, rewriteRelativeImportExtensions: true },
      ...{ allowJs: false, checkJs: false, rootDir: root, outDir: built },
      typeRoots: [join(root, 'node_modules/@types')],
      // By their sources and not as packages, whose files are not compiled.
      paths: { '@pulse/protocol/*': [join(root, 'protocol/src/*.ts')] },
    },
    include: [],
    files: Object.values(entries).map((name) => join(root, 'client/src', `${name}.ts`)),
  }
  await writeFile(project, JSON.stringify(settings))
  await run(join(root, 'node_modules/.bin/tsc'), ['-p', project], { cwd: root }).catch((error: unknown) => {
    throw new Error(`tsc: ${(error as { stdout?: string }).stdout}`, { cause: error })
  })
}

/** Modules of the protocol whose code the package needs. */
function modulesWithCode(texts: ReadonlyMap<string, string>): ReadonlySet<string> {
  const code = [...texts].filter(([name]) => name.endsWith('.js')).map(([, text]) => text)
  return new Set(code.flatMap((text) => [...text.matchAll(specifier)].map(([, , module = '']) => module)))
}

/** Takes a module of the protocol, and those that it needs, along as they are. */
async function moveModule(built: string, out: string, module: string): Promise<void> {
  for (const ending of ['js', 'd.ts']) {
    const from = join(built, 'protocol/src', `${module}.${ending}`)
    const text = await readFile(from, 'utf8').catch(() => undefined)
    // Another one has needed it already.
    if (text === undefined) return
    if (text.includes('zod')) throw new Error(`the code of ${module} needs zod, which has no place in a page`)
    await rm(from)
    await writeFile(join(out, 'protocol', `${module}.${ending}`), pointInside(text, new Set()))
    for (const [, needed = ''] of text.matchAll(/from ['"]\.\/([\w-]+)\.[jt]s['"]/g))
      await moveModule(built, out, needed)
  }
}

function typesOf(root: string, texts: ReadonlyMap<string, string>, modules: ReadonlySet<string>): TypeName[] {
  const declarations = [...texts].filter(([name]) => name.endsWith('.d.ts')).map(([, text]) => text)
  return declarations.flatMap((text) =>
    [...text.matchAll(typeImport)].flatMap(([, list = '', module = '']) =>
      modules.has(module)
        ? []
        : list
            .split(',')
            .map(
              (name) =>
                name
                  .replace(/^\s*type\s/, '')
                  .split(' as ')[0]
                  ?.trim() ?? '',
            )
            .filter((name) => name !== '')
            .map((name) => ({ file: join(root, 'protocol/src', `${module}.ts`), name })),
    ),
  )
}

/** Points what is imported at the files of the package. */
const pointInside = (text: string, modules: ReadonlySet<string>) =>
  text
    .replaceAll(
      specifier,
      (_all, quote: string, module: string) =>
        `${quote}./protocol/${modules.has(module) ? module : wireTypes}.js${quote}`,
    )
    // In declarations tsc leaves the endings of the source.
    .replaceAll(/(from ['"]\.[^'"]*)\.ts(['"])/g, '$1.js$2')

async function manifest(root: string): Promise<object> {
  const own = JSON.parse(await readFile(join(root, 'client/package.json'), 'utf8')) as Record<string, unknown>
  const exports = Object.entries(entries).map(([path, name]) => [
    path,
    { types: `./${name}.d.ts`, default: `./${name}.js` },
  ])
  const { name, version, description, license, keywords, peerDependencies, peerDependenciesMeta } = own
  return {
    ...{ name, version, description, license, keywords },
    ...{ type: 'module', sideEffects: false, engines: { node: '>=22' } },
    exports: { ...Object.fromEntries(exports), './package.json': './package.json' },
    files: ['*.js', '*.d.ts', 'protocol'],
    ...{ peerDependencies, peerDependenciesMeta },
    publishConfig: { access: 'public' },
  }
}

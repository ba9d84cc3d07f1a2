import { access, constants, cp, mkdir, mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, parse, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Where installed things are remembered between runs; git ignores it. */
export const cacheFolder = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..', '.services')

/** A new folder under the machine's folder for temporary files; whoever makes it removes it. */
export function temporaryFolder(name: string): Promise<string> {
  return mkdtemp(join(tmpdir(), `pulse-${name}-`))
}

/** Removes a folder and what is in it, also if it is not there. */
export function removeFolder(path: string): Promise<void> {
  return rm(path, { recursive: true, force: true, maxRetries: 5 })
}

/** The full path of a program on PATH, or undefined. */
export async function findProgram(...names: readonly string[]): Promise<string | undefined> {
  for (const name of names)
    for (const folder of (process.env.PATH ?? '').split(delimiter)) {
      const path = join(folder, name)
      if (folder !== '' && (await runs(path))) return path
    }
  return undefined
}

async function runs(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}

/** A TCP port of the loopback address that nobody listened on a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((done, failed) => server.once('error', failed).listen(0, '127.0.0.1', done))
  const address = server.address()
  await new Promise((done) => server.close(done))
  if (address === null || typeof address === 'string') throw new Error('the system gave no port')
  return address.port
}

export interface User {
  readonly uid: number
  readonly gid: number
}

/** An unprivileged user to run a program as when we are root; undefined if we are not. */
export async function unprivilegedUser(): Promise<User | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'))
  for (const name of ['postgres', 'nobody']) {
    const line = lines.find((fields) => fields[0] === name)
    if (line) return { uid: Number(line[2]), gid: Number(line[3]) }
  }
  throw new Error('this runs as root, and there is neither a user postgres nor nobody to run PostgreSQL as')
}

/**
 * The folder itself if everybody may enter it and all folders above, else a copy that everybody may enter.
 * Copies are kept under the system's folder for temporary files by the folder's own time, so one is made once.
 */
export async function enterableCopy(folder: string, name: string): Promise<string> {
  if (await everybodyMayEnter(folder)) return folder
  const stamp = Math.trunc((await stat(folder)).mtimeMs).toString(36)
  const target = join(tmpdir(), `pulse-${name}-${process.arch}-${stamp}`)
  if (await runs(target)) return target
  const half = await temporaryFolder(`${name}-copy`)
  await mkdir(half, { recursive: true, mode: 0o755 })
  await cp(folder, join(half, 'tree'), { recursive: true, verbatimSymlinks: true })
  // A rename is whole or not at all; if another process was faster, its copy is as good as ours.
  await rename(join(half, 'tree'), target).catch(async (error: unknown) => {
    if (!(await runs(target))) throw error
  })
  await removeFolder(half)
  return target
}

async function everybodyMayEnter(folder: string): Promise<boolean> {
  const root = parse(folder).root
  for (let at = folder; ; at = dirname(at)) {
    if (((await stat(at)).mode & 0o001) === 0) return false
    if (at === root) return true
  }
}

import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

/** A server and the key for it, saved by `pulse login`. */
export interface Context {
  readonly url: string
  readonly key: string
}

/** Reads the saved context; undefined if there is none. */
export async function readContext(file: string): Promise<Context | undefined> {
  try {
    const saved: unknown = JSON.parse(await readFile(file, 'utf8'))
    return isContext(saved) ? saved : undefined
  } catch {
    return undefined
  }
}

const isContext = (saved: unknown): saved is Context =>
  typeof saved === 'object' &&
  saved !== null &&
  'url' in saved &&
  'key' in saved &&
  typeof saved.url === 'string' &&
  typeof saved.key === 'string' &&
  URL.canParse(saved.url)

/** Saves the context so that only its owner can read it. Throws the system's error. */
export async function saveContext(file: string, context: Context): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  // Written aside and moved: the mode of an existing file would otherwise stay what it was.
  const aside = `${file}.${process.pid}`
  await writeFile(aside, `${JSON.stringify(context)}\n`, { mode: 0o600 })
  await rename(aside, file)
}

/** Forgets the saved context, if there is one. */
export async function forgetContext(file: string): Promise<void> {
  await rm(file, { force: true })
}

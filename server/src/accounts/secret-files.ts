import { randomBytes } from 'node:crypto'
import { chmod, link, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * The text of a file that only its owner may read; `make` gives its first content. Servers that start together agree on
 * one content. Rejects with a system error if the folder cannot be written.
 */
export async function readOrMakeSecret(
  path: string,
  make: () => string,
): Promise<{ text: string; made: boolean }> {
  const found = await readSecret(path)
  if (found !== undefined) return { text: found, made: false }
  const text = make()
  if (await writeNew(path, text)) return { text, made: true }
  const theirs = await readSecret(path)
  if (theirs === undefined) throw new Error(`${path} is empty; remove it, then start again`)
  return { text: theirs, made: false }
}

/** Puts other content into such a file, at once or not at all. */
export async function replaceSecret(path: string, text: string): Promise<void> {
  await rm(path, { force: true })
  if (!(await writeNew(path, text))) throw new Error(`${path} was made by another process at the same moment`)
}

async function readSecret(path: string): Promise<string | undefined> {
  try {
    const text = (await readFile(path, 'utf8')).trim()
    const { mode } = await stat(path)
    // A copy or a restore may have widened it.
    if ((mode & 0o077) !== 0) await chmod(path, 0o600)
    return text === '' ? undefined : text
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** True if the file is ours now, false if it was there. A crash leaves no half-written secret: the name comes last. */
async function writeNew(path: string, text: string): Promise<boolean> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const draft = `${path}.${randomBytes(6).toString('hex')}`
  try {
    await writeFile(draft, `${text}\n`, { mode: 0o600, flag: 'wx', flush: true })
    await link(draft, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    await rm(draft, { force: true })
  }
}

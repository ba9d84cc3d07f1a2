import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, link, mkdir, open, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ConfigError } from '../config/config.ts'

/**
 * The text of a file that only its owner may read; `make` gives its first content. Servers that start together agree on
 * one content, and a power cut leaves the whole file or none. Rejects with ConfigError for a file that somebody else
 * may have put there or that cannot be read, with a system error if the folder cannot be written.
 */
export async function readOrMakeSecret(path: string, make: () => string): Promise<string> {
  const found = await readSecret(path)
  if (found !== undefined) return found
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const text = make()
  const made = await place(path, text, async (draft) => await link(draft, path).then(() => true, isThere))
  if (made) return text
  const theirs = await readSecret(path)
  if (theirs === undefined) throw wrong(`${path} is empty; remove it, then start again`)
  return theirs
}

/** Puts other content into such a file, at once or not at all. */
export async function replaceSecret(path: string, text: string): Promise<void> {
  await place(path, text, async (draft) => await rename(draft, path))
}

/**
 * The text of such a file; undefined if there is none or nothing in it. A link is not followed: whoever can put one here
 * could have us trust a text that everybody knows, or close a file of the system. Rejects with ConfigError.
 */
export async function readSecret(path: string): Promise<string | undefined> {
  let file: FileHandle
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    const why = code === 'ELOOP' ? 'is a link; put the file itself there' : `cannot be read (${code})`
    throw wrong(`${path} ${why}`, { cause: error })
  }
  try {
    await checkOwner(file, path)
    const text = (await file.readFile('utf8')).trim()
    return text === '' ? undefined : text
  } finally {
    await file.close()
  }
}

async function checkOwner(file: FileHandle, path: string): Promise<void> {
  const found = await file.stat()
  if (!found.isFile()) throw wrong(`${path} is not a file; remove it, then start again`)
  // Root may serve the folder of somebody else; a stranger in it is refused.
  const owners = [process.getuid?.() ?? found.uid, (await stat(dirname(path))).uid]
  if (!owners.includes(found.uid))
    throw wrong(`${path} belongs to another user (number ${found.uid}); remove it, then start again`)
  // A copy or a restore may have widened it.
  if ((found.mode & 0o077) !== 0) await file.chmod(0o600)
}

/** Writes a draft and gives it its name by `name`: that comes last, so no crash leaves a half-written secret. */
async function place<T>(path: string, text: string, name: (draft: string) => Promise<T>): Promise<T> {
  const draft = `${path}.${randomBytes(6).toString('hex')}`
  try {
    await writeFile(draft, `${text}\n`, { mode: 0o600, flag: 'wx', flush: true })
    const result = await name(draft)
    await syncFolder(dirname(path))
    return result
  } finally {
    await rm(draft, { force: true })
  }
}

function isThere(error: NodeJS.ErrnoException): false {
  if (error.code !== 'EEXIST') throw error
  return false
}

/** Makes the names in a folder survive a power cut. Rejects with a system error. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function wrong(message: string, options?: ErrorOptions): ConfigError {
  return new ConfigError([{ setting: 'DATA', message }], options)
}

import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { chmod, chown, mkdir, open, readdir, readFile, realpath, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { ConfigError } from '../config/config.ts'
import { readOrMakeSecret, readSecret } from '../secret-files/secret-files.ts'
import { codeOf } from './database-error.ts'
import { canEnter, databaseUser, type OsUser, userOfFiles } from './os-user.ts'

/** Where the embedded database keeps what, and as whom it runs. */
export interface Layout {
  /** The data folder as configured; holds the password. */
  readonly data: string
  /** The folder that holds all of the following; the data folder, unless the database's user cannot enter that. */
  readonly home: string
  /** PostgreSQL's own folder. */
  readonly files: string
  readonly passwordFile: string
  /** Says who owns the running database, for the watcher of an earlier owner. */
  readonly ownerFile: string
  readonly logFile: string
  readonly socketFolder: string
  readonly user: OsUser | undefined
  /** The folder in which the files were expected, if they had to be put elsewhere. */
  readonly movedFrom: string | undefined
}

/** Root may use this; it is where a copy of the programs and of unreachable data goes. */
const machineFolder = '/var/lib/pulse'

/** A socket's whole path fits into 103 bytes on macOS and 107 on Linux; 15 are the name of the socket. */
const socketFolderBytesMax = 85

/**
 * Makes the data folder and decides where the database lies. A folder that somebody chose is taken or refused with
 * ConfigError; for the default one below a folder that the database's user cannot enter, another place is found.
 */
export async function prepareLayout(from: {
  data: string
  dataIsDefault: boolean
  machineFolder?: string
}): Promise<Layout> {
  const data = resolve(from.data)
  await makeFolder(data)
  const user = await userFor(data)
  if (await openTheWay(user, data)) return await layoutIn(data, data, user)
  const who = user?.name ?? 'this user'
  if (!from.dataIsDefault)
    throw wrong(
      `PostgreSQL runs as ${who}, who cannot enter ${data}; choose a folder that ${who} can reach, or open the way (chmod o+x on each folder above)`,
    )
  const key = createHash('sha256').update(data).digest('hex').slice(0, 16)
  const home = join(from.machineFolder ?? machineFolder, `data-${key}`)
  await makeFolder(home)
  const mover = await userFor(home)
  if (!(await openTheWay(mover, home)))
    throw wrong(
      `PostgreSQL runs as ${who}, who can enter neither ${data} nor ${home}; choose another folder with --data`,
    )
  return await layoutIn(data, home, mover)
}

/** The owner of the database that is there, so that a user who is made later does not lock it; else the preferred one. */
async function userFor(home: string): Promise<OsUser | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const files = await stat(join(home, 'postgres')).catch(() => undefined)
  const user = files && files.uid !== 0 ? userOfFiles(files) : databaseUser()
  if (user) return user
  throw wrong(
    'PostgreSQL does not run as root, and this machine has none of the users pulse, postgres and nobody; make one of them, or run Pulse as another user',
  )
}

/**
 * True if the user can enter the folder. A folder of root's that is empty or ours already is opened for the group of
 * that user alone, and only to pass through: every secret in it stays readable by root alone.
 */
async function openTheWay(user: OsUser | undefined, folder: string): Promise<boolean> {
  if (canEnter(user, folder)) return true
  const found = await stat(folder)
  const names = await readdir(folder)
  const isOurs = names.length === 0 || names.includes('database-password') || names.includes('postgres')
  // Asked again: a server that started in the same moment may have opened it since, and put files of its own there.
  if (!user || found.uid !== 0 || !isOurs || !canEnter(user, join(folder, '..')))
    return canEnter(user, folder)
  await chown(folder, 0, user.gid)
  await chmod(folder, (found.mode & 0o700) | 0o010)
  return canEnter(user, folder)
}

/** The folder for what is kept per machine rather than per data folder. */
export function cacheFolderOf(layout: Layout): string {
  return layout.user ? machineFolder : join(layout.home, 'programs')
}

function wrong(message: string, options?: ErrorOptions): ConfigError {
  return new ConfigError([{ setting: 'DATA', message }], options)
}

async function makeFolder(folder: string): Promise<void> {
  try {
    // Folders above it are made as any others are; only this one holds secrets.
    await mkdir(dirname(folder), { recursive: true })
    await mkdir(folder, { mode: 0o700 })
  } catch (error) {
    if (codeOf(error) === 'EEXIST' && (await stat(folder).catch(() => undefined))?.isDirectory()) return
    throw wrong(`the folder ${folder} cannot be made (${codeOf(error)}); choose another with --data`, {
      cause: error,
    })
  }
}

async function layoutIn(data: string, place: string, preferred: OsUser | undefined): Promise<Layout> {
  // One spelling per folder: a running database is recognised by the path on its command line.
  const home = await realpath(place)
  const files = join(home, 'postgres')
  const user = await checkFiles(files, preferred)
  return {
    data,
    home,
    movedFrom: place === data ? undefined : join(data, 'postgres'),
    files,
    user,
    passwordFile: join(data, 'database-password'),
    ownerFile: join(home, 'postgres-owner'),
    logFile: join(home, 'postgres.log'),
    socketFolder: await makeSocketFolder(home, user),
  }
}

/** Existing files keep their user. Files that PostgreSQL would refuse are refused here, with the way out. */
async function checkFiles(files: string, preferred: OsUser | undefined): Promise<OsUser | undefined> {
  const found = await stat(files).catch(() => undefined)
  if (!found) return preferred
  if (!found.isDirectory())
    throw wrong(`${files} is not a folder; move it away, or choose another with --data`)
  const self = process.getuid?.()
  if (self !== 0 && found.uid !== self)
    throw wrong(
      `${files} belongs to another user (number ${found.uid}); start Pulse as that user, or give it to yourself: chown -R ${self} ${files}`,
    )
  if (found.uid === 0)
    throw wrong(
      `${files} belongs to root, under whom PostgreSQL does not run; give it away: chown -R ${preferred?.name} ${files}`,
    )
  if ((found.mode & 0o027) !== 0)
    throw wrong(`others can read or write ${files}, so PostgreSQL refuses it; close it: chmod 700 ${files}`)
  return self === 0 ? userOfFiles(found) : undefined
}

async function makeSocketFolder(home: string, user: OsUser | undefined): Promise<string> {
  const near = join(home, 'run')
  const key = createHash('sha256').update(home).digest('hex').slice(0, 12)
  const places = [near, join(tmpdir(), `pulse-${key}`), `/tmp/pulse-${key}`]
  const folder =
    places.find((place) => Buffer.byteLength(place) <= socketFolderBytesMax) ?? `/tmp/pulse-${key}`
  await mkdir(folder, { mode: 0o700 }).catch((error: unknown) => {
    if (codeOf(error) !== 'EEXIST')
      throw wrong(`the folder ${folder} cannot be made (${codeOf(error)})`, { cause: error })
  })
  // In a folder for everyone, somebody else may have been there first, to listen to the password exchange or with a
  // link that would make us give away what it points to. The handle stays with what was looked at, whatever its name
  // is given to meanwhile.
  const notOurs = (who: string, options?: ErrorOptions) =>
    wrong(
      `${folder} belongs to somebody else (${who}); remove it, or use a shorter path with --data`,
      options,
    )
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants
  const opened = await open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW).catch((error: unknown) => {
    throw notOurs(`it is a link or no folder, ${codeOf(error)}`, { cause: error })
  })
  try {
    const { uid } = await opened.stat()
    if (uid !== process.getuid?.() && uid !== user?.uid) throw notOurs(`number ${uid}`)
    await opened.chmod(0o700)
    if (user) await opened.chown(user.uid, user.gid)
  } finally {
    await opened.close()
  }
  return folder
}

/** The database's password as its file has it; undefined if that is missing or empty. Throws ConfigError if it may be somebody else's. */
export async function readPassword(layout: Layout): Promise<string | undefined> {
  return await readSecret(layout.passwordFile)
}

/**
 * Keeps a password and returns the one that counts: of two servers that start together, one is first. Throws ConfigError
 * if the file cannot be made or may be somebody else's.
 */
export async function keepPassword(layout: Layout, password: string): Promise<string> {
  return await readOrMakeSecret(layout.passwordFile, () => password).catch((error: unknown) => {
    if (error instanceof ConfigError) throw error
    throw wrong(`${layout.passwordFile} cannot be made (${codeOf(error)})`, { cause: error })
  })
}

/** True if the folder holds an initialised database; throws ConfigError if it holds something else. */
export async function holdsDatabase(files: string): Promise<boolean> {
  const names = await readdir(files).catch((): string[] => [])
  if (names.length === 0) return false
  if (names.includes('PG_VERSION')) return true
  throw wrong(
    `${files} is neither empty nor a PostgreSQL folder; move it away, or choose another with --data`,
  )
}

/** Throws ConfigError if the files are those of another major version than the programs. */
export async function checkVersion(layout: Layout, major: number): Promise<void> {
  const text = await readFile(join(layout.files, 'PG_VERSION'), 'utf8').catch(() => '')
  const theirs = Number.parseInt(text, 10)
  if (theirs === major) return
  throw wrong(
    `${layout.files} is a PostgreSQL ${theirs || 'of unknown version'} database, and this Pulse brings PostgreSQL ${major}; nothing was changed. Choose a new folder with --data and move the content with pg_dump and pg_restore, as docs/operating/database.md says under "Another major version"`,
  )
}

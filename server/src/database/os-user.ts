import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** The user of the operating system under which PostgreSQL runs. */
export interface OsUser {
  readonly uid: number
  readonly gid: number
  readonly name: string
}

/** In this order: a user made for Pulse, the one that a PostgreSQL package made, the one without any rights. */
const preferred = ['pulse', 'postgres', 'nobody'] as const

/**
 * Whom PostgreSQL runs as. It refuses root, because whoever gets into it would own the machine; so under root it is
 * another user, and else undefined, which means: the user of this process.
 */
export function databaseUser(): OsUser | undefined {
  if (process.getuid?.() !== 0) return undefined
  const users = readUsers()
  return preferred.map((name) => users.get(name) ?? askForUser(name)).find((user) => user !== undefined)
}

/** The user with this number, whatever its name; used to stay with the owner of existing database files. */
export function userOfFiles(owner: { uid: number; gid: number }): OsUser {
  const known = [...readUsers().values()].find((user) => user.uid === owner.uid)
  return known ?? { ...owner, name: `user ${owner.uid}` }
}

/** The arguments that make a child run as this user; none for our own. */
export function runAs(user: OsUser | undefined): { uid?: number; gid?: number } {
  return user ? { uid: user.uid, gid: user.gid } : {}
}

/** True if this user can enter the folder. Asked by trying, so that access lists and mounts count too. */
export function canEnter(user: OsUser | undefined, folder: string): boolean {
  const tried = spawnSync('/bin/sh', ['-c', 'cd -- "$1"', 'sh', folder], {
    cwd: '/',
    stdio: 'ignore',
    ...runAs(user),
  })
  return tried.status === 0
}

function readUsers(): ReadonlyMap<string, OsUser> {
  const users = new Map<string, OsUser>()
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [name, , uid, gid] = line.split(':')
    // 0 would be root again, and negative numbers (macOS) are not what setuid takes.
    if (name && Number(uid) > 0 && Number(gid) >= 0)
      users.set(name, { name, uid: Number(uid), gid: Number(gid) })
  }
  return users
}

/** Users that a directory service knows do not stand in the file. */
function askForUser(name: string): OsUser | undefined {
  const ask = (what: string) =>
    Number(spawnSync('id', [what, name], { encoding: 'utf8' }).stdout || Number.NaN)
  const [uid, gid] = [ask('-u'), ask('-g')]
  return uid > 0 && gid >= 0 ? { name, uid, gid } : undefined
}

import { spawn } from 'node:child_process'
import { chown, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { syncFolder } from '../secret-files/secret-files.ts'
import type { Binaries } from './binaries.ts'
import { holdsDatabase, type Layout } from './data-folder.ts'
import { codeOf, DatabaseError } from './database-error.ts'
import { runAs } from './os-user.ts'

/**
 * Makes the database's files if there are none. initdb works in a folder of its own, which gets its name when it is
 * whole: a kill in the middle leaves nothing half, and of two servers that start together one wins.
 */
export async function initialise(layout: Layout, binaries: Binaries, password: string): Promise<void> {
  if (await holdsDatabase(layout.files)) return
  const half = join(layout.home, `postgres.half-${process.pid}`)
  await rm(half, { recursive: true, force: true })
  await mkdir(half, { mode: 0o700 })
  try {
    const passwordFile = join(half, 'password')
    await writeFile(passwordFile, password, { mode: 0o600 })
    if (layout.user) {
      // The folder last: once it is his, its entries may be links to whatever root can give away.
      await chown(passwordFile, layout.user.uid, layout.user.gid)
      await chown(half, layout.user.uid, layout.user.gid)
    }
    const files = join(half, 'postgres')
    await runInitdb(layout, binaries, { files, passwordFile })
    await rename(files, layout.files).catch((error: unknown) => {
      if (codeOf(error) !== 'ENOTEMPTY' && codeOf(error) !== 'EEXIST') throw error
    })
    await syncFolder(layout.home)
  } finally {
    await rm(half, { recursive: true, force: true })
  }
}

/** Removes what killed starts left behind. Only the owner may: an unfinished folder of another start looks the same. */
export async function removeHalves(layout: Layout): Promise<void> {
  const halves = (await readdir(layout.home)).filter((name) => name.startsWith('postgres.half-'))
  await Promise.all(halves.map((name) => rm(join(layout.home, name), { recursive: true, force: true })))
}

async function runInitdb(
  layout: Layout,
  binaries: Binaries,
  to: { files: string; passwordFile: string },
): Promise<void> {
  const options = [
    `--pgdata=${to.files}`,
    '--username=pulse',
    `--pwfile=${to.passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    // PostgreSQL's own C.UTF-8 sorts the same on every system and with every update of its libraries; `C` beside it
    // is the one locale that every system has.
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--locale=C',
    '--data-checksums',
    '--no-instructions',
  ]
  const child = spawn(binaries.initdb, options, {
    cwd: '/',
    env: { TZ: 'UTC', LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...runAs(layout.user),
  })
  let said = ''
  child.stdout.on('data', (text) => (said += text))
  child.stderr.on('data', (text) => (said += text))
  const status = await new Promise<number | null>((resolve, reject) =>
    child.on('error', reject).on('close', resolve),
  )
  if (status !== 0) throw new DatabaseError('start-failed', `initdb failed: ${reasonIn(said)}`)
}

/** What initdb, or a server that it ran, gives as the reason; it says more after that. Else its last lines. */
function reasonIn(said: string): string {
  const reason = /(?:PANIC|FATAL|error): +(.+)/.exec(said)?.[1]
  return reason ?? said.trim().split('\n').slice(-3).join(' ')
}

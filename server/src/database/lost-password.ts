import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Binaries } from './binaries.ts'
import type { Layout } from './data-folder.ts'
import { DatabaseError } from './database-error.ts'
import { runAs } from './os-user.ts'

/** A password as it stands in its file: 24 random bytes, without characters that SQL or a shell would read. */
export const newPassword = (): string => randomBytes(24).toString('base64url')

/** Sessions of a killed postmaster take a moment to end, and until then the files count as in use. */
const inUseMsMax = 10_000

/**
 * Gives our own stopped database a new password, and returns it. PostgreSQL's single-user mode asks nobody for one: whoever
 * may run programs on the files owns them. It also finishes a recovery that was due. Throws DatabaseError
 * `start-failed`, above all if the files stay in use.
 */
export async function setNewPassword(layout: Layout, binaries: Binaries): Promise<string> {
  const password = newPassword()
  const deadline = performance.now() + inUseMsMax
  for (;;) {
    const { status, said } = await runAlone(layout, binaries, `alter role pulse password '${password}'`)
    // An error of the statement leaves the exit code at 0.
    if (status === 0 && !/\b(ERROR|FATAL|PANIC):/.test(said)) return password
    const isInUse = /lock file .* already exists|pre-existing shared memory block/.test(said)
    if (!isInUse || performance.now() > deadline) {
      const last = said.trim().split('\n').slice(-2).join(' ')
      throw new DatabaseError('start-failed', `the database did not take a new password: ${last}`)
    }
    await delay(100)
  }
}

async function runAlone(
  layout: Layout,
  binaries: Binaries,
  statement: string,
): Promise<{ status: number | null; said: string }> {
  const options = ['--single', '-D', layout.files, '-c', 'log_statement=none', 'postgres']
  const child = spawn(binaries.postgres, options, {
    cwd: '/',
    env: { TZ: 'UTC', LC_ALL: 'C' },
    stdio: ['pipe', 'pipe', 'pipe'],
    ...runAs(layout.user),
  })
  let said = ''
  child.stdout.resume()
  child.stderr.on('data', (text) => (said += text))
  child.stdin.on('error', () => {})
  child.stdin.end(`${statement}\n`)
  const status = await new Promise<number | null>((resolve, reject) =>
    child.on('error', reject).on('close', resolve),
  )
  return { status, said }
}

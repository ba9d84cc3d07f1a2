import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { rename, writeFile } from 'node:fs/promises'
import type { Layout } from './data-folder.ts'
import { runAs } from './os-user.ts'

/**
 * Stops the postmaster when this process is gone, however it went. It is a shell that waits for the end of a pipe
 * whose other end only we hold. The grace time lets the next server adopt the running database, which is faster
 * and warmer than a new start: whoever starts or owns the database writes a token, and a watcher acts only while the
 * token is its own.
 */
export interface Watcher {
  /** Says in the owner file that the database is ours: before it is started, and when the lock is held. */
  claim(): Promise<void>
  /** The database is stopped; there is nothing left to watch. */
  dismiss(): void
}

const script = `
owner=$1 mine=$2 grace=$3 files=$4
read -r bye && exit 0
ours() {
  now=
  [ -r "$owner" ] && read -r now < "$owner"
  [ "$now" = "$mine" ]
}
while [ "$grace" -gt 0 ]; do
  sleep 1
  grace=$((grace - 1))
  ours || exit 0
done
ours && read -r pid < "$files/postmaster.pid" || exit 0
if [ -r "/proc/$pid/cmdline" ]; then
  said=$(tr '\\0' ' ' < "/proc/$pid/cmdline")
else
  said=$(ps -o command= -p "$pid")
fi
case $said in
  *"$files"*) kill -INT "$pid" ;;
esac
`

/** Starts the watcher. `graceSeconds` is how long it leaves the database to another server. */
export function startWatcher(layout: Layout, graceSeconds: number): Watcher {
  const mine = randomUUID()
  const options = [layout.ownerFile, mine, String(graceSeconds), layout.files]
  const child = spawn('/bin/sh', ['-c', script, 'pulse-database-watcher', ...options], {
    cwd: '/',
    env: { PATH: '/usr/local/bin:/usr/bin:/bin:/run/current-system/sw/bin' },
    // A session of its own: Ctrl-C in the terminal is for the server, which then stops the database itself.
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    ...runAs(layout.user),
  })
  child.unref()
  child.stdin.on('error', () => {})
  return {
    async claim() {
      const half = `${layout.ownerFile}.${process.pid}`
      await writeFile(half, `${mine}\n`, { mode: 0o644 })
      await rename(half, layout.ownerFile)
    },
    dismiss: () => child.stdin.end('bye\n'),
  }
}

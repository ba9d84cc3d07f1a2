import { once } from 'node:events'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { Http } from './http.ts'

/** The process that holds a port, as far as this user may see. */
export interface PortHolder {
  readonly pid: number
  readonly command: string
}

/** Why the server cannot listen. `port_taken` names the process that holds the port where the system shows it. */
export class ListenError extends Error {
  override name = 'ListenError'
  readonly code: 'port_taken' | 'not_permitted' | 'no_such_address'
  readonly holder: PortHolder | undefined
  constructor(
    code: ListenError['code'],
    message: string,
    options: ErrorOptions & { holder?: PortHolder | undefined } = {},
  ) {
    super(message, options)
    this.code = code
    this.holder = options.holder
  }
}

/** Asks whether a server could listen there, before anything is started for it. Rejects with ListenError. */
export async function checkPort(at: { host: string; port: number }): Promise<void> {
  const probe = createServer()
  try {
    probe.listen(at.port, at.host)
    await once(probe, 'listening')
  } catch (error) {
    throw await explain(error, at)
  } finally {
    probe.close()
  }
}

/** Starts to listen and returns the bound address, `http(s)://HOST:PORT`. Port 0 takes a free one. Rejects with ListenError. */
export async function listen(http: Http, { host, port }: { host: string; port: number }): Promise<string> {
  try {
    await http.listen({ host, port, backlog: 1_024 })
  } catch (error) {
    throw await explain(error, { host, port })
  }
  const address = http.server.address()
  if (address === null || typeof address === 'string')
    throw new Error('the server does not listen on a TCP port')
  const scheme = 'setSecureContext' in http.server ? 'https' : 'http'
  return `${scheme}://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`
}

async function explain(error: unknown, { host, port }: { host: string; port: number }): Promise<unknown> {
  const options = { cause: error }
  switch ((error as NodeJS.ErrnoException).code) {
    case 'EADDRINUSE': {
      const holder = await holderOf(port)
      const by = holder === undefined ? 'by another process' : `by process ${holder.pid} (${holder.command})`
      const message = `port ${port} is taken ${by}; stop it, or choose another with --port`
      return new ListenError('port_taken', message, { ...options, holder })
    }
    case 'EACCES':
      return new ListenError(
        'not_permitted',
        `this user may not listen on port ${port}; choose one above 1023`,
        options,
      )
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new ListenError('no_such_address', `${host} is not an address of this machine`, options)
    default:
      return error
  }
}

/** Who listens on a TCP port, read from Linux's /proc; undefined elsewhere, or if the process belongs to another user. */
async function holderOf(port: number): Promise<PortHolder | undefined> {
  const sockets = await listeningSockets(port)
  if (sockets.size === 0) return undefined
  for (const pid of await namesIn('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    for (const descriptor of await namesIn(`/proc/${pid}/fd`)) {
      const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '')
      if (sockets.has(target)) return { pid: Number(pid), command: await commandOf(pid) }
    }
  }
  return undefined
}

const listening = '0A'

/** `socket:[INODE]` of every socket that listens on the port, as the links in /proc/PID/fd write it. */
async function listeningSockets(port: number): Promise<ReadonlySet<string>> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const tables = await Promise.all(
    ['/proc/net/tcp', '/proc/net/tcp6'].map((path) => readFile(path, 'utf8').catch(() => '')),
  )
  const rows = tables.flatMap((table) => table.split('\n').slice(1)).map((line) => line.trim().split(/\s+/))
  return new Set(
    rows
      .filter(([, local, , state]) => state === listening && local?.endsWith(suffix))
      .map((row) => `socket:[${row[9]}]`),
  )
}

const commandCharsMax = 120

async function commandOf(pid: string): Promise<string> {
  const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  const words = line.split('\0').filter((word) => word !== '')
  // Control characters of a foreign command line must not reach the terminal.
  return words
    .join(' ')
    .replaceAll(/\p{Cc}/gu, ' ')
    .slice(0, commandCharsMax)
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return await readdir(folder).catch(() => [])
}

import { readFileSync } from 'node:fs'
import { type ConnectionOptions, checkServerIdentity } from 'node:tls'
import type { ClientConfig } from 'pg'
import { ConfigError } from '../config/config.ts'

/**
 * Session settings of every connection: tables of Pulse are found without their schema, a team's tables too, and
 * instants are written the same way everywhere. No transaction of ours waits for us for long, so one that does belongs
 * to a process that was stopped or cut off: its locks would keep the others from taking over what it owned.
 */
const sessionOptions = '-c search_path=pulse,public -c timezone=UTC -c idle_in_transaction_session_timeout=5s'

const known = [
  'host',
  'port',
  'user',
  'password',
  'dbname',
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'options',
  'application_name',
  'connect_timeout',
] as const
type Parameter = (typeof known)[number]

/**
 * What `pg` needs to connect to a DATABASE_URL. Everything is said in the result, so that no PG… variable of the
 * environment is looked at. Throws ConfigError; the password is never in its message.
 */
export function connectionOf(databaseUrl: string): ClientConfig {
  const url = new URL(databaseUrl)
  const parameters = new Map<string, string>(url.searchParams)
  const unknown = [...parameters.keys()].filter((name) => !known.some((one) => one === name))
  if (unknown.length > 0)
    throw wrong(`its parameter ${unknown.join(', ')} is not known; use ${known.join(', ')}`)
  const of = (name: Parameter) => parameters.get(name)
  const host = of('host') ?? (decodeURIComponent(url.hostname).replace(/^\[|\]$/g, '') || 'localhost')
  const database = of('dbname') ?? decodeURIComponent(url.pathname.slice(1))
  const user = of('user') ?? decodeURIComponent(url.username)
  if (user === '') throw wrong('it names no user: postgres://USER:PASSWORD@HOST:5432/DATABASE')
  return {
    host,
    port: Number(of('port') ?? (url.port || 5_432)),
    user,
    password: of('password') ?? decodeURIComponent(url.password),
    database: database === '' ? user : database,
    options: [of('options') ?? '', sessionOptions].join(' ').trim(),
    connectionTimeoutMillis: Number(of('connect_timeout') ?? 10) * 1_000,
    keepAlive: true,
    ssl: sslOf(host, of),
  }
}

/** What `pg` needs to connect to the embedded PostgreSQL through its socket folder. */
export function socketConnection(to: {
  folder: string
  port: number
  password: string
  database: string
}): ClientConfig {
  return {
    host: to.folder,
    port: to.port,
    user: 'pulse',
    password: to.password,
    database: to.database,
    options: sessionOptions,
    connectionTimeoutMillis: 10_000,
    ssl: false,
  }
}

/** The same as an address for other programs. It holds the password: never log it. */
export function urlOf(client: ClientConfig): string {
  const url = new URL('postgres://')
  url.pathname = `/${client.database ?? ''}`
  const parameters = {
    host: client.host,
    port: String(client.port),
    user: client.user,
    password: String(client.password),
  }
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value ?? '')
  return url.href
}

function sslOf(host: string, of: (name: Parameter) => string | undefined): false | ConnectionOptions {
  const local = host.startsWith('/') || host === 'localhost' || host === '127.0.0.1' || host === '::1'
  // Over a network the password and every event would travel readable unless somebody decided so.
  const mode = of('sslmode') ?? (local ? 'disable' : 'require')
  const files = { ca: fileOf(of, 'sslrootcert'), cert: fileOf(of, 'sslcert'), key: fileOf(of, 'sslkey') }
  const given = Object.fromEntries(Object.entries(files).filter(([, content]) => content !== undefined))
  switch (mode) {
    case 'disable':
      return false
    case 'require':
      // As in libpq: encrypted, whoever it is; with a root certificate it has to be one of that authority's.
      return files.ca ? { ...given, checkServerIdentity: anyName } : { ...given, rejectUnauthorized: false }
    case 'verify-ca':
      return { ...given, checkServerIdentity: anyName }
    case 'verify-full':
      // `pg` gives no server name for an IP address, and then Node would compare with "localhost".
      return { ...given, checkServerIdentity: (_name, certificate) => checkServerIdentity(host, certificate) }
    default:
      throw wrong(`sslmode ${mode} is not supported; use disable, require, verify-ca or verify-full`)
  }
}

const anyName = () => undefined

function fileOf(of: (name: Parameter) => string | undefined, name: Parameter): string | undefined {
  const path = of(name)
  if (path === undefined) return undefined
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw wrong(`its ${name} ${path} cannot be read`, { cause: error })
  }
}

function wrong(message: string, options?: ErrorOptions): ConfigError {
  return new ConfigError([{ setting: 'DATABASE_URL', message }], options)
}

import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClientBase } from 'pg'

/** Folders of `NNNN_name.sql` files that count as one history; numbers rise over all of them. */
export interface MigrationSet {
  /** `log`, `server` or `app` (the team's own). */
  readonly namespace: string
  readonly folders: readonly string[]
  /** PostgreSQL schema in which the files make their tables. */
  readonly schema: string
}

/** A file that was applied just now. */
export interface AppliedMigration {
  readonly namespace: string
  readonly file: string
  readonly tookMs: number
}

export type MigrationErrorCode =
  /** The database has migrations of a team, and no folder of theirs was named. */
  | 'unnamed'
  /** The database was written by a newer version. */
  | 'newer'
  /** A file that was applied has been edited or removed, or one was added before it. */
  | 'changed'
  /** A file has no good name, or shares its number. */
  | 'invalid'
  /** The database refused a file; nothing of it was applied. */
  | 'failed'
  /** Another server has been migrating for longer than we wait. */
  | 'busy'

/** Why the database cannot be brought to this version, in a line that says the way out. */
export class MigrationError extends Error {
  override name = 'MigrationError'
  readonly code: MigrationErrorCode
  constructor(code: MigrationErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
  get retryable(): boolean {
    return this.code === 'busy'
  }
}

interface MigrationFile {
  readonly number: number
  readonly name: string
  readonly path: string
  readonly sql: string
  readonly checksum: string
}

interface AppliedRow {
  readonly number: number
  readonly name: string
  readonly checksum: string
}

/** Where the history stands and what one server at a time may change: an arbitrary but fixed pair of numbers. */
const lock = [0x70756c73, 0x6d696772] as const

/** Long enough for a big index of another server that migrates first. */
const waitMsMax = 600_000

/** What is still to be applied, and where it belongs. */
interface Missing {
  readonly set: MigrationSet
  readonly files: readonly MigrationFile[]
}

/**
 * Brings the database forward: applies the files that are missing, set after set, each file in one transaction.
 * Servers that start together take turns by an advisory lock; where nothing is missing nobody waits for it, so a server
 * that was stopped with it in its hands does not keep others from starting. Returns what was applied, nothing if all was
 * there. The client is connected and used by nobody else meanwhile. Throws MigrationError; what was applied before stays.
 */
export async function migrate(
  client: ClientBase,
  sets: readonly MigrationSet[],
): Promise<readonly AppliedMigration[]> {
  const plans = await Promise.all(sets.map(async (set) => ({ set, files: await readFiles(set) })))
  if ((await hasHistory(client)) && (await missingOf(client, plans)).length === 0) return []
  await takeLock(client)
  try {
    await createHistory(client)
    const done: AppliedMigration[] = []
    // Looked at again: another server may have applied some of them meanwhile.
    for (const { set, files } of await missingOf(client, plans))
      for (const file of files) done.push(await apply(client, set, file))
    return done
  } finally {
    // If the connection is gone, so is the lock, and the first error is the one to tell.
    await client.query('select pg_advisory_unlock($1, $2)', [...lock]).catch(() => {})
  }
}

async function hasHistory(client: ClientBase): Promise<boolean> {
  const { rows } = await client.query(`select 1 where to_regclass('pulse.migrations') is not null`)
  return rows.length > 0
}

async function createHistory(client: ClientBase): Promise<void> {
  await createSchema(client, 'pulse')
  await client.query(`create table if not exists pulse.migrations (
      namespace  text not null,
      number     integer not null,
      name       text not null,
      checksum   text not null,
      applied_at timestamptz not null default now(),
      took_ms    integer not null,
      primary key (namespace, number)
    )`)
}

/** Every set is compared before the first is changed: newer data is refused untouched. */
async function missingOf(client: ClientBase, plans: readonly Missing[]): Promise<readonly Missing[]> {
  const missing: Missing[] = []
  for (const { set, files } of plans) {
    const left = await compare(client, set, files)
    if (left.length > 0) missing.push({ set, files: left })
  }
  return missing
}

async function takeLock(client: ClientBase): Promise<void> {
  // The time-out holds for this statement alone: a session-wide one would also cut the files themselves short.
  await client.query(`set lock_timeout = ${waitMsMax}`)
  try {
    await client.query('select pg_advisory_lock($1, $2)', [...lock])
  } catch (error) {
    if (codeOf(error) !== '55P03') throw error
    const message = `another server has been migrating this database for ${waitMsMax / 60_000} minutes; wait for it, then start again`
    throw new MigrationError('busy', message, { cause: error })
  } finally {
    await client.query('reset lock_timeout').catch(() => {})
  }
}

async function readFiles(set: MigrationSet): Promise<readonly MigrationFile[]> {
  const folders = await Promise.all(set.folders.map((folder) => readFolder(set, folder)))
  const files = folders.flat().sort((a, b) => a.number - b.number)
  files.forEach((file, index) => {
    const twin = files[index + 1]
    if (twin?.number === file.number)
      throw new MigrationError(
        'invalid',
        `${file.path} and ${twin.path} have the same number; give one of them the next free one`,
      )
  })
  return files
}

async function readFolder(set: MigrationSet, folder: string): Promise<readonly MigrationFile[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    throw new MigrationError(
      'invalid',
      `the folder of ${set.namespace} migrations ${folder} cannot be read`,
      { cause: error },
    )
  })
  const files = names.filter((name) => name.endsWith('.sql')).map((name) => readOne(join(folder, name), name))
  return await Promise.all(files)
}

async function readOne(path: string, file: string): Promise<MigrationFile> {
  const parts = /^(\d{4})_([a-z0-9_]+)\.sql$/.exec(file)
  if (!parts) throw new MigrationError('invalid', `${path} is not named like 0001_what_it_does.sql`)
  // A checkout on another system may change line ends, which change nothing else.
  const sql = (await readFile(path, 'utf8')).replaceAll('\r\n', '\n')
  const checksum = createHash('sha256').update(sql).digest('hex')
  return { number: Number(parts[1]), name: file.slice(0, -'.sql'.length), path, sql, checksum }
}

/** The files that are still to be applied; throws if what was applied is not what the files say. */
async function compare(
  client: ClientBase,
  set: MigrationSet,
  files: readonly MigrationFile[],
): Promise<readonly MigrationFile[]> {
  const { rows } = await client.query<AppliedRow>(
    'select number, name, checksum from pulse.migrations where namespace = $1 order by number',
    [set.namespace],
  )
  const newest = files.at(-1)?.number ?? 0
  const last = rows.at(-1)
  if (last && set.namespace === 'app' && set.folders.length === 0)
    throw new MigrationError('unnamed', unnamedMessage(last))
  if (last && last.number > newest) throw new MigrationError('newer', newerMessage(set, last, newest))
  const byNumber = new Map(files.map((file) => [file.number, file]))
  for (const row of rows) {
    const file = byNumber.get(row.number)
    if (!file)
      throw new MigrationError(
        'changed',
        `${set.namespace} migration ${row.name} was applied to this database, but its file is gone; put it back`,
      )
    if (file.checksum !== row.checksum)
      throw new MigrationError(
        'changed',
        `${file.path} was changed after it had been applied; put its text back and make a new file for the change`,
      )
  }
  const missing = files.filter((file) => !rows.some((row) => row.number === file.number))
  const late = missing.find((file) => last !== undefined && file.number < last.number)
  if (late)
    throw new MigrationError(
      'changed',
      `${late.path} comes before ${last?.name}, which was applied already; give it the next free number`,
    )
  return missing
}

// To start would be worse than to refuse: events would count as processed without the handlers that fill the tables.
function unnamedMessage(last: AppliedRow): string {
  return `this database has tables of a team's own handlers (migrations up to ${last.name}), and this start has no configuration that names them, so their events would be processed without them; start with that configuration: --config FILE`
}

function newerMessage(set: MigrationSet, last: AppliedRow, newest: number): string {
  const known = newest === 0 ? 'none' : String(newest).padStart(4, '0')
  if (set.namespace === 'app')
    return `this database has the team's migration ${last.name}, but the newest file here is ${known}; start with the folder that has it`
  return `this database was written by a newer Pulse (${set.namespace} migration ${last.name}; this version knows up to ${known}); start that version, or restore a backup that is older`
}

async function apply(client: ClientBase, set: MigrationSet, file: MigrationFile): Promise<AppliedMigration> {
  const startedMs = performance.now()
  await client.query('begin')
  try {
    await client.query(`set local search_path = ${client.escapeIdentifier(set.schema)}`)
    await createSchema(client, set.schema)
    const before = await transactionOf(client)
    await client.query(file.sql)
    if ((await transactionOf(client)) !== before)
      throw new MigrationError(
        'invalid',
        `${file.path} ends the transaction in which it runs; leave out commit, rollback and begin`,
      )
    const tookMs = Math.round(performance.now() - startedMs)
    await client.query(
      'insert into pulse.migrations (namespace, number, name, checksum, took_ms) values ($1, $2, $3, $4, $5)',
      [set.namespace, file.number, file.name, file.checksum, tookMs],
    )
    await client.query('commit')
    return { namespace: set.namespace, file: file.name, tookMs }
  } catch (error) {
    await client.query('rollback').catch(() => {})
    if (error instanceof MigrationError) throw error
    throw new MigrationError('failed', failedMessage(file, error), { cause: error })
  }
}

/** Asks first: `if not exists` needs the right to create schemas even where there is nothing to create. */
async function createSchema(client: ClientBase, name: string): Promise<void> {
  const { rows } = await client.query('select 1 from pg_namespace where nspname = $1', [name])
  if (rows.length === 0) await client.query(`create schema if not exists ${client.escapeIdentifier(name)}`)
}

async function transactionOf(client: ClientBase): Promise<string> {
  const { rows } = await client.query<{ id: string }>('select pg_current_xact_id()::text as id')
  return rows[0]?.id ?? ''
}

function failedMessage(file: MigrationFile, error: unknown): string {
  const reason = error instanceof Error ? error.message : String(error)
  const position = Number(error instanceof Error && 'position' in error ? error.position : 0)
  const line = position > 0 ? `:${file.sql.slice(0, position).split('\n').length}` : ''
  return `${file.path}${line} failed and nothing of it was applied: ${reason}`
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Condition } from '@pulse/protocol/filter'
import type { Pool } from 'pg'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { Caller, Gatekeeper, Role } from '../http/access.ts'
import type { Http } from '../http/http.ts'
import { readOrMakeSecret, replaceSecret } from '../secret-files/secret-files.ts'
import { accountRoutes, type SignInLink } from './account-routes.ts'
import { type AccountStore, createAccountStore } from './account-store.ts'
import { openDirectory } from './directory.ts'
import { createGate, type GateSettings } from './gate.ts'
import { keyRoutes } from './key-routes.ts'
import { type AccountsReport, createAccountsReport } from './report.ts'
import { digestOf, isKey, newKey, newSecret } from './secrets.ts'
import { createTokens } from './tokens.ts'

export type { SignInLink } from './account-routes.ts'

export interface AccountsSettings extends GateSettings {
  /** The data folder; `key` and `jwt-secret` are kept in it. */
  readonly data: string
  /** Secret that signs tokens, at least 32 bytes; servers that share a database need the same. Default: a file. */
  readonly jwtSecret?: string | undefined
}

export interface AccountsNeeds {
  readonly pool: Pool
  readonly settings: AccountsSettings
  /** Where browsers reach this server, for sign-in links: PUBLIC_URL or the bound address. Asked when a link is made. */
  readonly baseUrl: () => string
  /** Looks whether the filter of a new token can be used. Throws ProblemError. */
  readonly checkFilter: (filter: Condition) => void
  readonly log: Logger
  readonly metrics: Registry
  /** Unix time in milliseconds. Default `Date.now`. */
  readonly now?: () => number
}

/** Who may do what, and how often. */
export interface Accounts extends Gatekeeper, AsyncDisposable {
  /** File with the key of the local admin, mode 0600. */
  readonly localKeyPath: string
  /**
   * False once a key was revoked, a token revoked or expired, a session ended. It costs a look-up in memory, so an open
   * stream can be asked about again and again; see `openAccounts` for how soon it knows.
   */
  isLive(caller: Caller): boolean
  /**
   * Who a key or token stands for that is sent as the first message of a socket; undefined if it is not valid, which
   * counts against the address as in a header. Rejects with ProblemError `rate_limited`.
   */
  authenticateCredential(secret: string, address: string): Promise<Caller | undefined>
  /** Registers sign-in, sessions, keys, tokens and tickets. */
  routes(http: Http): void
  /** A link that signs in once within 30 minutes. Rejects with ProblemError `unavailable`. */
  mintSignInLink(role: Role): Promise<SignInLink>
}

/** How long a one-time sign-in link works. */
export const linkSeconds = 1_800
const jwtSecretBytesMin = 32
/** PostgreSQL's code for a row that is there already. */
const uniqueViolation = '23505'

/**
 * Opens accounts on a migrated database: makes the local admin key at the first start, reads all credentials into
 * memory and follows their changes. A change made through another server takes effect here within two seconds; one made
 * here, at once. While the database is away, what was last known stays valid.
 * Rejects if the secret is too short, the data folder cannot be written or the database does not answer.
 */
export async function openAccounts(needs: AccountsNeeds): Promise<Accounts> {
  const { settings, now = Date.now } = needs
  const report = createAccountsReport(needs)
  const store = createAccountStore(needs.pool)
  const secret = await signingSecret(settings)
  const localKeyPath = join(settings.data, 'key')
  await ensureLocalKey(localKeyPath, store, report)
  const directory = await openDirectory({ store, report, now })
  const isLive = (caller: Caller) => directory.isLive(caller)
  const tokens = createTokens({ secret, isLive, now })
  const gate = createGate({ settings, directory, tokens, store, report, now })
  const mintLink = async (role: Role): Promise<SignInLink> => {
    const token = newSecret()
    const expiresAt = await store.addLink({ digest: digestOf(token), role, seconds: linkSeconds })
    return { url: `${new URL('/ui/sign-in', needs.baseUrl()).href}#${token}`, expiresAt }
  }
  return {
    localKeyPath,
    isLive,
    authenticate: gate.authenticate,
    carriesCredential: gate.carriesCredential,
    authenticateCredential: gate.authenticateCredential,
    limit: gate.limit,
    routes: (http) => {
      const { checkFilter } = needs
      const parts = { store, directory, gate, tokens, report, mintLink, checkFilter }
      accountRoutes(http, { ...parts, publicUrl: settings.publicUrl })
      keyRoutes(http, { store, directory, report })
    },
    mintSignInLink: async (role) => {
      const link = await mintLink(role)
      report.linkMinted('server', role)
      return link
    },
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  }
}

async function signingSecret({ jwtSecret, data }: AccountsSettings): Promise<Uint8Array> {
  const make = () => randomBytes(48).toString('base64url')
  const text = jwtSecret ?? (await readOrMakeSecret(join(data, 'jwt-secret'), make))
  const secret = new TextEncoder().encode(text)
  if (secret.length < jwtSecretBytesMin)
    throw new Error(`the secret that signs tokens needs at least ${jwtSecretBytesMin} bytes`)
  return secret
}

/**
 * Makes sure that the key in the file opens this database. Whoever may read the file owns the data anyway, so a key that
 * was revoked is replaced: revoking it shuts out those who have a copy, not the owner of the machine.
 */
async function ensureLocalKey(path: string, store: AccountStore, report: AccountsReport): Promise<void> {
  let text = await readOrMakeSecret(path, newKey)
  const state = isKey(text) ? await store.stateOfKey(digestOf(text)) : 'revoked'
  if (state === 'live') return
  if (state === 'revoked') {
    text = newKey()
    await replaceSecret(path, text)
  }
  const scopes = ['admin'] as const
  const bounds = { scopes, rateLimit: null, subscribers: null }
  const local = { name: 'local', digest: digestOf(text), ...bounds, createdBy: 'server' }
  const key = await store.addKey(local).catch((error: { code?: string }) => {
    // Servers of one folder that start together find the same key missing; one of them is first.
    if (error.code !== uniqueViolation) throw error
  })
  if (key) report.keyCreated('server', { id: key.id, name: key.name, scopes, subscribers: null })
}

import { setTimeout as delay } from 'node:timers/promises'
import type { Caller } from '../http/access.ts'
import { parseRate, type Rate } from '../http/rate-limiter.ts'
import type { AccountStore, CredentialRows } from './account-store.ts'
import type { AccountsReport } from './report.ts'
import { grantedScopes, scopesOfRole } from './scopes.ts'

/** Between two looks at the database. A revocation on another server takes effect within this and one query. */
const refreshMs = 1_000
/** A key that is not known may have been made by another server just now: at most so often that makes us look. */
const missRefreshMs = 200
const usageWriteMs = 10_000
const cleanMs = 600_000

interface KnownKey {
  readonly caller: Caller
  /** Since the last time that use was written down. */
  used: boolean
}

interface KnownSession {
  readonly caller: Caller
  readonly expiresMs: number
}

interface DirectoryNeeds {
  readonly store: AccountStore
  readonly report: AccountsReport
  /** Unix time in milliseconds. */
  readonly now: () => number
}

/**
 * A copy of all live credentials in memory. Whoever asks is known by one lookup, and intake goes on while the database
 * is away; then what was last known stays valid. Opened by `openDirectory`; disposing writes the last use of keys.
 */
export class Directory implements AsyncDisposable {
  readonly #needs: DirectoryNeeds
  #keys = new Map<string, KnownKey>()
  #sessions = new Map<string, KnownSession>()
  /** Until when a key or session lives, by its id; Unix time in milliseconds. */
  #live = new Map<string, number>()
  #rates = new Map<string, Rate>()
  #revokedTokens = new Set<string>()
  #revision = ''
  #refreshing: Promise<void> | undefined
  #refreshedMs = Number.NEGATIVE_INFINITY
  #nextLook: Promise<void> | undefined
  /** Rises whenever something is taken back here. */
  #takenBack = 0
  #usageWrittenMs = performance.now()
  #cleanedMs = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  #ticking: Promise<void> | undefined

  constructor(needs: DirectoryNeeds) {
    this.#needs = needs
  }

  /** Reads everything once and begins to look regularly. Rejects if the first reading fails. */
  async open(): Promise<void> {
    this.#apply(await this.#needs.store.credentials())
    this.#plan()
  }

  /** The live key with this digest. */
  key(digest: string): Caller | undefined {
    const known = this.#keys.get(digest)
    if (known === undefined) return undefined
    known.used = true
    return known.caller
  }

  /** The live session with this digest. */
  session(digest: string): Caller | undefined {
    const known = this.#sessions.get(digest)
    return known !== undefined && known.expiresMs > this.#needs.now() ? known.caller : undefined
  }

  /** True while the credential behind a caller may still be used: for tokens, tickets and open sockets. */
  isLive({ kind, id, expiresMs = Number.POSITIVE_INFINITY }: Caller): boolean {
    if (kind === 'open') return true
    if (kind === 'token') return expiresMs > this.#needs.now() && !this.#revokedTokens.has(id)
    return (this.#live.get(id) ?? 0) > this.#needs.now()
  }

  /** The key's own limit. */
  rateOf(id: string): Rate | undefined {
    return this.#rates.get(id)
  }

  /** Forgets a credential at once, before the database is asked again. */
  forget(id: string): void {
    for (const [digest, { caller }] of this.#keys) if (caller.id === id) this.#keys.delete(digest)
    for (const [digest, { caller }] of this.#sessions) if (caller.id === id) this.#sessions.delete(digest)
    this.#live.delete(id)
    this.#takenBack += 1
  }

  revokeToken(id: string): void {
    this.#revokedTokens.add(id)
    this.#takenBack += 1
  }

  /** Looks at the database now; never rejects. A refresh under way may be older than the caller's change, so it is awaited and repeated. */
  async refresh(): Promise<void> {
    await this.#refreshing
    await this.#refreshOnce()
  }

  /**
   * Looks at the database because a credential is not known: another server may have made it a moment ago. All who miss
   * share one look, at most every 200 ms, so that a flood of wrong credentials costs little; it begins after they asked,
   * so that it finds what was there when they did. Never rejects.
   */
  refreshForMiss(): Promise<void> {
    this.#nextLook ??= this.#lookSoon()
    return this.#nextLook
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    await this.#ticking
    await this.#nextLook
    await this.#refreshing
    await this.#writeUsage()
  }

  async #lookSoon(): Promise<void> {
    await delay(Math.max(0, missRefreshMs - (performance.now() - this.#refreshedMs)))
    // Whoever misses from here on may ask for what this look no longer sees.
    this.#nextLook = undefined
    await this.refresh()
  }

  #refreshOnce(): Promise<void> {
    this.#refreshing ??= this.#read().finally(() => {
      this.#refreshedMs = performance.now()
      this.#refreshing = undefined
    })
    return this.#refreshing
  }

  async #read(): Promise<void> {
    const { store, report } = this.#needs
    try {
      if ((await store.revision()) !== this.#revision) this.#apply(await this.#readWhole())
      report.refreshed()
    } catch (error) {
      report.refreshFailed(error)
    }
  }

  /** Reads again what was read while something was taken back here: it may stand there as live. */
  async #readWhole(): Promise<CredentialRows> {
    for (;;) {
      const takenBack = this.#takenBack
      const rows = await this.#needs.store.credentials()
      if (takenBack === this.#takenBack) return rows
    }
  }

  #apply(rows: CredentialRows): void {
    const used = new Set([...this.#keys.values()].filter((key) => key.used).map((key) => key.caller.id))
    this.#keys = new Map()
    this.#rates = new Map()
    for (const { id, name, digest, scopes, rate_limit, subscribers } of rows.keys) {
      const who = { kind: 'key', id, name, scopes: grantedScopes(scopes) } as const
      this.#keys.set(digest, {
        caller: { ...who, subscribers: subscribers ?? undefined },
        used: used.has(id),
      })
      const rate = rate_limit === null ? undefined : parseRate(rate_limit)
      if (rate) this.#rates.set(id, rate)
    }
    this.#sessions = new Map(
      rows.sessions.map(({ id, digest, role, expires_at }) => {
        const caller: Caller = { kind: 'session', id, name: role, role, scopes: scopesOfRole[role] }
        return [digest, { caller, expiresMs: expires_at.getTime() }]
      }),
    )
    this.#live = new Map([
      ...rows.keys.map(({ id }) => [id, Number.POSITIVE_INFINITY] as const),
      ...rows.sessions.map(({ id, expires_at }) => [id, expires_at.getTime()] as const),
    ])
    this.#revokedTokens = new Set(rows.revokedTokens.map(({ id }) => id))
    this.#revision = rows.revision
  }

  #plan(): void {
    this.#timer = setTimeout(() => {
      this.#ticking = this.#tick()
    }, refreshMs)
    this.#timer.unref()
  }

  async #tick(): Promise<void> {
    await this.#refreshOnce()
    const nowMs = performance.now()
    if (nowMs - this.#usageWrittenMs > usageWriteMs) await this.#writeUsage()
    if (nowMs - this.#cleanedMs > cleanMs) {
      this.#cleanedMs = nowMs
      await this.#needs.store.clean().catch((error: unknown) => this.#needs.report.refreshFailed(error))
    }
    if (this.#timer !== undefined) this.#plan()
  }

  async #writeUsage(): Promise<void> {
    this.#usageWrittenMs = performance.now()
    const used = [...this.#keys.values()].filter((key) => key.used)
    if (used.length === 0) return
    for (const key of used) key.used = false
    try {
      await this.#needs.store.writeLastUse(used.map((key) => key.caller.id))
    } catch (error) {
      for (const key of used) key.used = true
      this.#needs.report.usageNotWritten(error)
    }
  }
}

/** Opens the copy. Rejects with ProblemError `unavailable` if the database does not answer. */
export async function openDirectory(needs: DirectoryNeeds): Promise<Directory> {
  const directory = new Directory(needs)
  await directory.open()
  return directory
}

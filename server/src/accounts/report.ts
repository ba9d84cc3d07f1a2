import type { Condition } from '@pulse/protocol/filter'
import type { Logger } from 'pino'
import { Counter, type Registry } from 'prom-client'
import type { Caller, Role, Scope } from '../http/access.ts'

/**
 * Where accounts says what happened. Lines with `audit: true` are the audit trail: who did what to which credential,
 * never a secret.
 */
export interface AccountsReport {
  keyCreated(by: Caller | 'server', key: KeyFacts): void
  keyRevoked(by: Caller, id: string): void
  tokenIssued(by: Caller, token: TokenFacts): void
  tokenRevoked(by: Caller, id: string): void
  linkMinted(by: Caller | 'server', role: Role): void
  signedIn(session: { id: string; role: Role }, address: string): void
  signedOut(by: Caller): void
  /** A credential was sent and is not valid; `kind` says which, `reason` only inside. */
  failed(kind: 'key' | 'token' | 'session' | 'ticket' | 'sign-in', address: string): void
  refused(what: 'origin' | 'host', address: string): void
  limited(whose: 'key' | 'address' | 'failures', name: string): void
  refreshFailed(error: unknown): void
  refreshed(): void
  usageNotWritten(error: unknown): void
}

interface KeyFacts {
  readonly id: string
  readonly name: string
  readonly scopes: readonly Scope[]
  readonly subscribers: string | null
}

interface TokenFacts {
  readonly id: string
  readonly sub: string
  readonly scopes: readonly Scope[]
  readonly filter: Condition | undefined
}

/** Makes the report. Metrics: `pulse_auth_failures_total{kind}`, `pulse_rate_limited_total{whose}`, `pulse_auth_stale`. */
export function createAccountsReport(to: { log: Logger; metrics: Registry }): AccountsReport {
  const failures = new Counter({
    name: 'pulse_auth_failures_total',
    help: 'Credentials that were sent and not valid, by kind.',
    labelNames: ['kind'],
    registers: [to.metrics],
  })
  const limited = new Counter({
    name: 'pulse_rate_limited_total',
    help: 'Requests answered 429 because a key, an address or its failed credentials were over their limit.',
    labelNames: ['whose'],
    registers: [to.metrics],
  })
  const audit = to.log.child({ audit: true })
  const who = (by: Caller | 'server') => (by === 'server' ? { by: 'server' } : { by: `${by.kind}:${by.id}` })
  let stale = false
  return {
    keyCreated: (by, { id, ...facts }) => audit.info({ ...who(by), key: id, ...facts }, 'key created'),
    keyRevoked: (by, id) => audit.info({ ...who(by), key: id }, 'key revoked'),
    tokenIssued: (by, { id, ...facts }) => audit.info({ ...who(by), token: id, ...facts }, 'token issued'),
    tokenRevoked: (by, id) => audit.info({ ...who(by), token: id }, 'token revoked'),
    linkMinted: (by, role) => audit.info({ ...who(by), role }, 'sign-in link made'),
    signedIn: ({ id, role }, address) => audit.info({ session: id, role, address }, 'signed in'),
    signedOut: (by) => audit.info(who(by), 'signed out'),
    failed: (kind, address) => {
      failures.inc({ kind })
      audit.warn({ kind, address }, 'credential not valid')
    },
    refused: (what, address) => audit.warn({ what, address }, 'request refused'),
    limited: (whose, name) => {
      limited.inc({ whose })
      to.log.debug({ whose, name }, 'over the limit')
    },
    refreshFailed: (error) => {
      if (!stale) to.log.warn({ err: error }, 'credentials cannot be refreshed; those known stay valid')
      stale = true
    },
    refreshed: () => {
      if (stale) to.log.info('credentials are refreshed again')
      stale = false
    },
    usageNotWritten: (error) => to.log.debug({ err: error }, 'last use of keys not written'),
  }
}

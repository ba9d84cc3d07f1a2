import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { type Caller, type Gatekeeper, scopes } from '../http/access.ts'
import { ProblemError } from '../http/problem-error.ts'
import type { AccountStore } from './account-store.ts'
import type { Directory } from './directory.ts'
import { addressName, isFromOurPage, isLocal, isSafe } from './origin.ts'
import { type Rate, RateLimiter } from './rate-limiter.ts'
import type { AccountsReport } from './report.ts'
import { scopesOfRole } from './scopes.ts'
import { digestOf, isKey } from './secrets.ts'
import { readSessionCookie } from './session-cookie.ts'
import type { Tokens } from './tokens.ts'

/** Credentials that are not valid, per address: enough for a mistyped key in a loop to be noticed, too few to fill a log. */
export const failureRate: Rate = { count: 60, windowMs: 60_000 }

export interface GateSettings {
  /** Everyone may do everything, from this machine. */
  readonly open: boolean
  readonly publicUrl?: string | undefined
  /** Requests that one key may make unless it has a limit of its own; null for none. */
  readonly rateLimitKey: Rate | null
  /** Requests without a valid credential that one address may make; null for none. */
  readonly rateLimitAddress: Rate | null
}

export interface GateNeeds {
  readonly settings: GateSettings
  readonly directory: Directory
  readonly tokens: Tokens
  readonly store: AccountStore
  readonly report: AccountsReport
  /** Unix time in milliseconds. */
  readonly now: () => number
}

/** The gatekeeper, and what the sign-in route needs of it. */
export interface Gate extends Gatekeeper {
  /** Counts a credential that is not valid. Throws ProblemError `rate_limited` when the address has sent too many. */
  failed(request: FastifyRequest, kind: FailedKind): void
}

type FailedKind = Parameters<AccountsReport['failed']>[0]

const everyone: Caller = { kind: 'open', id: 'open', name: 'open', scopes: scopesOfRole.admin, role: 'admin' }

/** Makes the check of every request: who asks, from where, how often. */
export function createGate(needs: GateNeeds): Gate {
  const limiters = { key: new RateLimiter(), address: new RateLimiter(), failures: new RateLimiter() }
  const failed = (request: FastifyRequest, kind: FailedKind): void => {
    const name = addressName(request.ip)
    const budget = limiters.failures.take(name, failureRate, needs.now())
    if (!budget.allowed) {
      needs.report.limited('failures', name)
      throw tooMany('Too many credentials that are not valid came from this address.', budget.resetSeconds)
    }
    needs.report.failed(kind, request.ip)
  }
  const known = (
    request: FastifyRequest,
    kind: FailedKind,
    caller: Caller | undefined,
  ): Caller | undefined => {
    if (caller === undefined) failed(request, kind)
    return caller
  }
  return {
    failed,
    authenticate: (request) =>
      needs.settings.open ? openCaller(request, needs) : identify(request, needs, known),
    limit: (request, reply, caller) => {
      if (caller === undefined) limitAddress({ request, reply }, needs, limiters.address)
      else limitCaller({ reply, caller }, needs, limiters.key)
    },
  }
}

type Known = (request: FastifyRequest, kind: FailedKind, caller: Caller | undefined) => Caller | undefined

function identify(
  request: FastifyRequest,
  needs: GateNeeds,
  known: Known,
): Caller | undefined | Promise<Caller | undefined> {
  const { authorization } = request.headers
  if (authorization !== undefined) return bearer(request, authorization, { needs, known })
  const cookie = readSessionCookie(request, needs.settings.publicUrl)
  if (cookie !== undefined) return session(request, cookie, { needs, known })
  if (request.routeOptions.config.ticket === true) {
    const { ticket } = request.query as { ticket?: unknown }
    if (typeof ticket === 'string') {
      return redeemTicket(ticket, needs).then((caller) => known(request, 'ticket', caller))
    }
  }
  return undefined
}

interface Use {
  readonly needs: GateNeeds
  readonly known: Known
}

function bearer(
  request: FastifyRequest,
  authorization: string,
  { needs: { directory, tokens }, known }: Use,
): Caller | undefined | Promise<Caller | undefined> {
  const secret = /^bearer +/i.test(authorization) ? authorization.slice(7).trim() : ''
  if (isKey(secret)) {
    const digest = digestOf(secret)
    const caller = directory.key(digest)
    if (caller !== undefined) return caller
    return directory.refreshForMiss().then(() => known(request, 'key', directory.key(digest)))
  }
  // Three parts with dots: anything else is spared the work of a signature.
  if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(secret)) return known(request, 'key', undefined)
  const found = tokens.verify(secret)
  if (found instanceof Promise) return found.then((caller) => known(request, 'token', caller))
  return known(request, 'token', found)
}

function session(
  request: FastifyRequest,
  cookie: string,
  { needs: { directory, settings, report }, known }: Use,
): Caller | undefined | Promise<Caller | undefined> {
  // A browser adds the cookie by itself, so a change asked for by a page that is not ours is not the person's wish.
  if (!isSafe(request) && !isFromOurPage(request, settings.publicUrl)) {
    report.refused('origin', request.ip)
    throw new ProblemError(
      'forbidden',
      'With a session, changes are taken from the pages of this server only (Origin).',
    )
  }
  const digest = digestOf(cookie)
  const caller = directory.session(digest)
  if (caller !== undefined) return caller
  return directory.refreshForMiss().then(() => known(request, 'session', directory.session(digest)))
}

function openCaller(request: FastifyRequest, { report, settings }: GateNeeds): Caller {
  if (!isLocal(request)) {
    report.refused('host', request.ip)
    throw new ProblemError(
      'forbidden',
      'Without credentials (--open) only this machine is served, by its own name.',
    )
  }
  const { origin, 'sec-fetch-site': site } = request.headers
  const foreign =
    (origin !== undefined && !isFromOurPage(request, settings.publicUrl)) || site === 'cross-site'
  if (!isSafe(request) && foreign) {
    report.refused('origin', request.ip)
    throw new ProblemError(
      'forbidden',
      'Without credentials (--open) no other page may make changes here (Origin).',
    )
  }
  return everyone
}

const ticketCallerSchema = z.object({
  kind: z.enum(['key', 'session', 'token', 'open']),
  id: z.string(),
  name: z.string(),
  scopes: z.array(z.enum(scopes)),
  role: z.enum(['viewer', 'operator', 'admin']).optional(),
})

/** What a ticket remembers of the caller who asked for it. */
export function ticketCaller({
  kind,
  id,
  name,
  scopes: held,
  role,
}: Caller): z.input<typeof ticketCallerSchema> {
  return { kind, id, name, scopes: [...held], role }
}

async function redeemTicket(ticket: string, { store, directory }: GateNeeds): Promise<Caller | undefined> {
  const stored = await store.redeemTicket(digestOf(ticket))
  if (stored === undefined) return undefined
  const { scopes: held, role, ...rest } = ticketCallerSchema.parse(stored)
  const caller: Caller = { ...rest, scopes: new Set(held), ...(role === undefined ? {} : { role }) }
  // The key or session may have been made on another server a moment ago, or revoked since.
  if (!directory.isLive(caller)) await directory.refreshForMiss()
  return directory.isLive(caller) ? caller : undefined
}

function limitAddress(
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
  { settings, now, report }: GateNeeds,
  limiter: RateLimiter,
): void {
  const rate = settings.rateLimitAddress
  if (rate === null || settings.open) return
  const name = addressName(request.ip)
  const budget = limiter.take(name, rate, now())
  tell(reply, { policy: 'address', rate, budget })
  if (budget.allowed) return
  report.limited('address', name)
  throw tooMany(`An address may make ${inWords(rate)} without a valid credential.`, budget.resetSeconds)
}

function limitCaller(
  { reply, caller }: { reply: FastifyReply; caller: Caller },
  { settings, directory, now, report }: GateNeeds,
  limiter: RateLimiter,
): void {
  if (caller.kind === 'open' || caller.kind === 'session') return
  const rate = directory.rateOf(caller.id) ?? settings.rateLimitKey
  if (rate === null) return
  // Whoever renews a token goes on with the same budget.
  const name = caller.kind === 'token' ? `token:${caller.name}` : caller.id
  const budget = limiter.take(name, rate, now())
  tell(reply, { policy: caller.kind, rate, budget })
  if (budget.allowed) return
  report.limited('key', name)
  throw tooMany(`This credential may make ${inWords(rate)}.`, budget.resetSeconds)
}

/** The fields of the IETF draft "RateLimit header fields for HTTP"; it is not final, so their names stand only here. */
function tell(
  reply: FastifyReply,
  {
    policy,
    rate,
    budget,
  }: { policy: string; rate: Rate; budget: { remaining: number; resetSeconds: number } },
): void {
  reply.header('ratelimit-policy', `"${policy}";q=${rate.count};w=${Math.ceil(rate.windowMs / 1_000)}`)
  reply.header('ratelimit', `"${policy}";r=${budget.remaining};t=${budget.resetSeconds}`)
}

function inWords({ count, windowMs }: Rate): string {
  return `${count} requests in ${windowMs / 1_000} seconds`
}

function tooMany(detail: string, retryAfter: number): ProblemError {
  return new ProblemError('rate_limited', detail, { retryAfter })
}

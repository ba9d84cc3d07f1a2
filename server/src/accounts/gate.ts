import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Caller, Gatekeeper } from '../http/access.ts'
import { addressName } from '../http/address-name.ts'
import { ProblemError } from '../http/problem-error.ts'
import { type Rate, RateLimiter } from '../http/rate-limiter.ts'
import { isUpgrade } from '../http/upgrade.ts'
import type { AccountStore } from './account-store.ts'
import type { Directory } from './directory.ts'
import { isFromOurPage, isLocal, isSafe } from './origin.ts'
import type { AccountsReport } from './report.ts'
import { scopesOfRole } from './scopes.ts'
import { digestOf, isKey } from './secrets.ts'
import { readSessionCookie } from './session-cookie.ts'
import { redeemTicket } from './tickets.ts'
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

/** The gatekeeper, and what the sign-in route and sockets need of it. */
export interface Gate extends Gatekeeper {
  /** Counts a credential that is not valid. Throws ProblemError `rate_limited` when the address has sent too many. */
  failed(from: Sender, kind: FailedKind): void
  /** Who a key or token stands for that came otherwise than in a header; counted like one that did. */
  authenticateCredential(secret: string, address: string): Promise<Caller | undefined>
}

type FailedKind = Parameters<AccountsReport['failed']>[0]

/** Where a credential came from. A request is one; its address is worked out only when it is asked for. */
interface Sender {
  readonly ip: string
}

const everyone: Caller = { kind: 'open', id: 'open', name: 'open', scopes: scopesOfRole.admin, role: 'admin' }

/** Makes the check of every request: who asks, from where, how often. */
export function createGate(needs: GateNeeds): Gate {
  const limiters = { key: new RateLimiter(), address: new RateLimiter(), failures: new RateLimiter() }
  const failed = (from: Sender, kind: FailedKind): void => {
    const name = addressName(from.ip)
    const budget = limiters.failures.take(name, failureRate, needs.now())
    if (!budget.allowed) {
      needs.report.limited('failures', name)
      throw tooMany('Too many credentials that are not valid came from this address.', budget.resetSeconds)
    }
    needs.report.failed(kind, from.ip)
  }
  const known: Known = (from, kind, caller) => {
    if (caller === undefined) failed(from, kind)
    return caller
  }
  return {
    failed,
    authenticate: (request) =>
      needs.settings.open ? openCaller(request, needs) : identify(request, needs, known),
    carriesCredential: (request) =>
      request.headers.authorization !== undefined ||
      ticketOf(request) !== undefined ||
      cookieOf(request, needs.settings) !== undefined,
    authenticateCredential: async (secret, address) => {
      const caller = await bearer({ ip: address }, secret, { needs, known })
      if (caller !== undefined) limitCaller({ reply: undefined, caller }, needs, limiters.key)
      return caller
    },
    limit: (request, reply, caller) => {
      if (caller === undefined) limitAddress({ request, reply }, needs, limiters.address)
      else limitCaller({ reply, caller }, needs, limiters.key)
    },
  }
}

type Known = (from: Sender, kind: FailedKind, caller: Caller | undefined) => Caller | undefined

function identify(
  request: FastifyRequest,
  needs: GateNeeds,
  known: Known,
): Caller | undefined | Promise<Caller | undefined> {
  const { authorization } = request.headers
  if (authorization !== undefined) {
    const secret = /^bearer +/i.test(authorization) ? authorization.slice(7).trim() : ''
    return bearer(request, secret, { needs, known })
  }
  // Before the cookie, which a browser adds by itself, also to what a page of another port of this host asks for.
  const ticket = ticketOf(request)
  if (ticket !== undefined)
    return redeemTicket(ticket, needs).then((caller) => known(request, 'ticket', caller))
  const cookie = cookieOf(request, needs.settings)
  if (cookie !== undefined) return session(request, cookie, { needs, known })
  return undefined
}

function ticketOf(request: FastifyRequest): string | undefined {
  if (request.routeOptions.config.ticket !== true) return undefined
  const { ticket } = request.query as { ticket?: unknown }
  return typeof ticket === 'string' ? ticket : undefined
}

/**
 * The session's secret. Not where a socket of a foreign page may say later who it is: there it is not what the page came
 * with, but what the browser added because somebody is signed in here, and refused for that it could never say it.
 */
function cookieOf(request: FastifyRequest, { publicUrl }: GateSettings): string | undefined {
  const isLate = request.routeOptions.config.lateCredential === true && isUpgrade(request)
  const isForeign = request.headers.origin !== undefined && !isFromOurPage(request, publicUrl)
  return isLate && isForeign ? undefined : readSessionCookie(request, publicUrl)
}

/** A foreign page may cause a GET, whose answer it cannot read. From a socket it could: CORS does not hold there. */
function isForOwnPages(request: FastifyRequest): boolean {
  return !isSafe(request) || isUpgrade(request)
}

interface Use {
  readonly needs: GateNeeds
  readonly known: Known
}

function bearer(
  from: Sender,
  secret: string,
  { needs: { directory, tokens }, known }: Use,
): Caller | undefined | Promise<Caller | undefined> {
  if (isKey(secret)) {
    const digest = digestOf(secret)
    const caller = directory.key(digest)
    if (caller !== undefined) return caller
    return directory.refreshForMiss().then(() => known(from, 'key', directory.key(digest)))
  }
  // Three parts with dots: anything else is spared the work of a signature.
  if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(secret)) return known(from, 'key', undefined)
  const found = tokens.verify(secret)
  if (found instanceof Promise) return found.then((caller) => known(from, 'token', caller))
  return known(from, 'token', found)
}

function session(
  request: FastifyRequest,
  cookie: string,
  { needs: { directory, settings, report }, known }: Use,
): Caller | undefined | Promise<Caller | undefined> {
  // A browser adds the cookie by itself, so what a page that is not ours asks for is not the person's wish.
  if (isForOwnPages(request) && !isFromOurPage(request, settings.publicUrl)) {
    report.refused('origin', request.ip)
    throw new ProblemError(
      'forbidden',
      'With a session, changes and sockets are for the pages of this server only (Origin).',
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
  if (isForOwnPages(request) && foreign) {
    report.refused('origin', request.ip)
    throw new ProblemError(
      'forbidden',
      'Without credentials (--open) no other page may make changes or open sockets here (Origin).',
    )
  }
  return everyone
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
  { reply, caller }: { reply: FastifyReply | undefined; caller: Caller },
  { settings, directory, now, report }: GateNeeds,
  limiter: RateLimiter,
): void {
  if (caller.kind === 'open' || caller.kind === 'session') return
  const rate = directory.rateOf(caller.id) ?? settings.rateLimitKey
  if (rate === null) return
  // Whoever renews a token goes on with the same budget.
  const name = caller.kind === 'token' ? `token:${caller.name}` : caller.id
  const budget = limiter.take(name, rate, now())
  if (reply !== undefined) tell(reply, { policy: caller.kind, rate, budget })
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

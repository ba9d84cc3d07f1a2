import { type Condition, conditionSchema } from '@pulse/protocol/filter'
import { z } from 'zod'
import { callerOf } from '../http/access.ts'
import type { Http } from '../http/http.ts'
import { problemAnswer } from '../http/openapi.ts'
import { ProblemError } from '../http/problem-error.ts'
import type { AccountStore } from './account-store.ts'
import type { Directory } from './directory.ts'
import type { Gate } from './gate.ts'
import type { AccountsReport } from './report.ts'
import { grantedScopes, type Role, roles, type Scope, scopes } from './scopes.ts'
import { digestOf, newSecret } from './secrets.ts'
import { sessionSecondsMax, writeSessionCookie } from './session-cookie.ts'
import { ticketCaller } from './tickets.ts'
import { filterBytesMax, type Tokens, tokenSecondsMax } from './tokens.ts'

export interface SignInLink {
  /** The secret stands in the fragment, which browsers send to nobody. */
  readonly url: string
  readonly expiresAt: Date
}

export interface AccountRouteNeeds {
  readonly store: AccountStore
  readonly directory: Directory
  readonly gate: Gate
  readonly tokens: Tokens
  readonly report: AccountsReport
  readonly publicUrl: string | undefined
  readonly mintLink: (role: Role) => Promise<SignInLink>
  readonly checkFilter: (filter: Condition) => void
}

const tags = ['accounts']
/** How long a ticket for a socket or stream works. */
export const ticketSeconds = 30
// What carries a secret may not be kept by anything between.
const noStore = { 'cache-control': 'no-store' }
const secretSchema = z.string().min(1).max(200)
const scopesSchema = z.array(z.enum(scopes)).min(1).max(scopes.length)
/** Whoever has one of these reads events elsewhere than in a stream. */
const readsAll: ReadonlySet<string> = new Set<Scope>(['events:read', 'admin'])

const callerSchema = z
  .object({
    kind: z.enum(['key', 'session', 'token', 'open']),
    id: z.string(),
    name: z.string(),
    scopes: z.array(z.enum(scopes)),
    role: z.enum(roles).nullable(),
  })
  .meta({ id: 'Caller' })

const newTokenSchema = z
  .strictObject({
    sub: z
      .string()
      .min(1)
      .max(255)
      .regex(/^\P{Cc}*$/u, 'must not have control characters')
      .describe('Who it stands for, and the one subscriber whose stream it may read.'),
    scopes: scopesSchema,
    expires_in_seconds: z.int().min(1).max(tokenSecondsMax).default(tokenSecondsMax),
    filter: conditionSchema
      .refine(
        (filter) => Buffer.byteLength(JSON.stringify(filter)) <= filterBytesMax,
        `must have at most ${filterBytesMax.toLocaleString('en-US')} bytes as JSON`,
      )
      .optional()
      .describe('What its streams let through at most, whatever filter its bearer asks for.'),
  })
  .refine(({ filter, scopes: asked }) => filter === undefined || !asked.some((one) => readsAll.has(one)), {
    path: ['filter'],
    error: `bounds nothing in a token with one of the scopes ${[...readsAll].join(', ')}, which read every event`,
  })

/** Registers sign-in, session, sign-in links, tokens and tickets. */
export function accountRoutes(http: Http, needs: AccountRouteNeeds): void {
  sessionRoutes(http, needs)
  linkRoute(http, needs)
  tokenRoutes(http, needs)
  ticketRoute(http, needs)
}

function sessionRoutes(http: Http, { store, directory, gate, report, publicUrl }: AccountRouteNeeds): void {
  http.get('/auth/session', {
    config: { access: 'authenticated' },
    schema: { tags, summary: 'Who the credential stands for', response: { 200: callerSchema } },
    handler: async (request, reply) => {
      const { kind, id, name, scopes: held, role } = callerOf(request)
      return reply.send({ kind, id, name, scopes: [...held], role: role ?? null })
    },
  })
  http.post('/auth/sign-in', {
    config: { access: 'public' },
    schema: {
      tags,
      summary: 'Sign in with a one-time link',
      description:
        'Uses the link up and sets a session cookie for 12 hours. Unknown, used and expired links answer alike.',
      body: z.strictObject({ token: secretSchema.describe('What stands after # in the link.') }),
      response: {
        200: z.object({ role: z.enum(roles), expires_at: z.iso.datetime() }),
        401: problemAnswer('The link is not valid (any more).'),
      },
    },
    handler: async (request, reply) => {
      const secret = newSecret()
      const redeem = {
        link: digestOf(request.body.token),
        session: digestOf(secret),
        seconds: sessionSecondsMax,
      }
      const session = await store.redeemLink(redeem)
      if (session === undefined) {
        gate.failed(request, 'sign-in')
        throw new ProblemError(
          'unauthenticated',
          'This sign-in link is not valid (any more). `pulse open` makes another.',
        )
      }
      await directory.refresh()
      report.signedIn(session, request.ip)
      writeSessionCookie({ request, reply }, publicUrl, secret)
      return reply.headers(noStore).send({ role: session.role, expires_at: session.expires_at.toISOString() })
    },
  })
  http.post('/auth/sign-out', {
    config: { access: 'authenticated' },
    schema: { tags, summary: 'End the session', response: { 204: z.null().describe('Signed out.') } },
    handler: async (request, reply) => {
      const caller = callerOf(request)
      if (caller.kind === 'session') {
        await store.endSession(caller.id)
        directory.forget(caller.id)
        report.signedOut(caller)
      }
      writeSessionCookie({ request, reply }, publicUrl, undefined)
      return reply.code(204).send(null)
    },
  })
}

function linkRoute(http: Http, { mintLink, report }: AccountRouteNeeds): void {
  http.post('/admin/sign-in-links', {
    config: { access: 'admin' },
    schema: {
      tags,
      summary: 'Make a one-time sign-in link',
      description:
        'Works once, within 30 minutes. Its secret stands in the fragment, which browsers send to nobody.',
      body: z.strictObject({ role: z.enum(roles) }),
      response: { 201: z.object({ url: z.url(), expires_at: z.iso.datetime() }) },
    },
    handler: async (request, reply) => {
      const { url, expiresAt } = await mintLink(request.body.role)
      report.linkMinted(callerOf(request), request.body.role)
      return reply.code(201).headers(noStore).send({ url, expires_at: expiresAt.toISOString() })
    },
  })
}

function tokenRoutes(http: Http, { tokens, store, directory, report, checkFilter }: AccountRouteNeeds): void {
  http.post('/auth/tokens', {
    config: { access: 'admin' },
    schema: {
      tags,
      summary: 'Issue a token for a person or program',
      description: 'A signed JWT. It needs no look-up, so give it a short life; it can be revoked by its id.',
      body: newTokenSchema,
      response: {
        201: z.object({ token: z.string(), id: z.uuid(), expires_at: z.iso.datetime() }),
        422: problemAnswer('The filter cannot be used.'),
      },
    },
    handler: async (request, reply) => {
      const { sub, scopes: asked, expires_in_seconds: seconds, filter } = request.body
      if (filter !== undefined) checkFilter(filter)
      const granted = [...grantedScopes(asked)]
      const { token, id, expiresAt } = await tokens.issue({ sub, scopes: granted, seconds, filter })
      report.tokenIssued(callerOf(request), { id, sub, scopes: asked, filter })
      return reply.code(201).headers(noStore).send({ token, id, expires_at: expiresAt.toISOString() })
    },
  })
  http.delete('/auth/tokens/:id', {
    config: { access: 'admin' },
    schema: {
      tags,
      summary: 'Revoke a token',
      description:
        'At once on this server, within two seconds on the others. Issued tokens are not stored, so any id is taken.',
      params: z.object({ id: z.uuid() }),
      response: { 204: z.null().describe('Revoked.') },
    },
    handler: async (request, reply) => {
      const { id } = request.params
      // Longer than any token lives, so the mark outlives the token whenever it was issued.
      await store.revokeToken({ id, seconds: tokenSecondsMax + 3_600 })
      directory.revokeToken(id)
      report.tokenRevoked(callerOf(request), id)
      return reply.code(204).send(null)
    },
  })
}

function ticketRoute(http: Http, { store }: AccountRouteNeeds): void {
  http.post('/tickets', {
    config: { access: 'authenticated' },
    schema: {
      tags,
      summary: 'Get a ticket for a socket or stream',
      description:
        'Valid once, within 30 seconds, for what the caller may do. For browsers, which cannot send a header there: `?ticket=`.',
      response: { 201: z.object({ ticket: z.string(), expires_at: z.iso.datetime() }) },
    },
    handler: async (request, reply) => {
      const ticket = newSecret()
      const caller = ticketCaller(callerOf(request))
      const expiresAt = await store.addTicket({ digest: digestOf(ticket), caller, seconds: ticketSeconds })
      return reply.code(201).headers(noStore).send({ ticket, expires_at: expiresAt.toISOString() })
    },
  })
}

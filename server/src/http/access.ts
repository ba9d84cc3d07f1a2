import type { FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import { ProblemError } from './problem-error.ts'

/** Everything that a credential can be allowed. `admin` includes all others: who may make keys may make any key. */
export const scopes = [
  'events:write',
  'events:read',
  'filters:write',
  'stream:read',
  'read:stats',
  'feed',
  'names',
  'admin',
] as const
export type Scope = (typeof scopes)[number]

export type Role = 'viewer' | 'operator' | 'admin'

/** What a route asks for: nothing, any valid credential, or a credential with this scope. */
export type Access = 'public' | 'authenticated' | Scope

/** Who asks. `id` names the credential, never its secret. */
export interface Caller {
  readonly kind: 'key' | 'session' | 'token' | 'open'
  readonly id: string
  readonly name: string
  readonly scopes: ReadonlySet<Scope>
  readonly role?: Role
}

/** What the HTTP layer must know about credentials and limits; the accounts module offers it. */
export interface Gatekeeper {
  /**
   * Who asks, or undefined if no credential was sent or the one sent is not valid. Answers at once on the hot path
   * and with a promise only where a credential is seen for the first time.
   * Throws ProblemError: `forbidden` (the credential may not be used from there), `rate_limited`.
   */
  authenticate(request: FastifyRequest): Caller | undefined | Promise<Caller | undefined>
  /** Takes one request from the budget of the caller, or of the address. Throws ProblemError `rate_limited`. */
  limit(request: FastifyRequest, reply: FastifyReply, caller: Caller | undefined): void
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may use the route. The server refuses to start with a route that does not say it. */
    access?: Access
    /** The route also takes a single-use ticket as the query parameter `ticket`: browsers cannot set headers on sockets. */
    ticket?: true
  }
  interface FastifyRequest {
    caller: Caller | undefined
  }
}

/** The caller of a route that is not public. Throws an assertion-like error when the route is public: our mistake. */
export function callerOf(request: FastifyRequest): Caller {
  if (request.caller === undefined) throw new Error('a public route has no caller')
  return request.caller
}

interface GuardNeeds {
  readonly access: Access
  /** Requests without a credential are taken from their address's budget. */
  readonly limited: boolean
  readonly gatekeeper: Gatekeeper
}

/**
 * The check that one route does before anything is read of the body. It is made once per route and calls back in the
 * same tick whenever the gatekeeper does, because an await here would cost every event a turn of the microtask queue.
 */
export function createGuard({ access, limited, gatekeeper }: GuardNeeds): onRequestHookHandler {
  const admit = (request: FastifyRequest, reply: FastifyReply, caller: Caller | undefined): void => {
    if (caller === undefined) {
      gatekeeper.limit(request, reply, undefined)
      throw new ProblemError('unauthenticated', 'A valid credential is needed here.', {
        headers: { 'www-authenticate': 'Bearer' },
      })
    }
    gatekeeper.limit(request, reply, caller)
    if (access !== 'authenticated' && !caller.scopes.has(access as Scope)) {
      throw new ProblemError('forbidden', `The credential lacks the scope ${access}.`)
    }
    request.caller = caller
  }
  if (access === 'public') {
    return (request, reply, done) =>
      settle(done, () => limited && gatekeeper.limit(request, reply, undefined))
  }
  return (request, reply, done) =>
    settle(done, () => {
      const found = gatekeeper.authenticate(request)
      if (!(found instanceof Promise)) return admit(request, reply, found)
      return found.then((caller) => admit(request, reply, caller))
    })
}

/** Runs a hook's work and calls `done` once: in the same tick, or when the promise that it returned is settled. */
export function settle(done: (error?: Error) => void, work: () => unknown): void {
  let result: unknown
  try {
    result = work()
  } catch (error) {
    done(error as Error)
    return
  }
  if (result instanceof Promise) result.then(() => done(), done)
  else done()
}

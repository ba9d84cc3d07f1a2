import type { Condition } from '@pulse/protocol/filter'
import type { FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import { ProblemError } from './problem-error.ts'
import { isUpgrade } from './upgrade.ts'

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

/** What a route asks for: nothing, any valid credential, or one with this scope, or with one of these. */
export type Access = 'public' | 'authenticated' | Scope | readonly Scope[]

/** Who asks. `id` names the credential, never its secret. */
export interface Caller {
  readonly kind: 'key' | 'session' | 'token' | 'open'
  readonly id: string
  readonly name: string
  readonly scopes: ReadonlySet<Scope>
  readonly role?: Role | undefined
  /** Of a key: the subscribers whose streams it may read, `*` standing for any characters. Absent: anyone's. */
  readonly subscribers?: string | undefined
  /** Of a token: what every stream of its bearer lets through at most, whatever filter the bearer asks for. */
  readonly filter?: Condition | undefined
  /** Of a token: when it ends, Unix time in milliseconds. */
  readonly expiresMs?: number | undefined
}

/** What the HTTP layer must know about credentials and limits; the accounts module offers it. */
export interface Gatekeeper {
  /**
   * Who asks, or undefined if no credential was sent or the one sent is not valid. Answers at once on the hot path
   * and with a promise only where a credential is seen for the first time.
   * Throws ProblemError: `forbidden` (the credential may not be used from there), `rate_limited`.
   */
  authenticate(request: FastifyRequest): Caller | undefined | Promise<Caller | undefined>
  /** True if the request carries a credential, valid or not. */
  carriesCredential(request: FastifyRequest): boolean
  /** Takes one request from the budget of the caller, or of the address. Throws ProblemError `rate_limited`. */
  limit(request: FastifyRequest, reply: FastifyReply, caller: Caller | undefined): void
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may use the route. The server refuses to start with a route that does not say it. */
    access?: Access
    /** The route also takes a single-use ticket as the query parameter `ticket`: browsers cannot set headers on sockets. */
    ticket?: true
    /** The route takes WebSockets only; its handler gets the connection by `takeUpgrade`. */
    webSocket?: true
    /**
     * The socket may be opened without a credential, which then has to come as its first message: `request.caller` is
     * undefined until the handler has asked `authenticateCredential` and looked for the scope. The address pays.
     */
    lateCredential?: true
  }
  interface FastifyRequest {
    caller: Caller | undefined
  }
}

/**
 * The caller of a route that is not public and not opened without a credential. Throws an assertion-like error
 * otherwise: our mistake.
 */
export function callerOf(request: FastifyRequest): Caller {
  if (request.caller === undefined) throw new Error('a public route has no caller')
  return request.caller
}

/**
 * Whether a caller who has the scope may read (or choose the filters of) a subscriber's stream. A token speaks for the
 * one subscriber whom its `sub` names, a key for those whom its pattern names; operators see everyone. Undefined stands
 * for a stream of no subscriber, or a filter that is not stored: it may ask for any event, so nobody may bring one who is
 * bound to some subscribers, unless the credential itself carries a filter.
 */
export function mayReadSubscriber(caller: Caller, subscriber: string | undefined): boolean {
  switch (caller.kind) {
    case 'token':
      if (subscriber !== undefined) return subscriber === caller.name
      // A filter of its own can ask for every event: that takes a filter in the token, or the right to read them all.
      return caller.filter !== undefined || caller.scopes.has('events:read')
    case 'key':
      if (caller.subscribers === undefined) return true
      return subscriber !== undefined && matchesPattern(caller.subscribers, subscriber)
    case 'session':
    case 'open':
      return true
  }
}

/** `*` stands for any characters, also none. Walks from left to right, so no pattern makes it slow as a regular expression could be. */
function matchesPattern(pattern: string, text: string): boolean {
  const [head = '', ...rest] = pattern.split('*')
  const tail = rest.pop()
  if (tail === undefined) return text === head
  if (!text.startsWith(head)) return false
  let at = head.length
  for (const part of rest) {
    const found = text.indexOf(part, at)
    if (found === -1) return false
    at = found + part.length
  }
  return text.length - tail.length >= at && text.endsWith(tail)
}

interface GuardNeeds {
  readonly access: Access
  /** Requests without a credential are taken from their address's budget. */
  readonly limited: boolean
  readonly gatekeeper: Gatekeeper
  /** A WebSocket may be opened without a credential. */
  readonly late: boolean
}

/**
 * The check that one route does before anything is read of the body. It is made once per route and calls back in the
 * same tick whenever the gatekeeper does, because an await here would cost every event a turn of the microtask queue.
 */
export function createGuard({ access, limited, gatekeeper, late }: GuardNeeds): onRequestHookHandler {
  const wanted = scopesOf(access)
  const admit = (request: FastifyRequest, reply: FastifyReply, caller: Caller | undefined): void => {
    if (caller === undefined) {
      gatekeeper.limit(request, reply, undefined)
      // One that was sent and is not valid is refused here: what the socket could say later is no better.
      if (late && isUpgrade(request) && !gatekeeper.carriesCredential(request)) return
      throw new ProblemError('unauthenticated', 'A valid credential is needed here.', {
        headers: { 'www-authenticate': 'Bearer' },
      })
    }
    gatekeeper.limit(request, reply, caller)
    if (wanted && !wanted.some((scope) => caller.scopes.has(scope))) {
      throw new ProblemError('forbidden', `The credential lacks the scope ${wanted.join(' or ')}.`)
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

/** The scopes one of which a route asks for; undefined if it asks for none. */
export function scopesOf(access: Access): readonly Scope[] | undefined {
  if (access === 'public' || access === 'authenticated') return undefined
  return typeof access === 'string' ? [access] : access
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

import type { NameCheck, NameStats } from '@pulse/protocol/name'
import { newEventId } from './event-id.ts'
import type { CallOptions, Transport } from './transport.ts'

export type { NameCheck, NameStats } from '@pulse/protocol/name'

/** One of many checks; `reason` says why it is not a valid name. */
export interface NameVerdict extends NameCheck {
  readonly reason?: string | undefined
}

/** A name to take, and whom it is for, in your own terms. */
export interface NameClaim {
  readonly username: string
  readonly owner?: string | undefined
}

export interface ClaimOptions extends CallOptions {
  /**
   * Makes this claim the same one when it is made again, also by another process: it is then answered as the first time.
   * Left out, each call has one of its own, so that its repeats after a lost answer do no harm.
   */
  readonly idempotencyKey?: string | undefined
}

/** A name that is yours now, and since when (RFC 3339). */
export interface ClaimedName {
  readonly username: string
  readonly claimed_at: string
}

/** What became of many names at once. */
export interface NameImport {
  readonly added: number
  /** Names that were taken before, or stood in the request twice. */
  readonly present: number
  /** Names that are not valid or kept back, with their places in the request. */
  readonly refused: readonly { readonly index: number; readonly username: string; readonly reason: string }[]
}

/** Which names are free, and taking them. Every method rejects with PulseError. */
export interface Names {
  /**
   * Whether a name is free; needs no credential. Rejects with `invalid_name`, or with `unavailable` while nobody can tell:
   * a name that is taken is never called free.
   */
  check(username: string, options?: CallOptions): Promise<NameCheck>
  /** The same for up to 1,000 names, in their order; one that is not valid says why and fails no other. */
  checkMany(usernames: readonly string[], options?: CallOptions): Promise<readonly NameVerdict[]>
  /** Takes a name. Rejects with `name_taken`, whose `suggestions` are free, or with `invalid_name`. */
  claim(claim: NameClaim, options?: ClaimOptions): Promise<ClaimedName>
  /** Lets go of a name. Rejects with `not_found` if nobody has it. */
  release(username: string, options?: CallOptions): Promise<void>
  /** Free names near one, the best first; `count` from 1 to 20, default 5. */
  suggestions(
    username: string,
    query?: { readonly count?: number | undefined },
    options?: CallOptions,
  ): Promise<readonly string[]>
  /**
   * Takes up to 50,000 names at once, each that is free. The same names again add nothing; so they also do when an answer
   * was lost, and are then counted as present.
   */
  import(usernames: readonly string[], options?: CallOptions): Promise<NameImport>
  /** The filter of the server that answers. */
  stats(options?: CallOptions): Promise<NameStats>
  /** Has that server make a new filter from the names in the database, beside its work. */
  rebuild(options?: CallOptions): Promise<void>
}

/** Makes the calls about names. */
export function createNames(transport: Transport): Names {
  const send = async <Body>(call: Parameters<Transport['send']>[0], how?: CallOptions) =>
    (await transport.send<Body>(call, how)).body
  const get = <Body>(path: string, query?: URLSearchParams, how?: CallOptions) =>
    send<Body>({ method: 'GET', path, query, repeatable: true }, how)
  // What is sent here is as good when it is sent twice.
  const post = <Body>(path: string, body: unknown, how?: CallOptions) =>
    send<Body>({ method: 'POST', path, body, repeatable: true }, how)
  return {
    check: (username, how) => get('/api/check-username', new URLSearchParams({ username }), how),
    checkMany: async (usernames, how) =>
      (await post<{ data: readonly NameVerdict[] }>('/api/names/check', { usernames }, how)).data,
    claim: (claim, { idempotencyKey = newEventId(), ...how } = {}) => {
      const headers = { 'idempotency-key': idempotencyKey }
      return send({ method: 'POST', path: '/api/names', body: claim, headers, repeatable: true }, how)
    },
    // Not repeated when its fate is unknown: the second time it would be told as missing, or take somebody else's.
    release: async (username, how) => {
      const query = new URLSearchParams({ username })
      await send({ method: 'DELETE', path: '/api/names', query, repeatable: false }, how)
    },
    suggestions: async (username, { count } = {}, how) => {
      const query = new URLSearchParams({ username })
      if (count !== undefined) query.set('count', String(count))
      return (await get<{ data: readonly string[] }>('/api/names/suggestions', query, how)).data
    },
    import: (usernames, how) => post('/api/names/import', { usernames }, how),
    stats: (how) => get('/api/names/stats', undefined, how),
    rebuild: async (how) => void (await post('/api/names/rebuild', undefined, how)),
  }
}

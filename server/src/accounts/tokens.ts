import { randomUUID } from 'node:crypto'
import { type Condition, conditionSchema } from '@pulse/protocol/filter'
import { jwtVerify, SignJWT } from 'jose'
import { LRUCache } from 'lru-cache'
import { z } from 'zod'
import type { Caller, Scope } from '../http/access.ts'
import { grantedScopes } from './scopes.ts'
import { digestOf } from './secrets.ts'

/** Who issues tokens and for whom; both are checked, so a token of another product with a shared secret is refused. */
const issuer = 'pulse'
const audience = 'pulse'
/** RFC 9068's type of access tokens: an ID token or any other JWT cannot stand in for one. */
const type = 'at+jwt'
const algorithm = 'HS256'

export const tokenSecondsMax = 86_400
/** Bytes of a token's filter as JSON: with it a token still fits into a header, and into the first frame of a socket. */
export const filterBytesMax = 4_096
const knownMax = 10_000

interface TokensNeeds {
  /** At least 32 bytes: a shorter one can be guessed offline from any token. */
  readonly secret: Uint8Array
  /** False once a token was revoked or has expired. */
  readonly isLive: (caller: Caller) => boolean
  /** Unix time in milliseconds. */
  readonly now: () => number
}

export interface Tokens {
  issue(token: {
    sub: string
    scopes: readonly Scope[]
    seconds: number
    filter: Condition | undefined
  }): Promise<{ token: string; id: string; expiresAt: Date }>
  /** Who a token stands for, at once if it was seen before; undefined if it is not valid, whatever the reason. */
  verify(token: string): Caller | undefined | Promise<Caller | undefined>
}

const claimsSchema = z.object({
  sub: z.string().min(1).max(255),
  scope: z.string(),
  jti: z.uuid(),
  exp: z.number(),
  // One that cannot be read makes the token not valid: without it the bearer would see everything.
  filter: conditionSchema.optional(),
})

/** Issues and verifies signed tokens (JWT, HS256 only). What was verified once is remembered, up to 10,000 tokens. */
export function createTokens({ secret, isLive, now }: TokensNeeds): Tokens {
  const known = new LRUCache<string, Caller>({ max: knownMax })
  const live = (caller: Caller): Caller | undefined => (isLive(caller) ? caller : undefined)
  const read = async (token: string, digest: string): Promise<Caller | undefined> => {
    try {
      const { payload } = await jwtVerify(token, secret, {
        algorithms: [algorithm],
        issuer,
        audience,
        typ: type,
        requiredClaims: ['exp', 'iat', 'jti', 'sub', 'scope'],
        currentDate: new Date(now()),
      })
      const { sub, scope, jti, exp, filter } = claimsSchema.parse(payload)
      const granted = grantedScopes(scope.split(' '))
      const who = { kind: 'token', id: jti, name: sub, scopes: granted } as const
      const caller: Caller = { ...who, filter, expiresMs: exp * 1_000 }
      known.set(digest, caller)
      return live(caller)
    } catch {
      // Why a token is not valid is its forger's business least of all.
      return undefined
    }
  }
  return {
    issue: async ({ sub, scopes, seconds, filter }) => {
      const id = randomUUID()
      const issuedSeconds = Math.floor(now() / 1_000)
      const expiresSeconds = issuedSeconds + seconds
      const token = await new SignJWT({ scope: scopes.join(' '), ...(filter && { filter }) })
        .setProtectedHeader({ alg: algorithm, typ: type })
        .setIssuer(issuer)
        .setAudience(audience)
        .setSubject(sub)
        .setJti(id)
        .setIssuedAt(issuedSeconds)
        .setExpirationTime(expiresSeconds)
        .sign(secret)
      return { token, id, expiresAt: new Date(expiresSeconds * 1_000) }
    },
    verify: (token) => {
      const digest = digestOf(token)
      const found = known.get(digest)
      return found === undefined ? read(token, digest) : live(found)
    },
  }
}

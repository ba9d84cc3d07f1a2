import type { Access } from './connection.ts'
import { takesHeaders } from './socket.ts'
import type { Credential } from './transport.ts'

/**
 * How a subscription says who it is:
 *
 * - `header`: as other calls do. Only Node's sockets can.
 * - `frame`: in the first frame of the socket, which the server waits for.
 * - `ticket`: fetches a single-use ticket first and connects with that, for proxies that want to know at once.
 * - `cookie`: the browser adds it by itself, to the server that sent the page.
 */
export type AccessWay = 'header' | 'frame' | 'ticket' | 'cookie'

export interface AccessNeeds {
  readonly credential: Credential | undefined
  /** Undefined: the best one that works here. */
  readonly way: AccessWay | undefined
  readonly isNativeSocket: boolean
  readonly ticket: () => Promise<string>
}

/** The way that is taken. */
export function wayOf({ credential, way, isNativeSocket }: AccessNeeds): AccessWay {
  if (way !== undefined) return way
  if (credential === undefined) return 'cookie'
  return isNativeSocket && takesHeaders() ? 'header' : 'frame'
}

/** Credential for one socket at this address. Rejects with what the credential's function throws, or PulseError. */
export async function accessTo(url: string, needs: AccessNeeds): Promise<Access> {
  const { credential } = needs
  const secret = async () => (typeof credential === 'function' ? await credential() : credential)
  switch (wayOf(needs)) {
    case 'cookie':
      return { url }
    case 'ticket':
      return { url: `${url}?ticket=${encodeURIComponent(await needs.ticket())}` }
    case 'header': {
      const known = await secret()
      return known === undefined ? { url } : { url, headers: { authorization: `Bearer ${known}` } }
    }
    case 'frame': {
      const auth = await secret()
      return auth === undefined ? { url } : { url, auth }
    }
  }
}

/**
 * The address of a socket at this path. `base` is that of the server, `''` in a page that it sent. Throws a TypeError when
 * it is no address.
 */
export function socketUrl(base: string, path: string): string {
  const { location } = globalThis as { location?: { readonly origin: string } }
  const absolute = /^https?:\/\//i.test(base) ? base : `${location?.origin ?? ''}${base}`
  if (!/^https?:\/\//i.test(absolute))
    throw new TypeError(
      `${base || 'An empty address'} is no address of a server, except in a page that it sent.`,
    )
  return `${absolute.replace(/^http/i, 'ws').replace(/\/+$/, '')}${path}`
}

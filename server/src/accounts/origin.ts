import type { FastifyRequest } from 'fastify'

const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/** True if the request can change nothing. */
export function isSafe(request: FastifyRequest): boolean {
  return safeMethods.has(request.method)
}

/**
 * True if a page of this server made the request: its `Origin` is ours. A browser sends `Origin` with every request that
 * changes something, so one without it does not come from our pages and must not use their cookie.
 */
export function isFromOurPage(request: FastifyRequest, publicUrl: string | undefined): boolean {
  const { origin } = request.headers
  if (origin === undefined) return false
  if (publicUrl !== undefined && origin === new URL(publicUrl).origin) return true
  return origin === `${request.protocol}://${request.host}`
}

/** What proxies add. A request with one of them comes from wherever the proxy got it. */
const forwardingHeaders = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip'] as const

/**
 * True if the request was made on this machine to a name of this machine. A page anywhere can point its own name at
 * 127.0.0.1 and then speak to us as its own origin (DNS rebinding), but it cannot change the `Host` that is sent. A
 * proxy on this machine may send a `Host` of ours, but it says for whom it asks.
 */
export function isLocal({ socket, headers }: FastifyRequest): boolean {
  const forwarded = forwardingHeaders.some((name) => headers[name] !== undefined)
  return !forwarded && isLoopbackAddress(socket.remoteAddress ?? '') && isLoopbackHost(headers.host ?? '')
}

function isLoopbackHost(host: string): boolean {
  const name = host.replace(/:\d{1,5}$/, '').toLowerCase()
  if (name === 'localhost' || name.endsWith('.localhost')) return true
  return isLoopbackAddress(name.replace(/^\[|\]$/g, ''))
}

function isLoopbackAddress(address: string): boolean {
  const plain = address.replace(/^::ffff:/i, '')
  return plain === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(plain)
}

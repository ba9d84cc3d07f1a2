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

/**
 * True if the request was made on this machine to a name of this machine. A page anywhere can point its own name at
 * 127.0.0.1 and then speak to us as its own origin (DNS rebinding), but it cannot change the `Host` that is sent.
 */
export function isLocal(request: FastifyRequest): boolean {
  return isLoopbackAddress(request.socket.remoteAddress ?? '') && isLoopbackHost(request.headers.host ?? '')
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

/** What stands for an address in limits: an IPv6 network of 64 bits is one household, with as many addresses as it likes. */
export function addressName(ip: string): string {
  if (!ip.includes(':')) return ip
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip)
  if (mapped?.[1] !== undefined) return mapped[1]
  const [head = '', tail = ''] = ip.split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === '' ? [] : tail.split(':')
  const zeros = ip.includes('::') ? Math.max(0, 8 - before.length - after.length) : 0
  const groups = [...before, ...Array<string>(zeros).fill('0'), ...after]
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`
}

import { isIP } from 'node:net'

/** `203.0.113.7:50123` or `[2001:db8::1]:50123`. */
const withPort = /^(?:(\d+\.\d+\.\d+\.\d+)|\[([\da-f:.]+)\]):\d+$/i

/**
 * What stands for an address in limits: an IPv6 network of 64 bits is one household, with as many addresses as it likes.
 * A trusted proxy may have handed on a port with it, or any text that its client made up; all of those are one.
 */
export function addressName(given: string): string {
  const [, v4, v6] = withPort.exec(given) ?? []
  const ip = (v4 ?? v6 ?? given).toLowerCase()
  const family = isIP(ip)
  if (family === 0) return 'unknown'
  if (family === 4) return ip
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(ip)
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

/** The network of an address that has a name: 24 bits of IPv4, 48 of IPv6, which is what one customer of a provider gets at most. */
export function networkName(name: string): string {
  if (name.includes(':')) return `${name.split(':').slice(0, 3).join(':')}::/48`
  const parts = name.split('.')
  return parts.length === 4 ? `${parts.slice(0, 3).join('.')}.0/24` : name
}

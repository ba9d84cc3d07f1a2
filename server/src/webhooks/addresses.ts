import { type LookupAddress, type LookupOptions, lookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'

/** Addresses of IPv4 that are not one place in the public internet (IANA's special-purpose registry). */
const refused4 = rangesOf('ipv4', [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12'],
  ...['192.0.0.0/24', '192.0.2.0/24', '192.88.99.0/24', '192.168.0.0/16', '198.18.0.0/15'],
  ...['198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/4', '240.0.0.0/4'],
])
/** What of IPv6 is the public internet; loopback, mapped, unique-local, link-local, NAT64 and all the rest lie outside. */
const public6 = rangesOf('ipv6', ['2000::/3'])
/** Parts of that which carry an IPv4 address inside, or are for documents. */
const refused6 = rangesOf('ipv6', ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'])

function rangesOf(family: 'ipv4' | 'ipv6', ranges: readonly string[]): BlockList {
  const list = new BlockList()
  for (const range of ranges) {
    const [net = '', bits] = range.split('/')
    list.addSubnet(net, Number(bits), family)
  }
  return list
}

/** Whether an IP address is one of the public internet. False for what is no IP address. */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !refused4.check(address, 'ipv4')
    case 6: {
      // Node looks up the part after a mapped prefix among the IPv4 ranges, of which these lists have none.
      return public6.check(address, 'ipv6') && !refused6.check(address, 'ipv6')
    }
    default:
      return false
  }
}

/** An address that nothing is sent to. */
export class RefusedAddressError extends Error {
  override name = 'RefusedAddressError'
  constructor(host: string, address: string) {
    super(
      `${host === address ? address : `${host} is ${address}, which`} is not an address of the public internet; ` +
        'a server with WEBHOOK_ALLOW_PRIVATE=true sends there all the same',
    )
  }
}

/** How names become addresses: as `dns.lookup` does. */
export type Resolve = (
  host: string,
  options: LookupOptions & { all: true },
  done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void

/**
 * A lookup for sockets that gives public addresses only: what it gives is what is connected to, so a name that means
 * another address a moment later gains nothing by it.
 */
export function createPublicLookup(resolve: Resolve = lookup): LookupFunction {
  return (host, options, done) => {
    resolve(host, { ...options, all: true }, (error, addresses) => {
      if (error) return done(error, [])
      const allowed = addresses.filter(({ address }) => isPublicAddress(address))
      const [first] = allowed
      if (!first) return done(new RefusedAddressError(host, addresses[0]?.address ?? 'nowhere'), [])
      if (options.all) return done(null, allowed)
      done(null, first.address, first.family)
    })
  }
}

/** Host of a URL as sockets take it: without the brackets of IPv6. */
export const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[(.*)\]$/, '$1')

/**
 * What is wrong with the URL of a webhook, as far as it can be said without asking for addresses; undefined if nothing.
 * A name that means a private address is found when it is connected to.
 */
export function faultOfUrl(text: string, allowPrivate: boolean): string | undefined {
  if (!URL.canParse(text)) return 'must be an absolute URL'
  const url = new URL(text)
  const host = hostOf(url)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'must begin with https://'
  if (url.username !== '' || url.password !== '') return 'must not hold a user or a password'
  if (url.hash !== '') return 'must not hold a fragment'
  if (allowPrivate) return undefined
  if (isIP(host) ? !isPublicAddress(host) : /(^|\.)localhost\.?$/.test(host))
    return `must be of the public internet, which ${host} is not; a server with WEBHOOK_ALLOW_PRIVATE=true takes it`
  if (url.protocol === 'http:')
    return 'must begin with https://; a server with WEBHOOK_ALLOW_PRIVATE=true takes http:// too'
  return undefined
}

import { isIPv4, isIPv6 } from 'node:net'

/** The bytes of an IP address, 4 or 16. */
export type Address = Uint8Array

/** The addresses that share their first bits. */
export interface Block {
  readonly address: Address
  readonly bits: number
}

// No address is longer: `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`.
const addressCharsMax = 45

/**
 * Reads an IPv4 or IPv6 address; undefined if the text is none, or has a zone or a port. An IPv4 address mapped into
 * IPv6 (`::ffff:10.0.0.1`, as servers that listen on both see their callers) is the IPv4 address, as in event-ruler.
 */
export function readAddress(text: string): Address | undefined {
  if (text.length > addressCharsMax) return undefined
  if (isIPv4(text)) return bytesOfV4(text)
  if (!isIPv6(text) || text.includes('%')) return undefined
  const bytes = bytesOfV6(text)
  return isMapped(bytes) ? bytes.slice(12) : bytes
}

/**
 * Reads a block such as `10.0.0.0/8` or `2001:db8::/32`; undefined if the text is none. Bits behind the mask do not
 * count, whatever they are; event-ruler begins the range at the address as it is written, and knows no `/32` or `/128`.
 */
export function readBlock(text: string): Block | undefined {
  const slash = text.indexOf('/')
  const [written, mask] = [text.slice(0, slash), text.slice(slash + 1)]
  if (slash < 0 || written.length > addressCharsMax || !/^\d{1,3}$/.test(mask)) return undefined
  const bits = Number(mask)
  if (isIPv4(written)) return bits <= 32 ? { address: bytesOfV4(written), bits } : undefined
  if (!isIPv6(written) || written.includes('%') || bits > 128) return undefined
  const address = bytesOfV6(written)
  return isMapped(address) && bits >= 96 ? { address: address.slice(12), bits: bits - 96 } : { address, bits }
}

/** Whether the address lies in the block; one of the other version never does. */
export function isInBlock(address: Address, block: Block): boolean {
  if (address.length !== block.address.length) return false
  const whole = block.bits >> 3
  for (let i = 0; i < whole; i++) if (address[i] !== block.address[i]) return false
  const rest = block.bits & 7
  if (rest === 0) return true
  const different = (address[whole] ?? 0) ^ (block.address[whole] ?? 0)
  return different >> (8 - rest) === 0
}

const bytesOfV4 = (text: string): Address => Uint8Array.from(text.split('.'), Number)

/** `text` is a valid address without a zone. */
function bytesOfV6(text: string): Address {
  const bytes = new Uint8Array(16)
  const gap = text.indexOf('::')
  const head = groupsOf(gap < 0 ? text : text.slice(0, gap))
  const tail = gap < 0 ? [] : groupsOf(text.slice(gap + 2))
  bytes.set(head)
  bytes.set(tail, 16 - tail.length)
  return bytes
}

function groupsOf(text: string): number[] {
  if (text === '') return []
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return [...bytesOfV4(group)]
    const value = Number.parseInt(group, 16)
    return [value >> 8, value & 0xff]
  })
}

function isMapped(bytes: Address): boolean {
  return bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff
}

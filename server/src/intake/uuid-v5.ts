import { createHash } from 'node:crypto'

/** The namespace that RFC 9562 gives to names that are URLs. */
export const uuidNamespaceUrl = '6ba7b811-9dad-11d1-80b4-00c04fd430c8'

/** UUIDv5 of RFC 9562: the same name in the same namespace gives the same UUID everywhere. */
export function uuidV5(namespace: string, name: string): string {
  const digest = createHash('sha1')
    .update(Buffer.from(namespace.replaceAll('-', ''), 'hex'))
    .update(name)
    .digest()
  digest[6] = ((digest[6] as number) & 0x0f) | 0x50
  digest[8] = ((digest[8] as number) & 0x3f) | 0x80
  const hex = digest.toString('hex', 0, 16)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

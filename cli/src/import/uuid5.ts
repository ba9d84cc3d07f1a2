import { createHash } from 'node:crypto'

// Belongs to Pulse's imports alone. Changing it would make every import that is repeated a new one.
const namespace = Buffer.from('6f1c0a9e5a0b4c3e8f9d2b7a1e4d6c58', 'hex')

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** True if the text is a UUID in its usual form. */
export const isUuid = (text: string): boolean => uuid.test(text)

/** The UUID of version 5 (RFC 9562) that stands for `name`: the same name always gives the same one. */
export function uuid5(name: string): string {
  const bytes = createHash('sha1').update(namespace).update(name).digest().subarray(0, 16)
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x50, 6)
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8)
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/**
 * Kafka's 32-bit murmur2 over the UTF-8 bytes of a key (seed 0x9747b28c, as org.apache.kafka.common.utils.Utils),
 * so that every driver, and every Kafka client of any language, puts a key into the same partition.
 */
export function murmur2(bytes: Uint8Array): number {
  const length = bytes.length
  const m = 0x5bd1e995
  let h = 0x9747b28c ^ length
  let i = 0
  for (; i + 4 <= length; i += 4) {
    let k =
      (bytes[i] as number) |
      ((bytes[i + 1] as number) << 8) |
      ((bytes[i + 2] as number) << 16) |
      ((bytes[i + 3] as number) << 24)
    k = Math.imul(k, m)
    k ^= k >>> 24
    h = Math.imul(h, m) ^ Math.imul(k, m)
  }
  const rest = length - i
  if (rest === 3) h ^= (bytes[i + 2] as number) << 16
  if (rest >= 2) h ^= (bytes[i + 1] as number) << 8
  if (rest >= 1) h = Math.imul(h ^ (bytes[i] as number), m)
  h ^= h >>> 13
  h = Math.imul(h, m)
  return h ^ (h >>> 15)
}

const encoder = new TextEncoder()
const scratch = new Uint8Array(1024)

/** The partition of a key: the same that Kafka's default partitioner picks for a non-null key. */
export function partitionOf(key: string, partitions: number): number {
  // Three bytes per UTF-16 unit at most: a short key is encoded into one reused buffer.
  const bytes =
    key.length * 3 <= scratch.length
      ? scratch.subarray(0, encoder.encodeInto(key, scratch).written)
      : encoder.encode(key)
  return (murmur2(bytes) & 0x7fffffff) % partitions
}

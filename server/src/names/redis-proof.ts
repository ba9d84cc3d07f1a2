import type { Command } from './redis-link.ts'

/**
 * How it is known that a bitmap still has every bit that was set since somebody verified it. After the bits of the
 * question, on the same connection, these are read:
 * - The mark: 128 bits at a random place, set in the bitmap itself when the rebuild began. They are gone if the key
 *   was deleted, evicted, or overwritten by one from before, and names set them all by chance less often than once
 *   in 10^19 even when the bitmap is seven tenths full.
 * - The length: a bitmap that was cut off behind the mark is shorter.
 * - The sentinel: a second key with a random value. It is gone after FLUSHALL, and whoever finds that bits are missing
 *   deletes it, so that every process stops believing.
 * - The replication id and the role: a Redis that was restarted, with whatever file, or that was promoted, or that was
 *   turned into a replica and back, has another id; a replica has its master's id but another role. A master also takes
 *   another when its first replica comes, or an hour after the last has gone: a rebuild for nothing, but no harm.
 * Why neither MULTI nor a script: what is lost does not come back by itself. If the proof, read after the bits, holds,
 * then nothing was lost before the bits were read. The reverse order would leave a gap, this one does not, and it
 * stays true if the connection breaks between the two and the rest is read from another Redis.
 * What it cannot see is a copy of the key that somebody made after the rebuild began and put back by hand in the same
 * run of Redis; `stats` notices that the bits have become fewer.
 */
export interface Verification {
  /** 32 hexadecimal digits, random. */
  readonly sentinel: string
  /** Redis' `master_replid`. */
  readonly replicationId: string
}

export interface BitmapPlace {
  readonly key: string
  readonly sentinelKey: string
  readonly bits: number
}

const markBits = 128

/** The place of the mark that belongs to a sentinel, in bits; a whole byte, wholly inside. */
function markOffset(sentinel: string, bits: number): number {
  const places = Math.floor((bits - markBits) / 8) + 1
  return (Number.parseInt(sentinel.slice(0, 12), 16) % places) * 8
}

/**
 * Sets the mark, and makes the bitmap as long as it will ever be. Its answer: 0, then what stood where the mark is.
 * A bitmap that grows with its bits is given room for twice as many each time; made at once it takes no more than
 * it needs. INCRBY by 0 lengthens without setting a bit.
 */
export function markCommand({ key, bits }: BitmapPlace, sentinel: string): Command {
  const at = markOffset(sentinel, bits)
  return [
    ...['BITFIELD', key, 'INCRBY', 'u1', String(bits - 1), '0'],
    ...['SET', 'i64', String(at), '-1', 'SET', 'i64', String(at + 64), '-1'],
  ]
}

/** Reads the bits at these positions, and after them what `faultOf` judges. */
export function readCommands(
  { key, sentinelKey, bits }: BitmapPlace,
  sentinel: string,
  positions: readonly number[],
): readonly Command[] {
  const read = ['BITFIELD_RO', key]
  for (const position of positions) read.push('GET', 'u1', String(position))
  const at = markOffset(sentinel, bits)
  read.push('GET', 'i64', String(at), 'GET', 'i64', String(at + 64))
  return [read, ['STRLEN', key], ['GET', sentinelKey], ['INFO', 'replication']]
}

/** What `readCommands` answered, as it came. */
export interface Reading {
  /** The bits that were asked for, then two halves of the mark. */
  readonly fields: readonly number[]
  readonly bytes: number
  readonly sentinel: string | undefined
  readonly role: string | undefined
  readonly replicationId: string | undefined
}

const readCommandsCount = 4

/** Takes the last four answers of a run that ended with `readCommands`. */
export function readingOf(answers: readonly unknown[]): Reading {
  const [fields, bytes, sentinel, info] = answers.slice(-readCommandsCount)
  const replication = String(info)
  return {
    fields: Array.isArray(fields) ? fields.map(Number) : [],
    bytes: Number(bytes),
    sentinel: typeof sentinel === 'string' ? sentinel : undefined,
    role: /^role:(\S+)/m.exec(replication)?.[1],
    replicationId: /^master_replid:(\S+)/m.exec(replication)?.[1],
  }
}

/** Why the bitmap may have lost bits since this verification, or undefined. A rebuild has no sentinel yet. */
export function faultOf(
  reading: Reading,
  { verification, bits, sentinel }: { verification: Verification; bits: number; sentinel: boolean },
): string | undefined {
  if (reading.role !== 'master') return 'it is a replica, or does not tell its role'
  if (reading.replicationId !== verification.replicationId)
    return 'it was started again, or another one was promoted: its replication id has changed'
  if (sentinel && reading.sentinel === undefined) return 'its sentinel is gone'
  if (sentinel && reading.sentinel !== verification.sentinel) return 'somebody else has verified it since'
  if (reading.bytes < Math.ceil(bits / 8)) return 'the bitmap is gone or too short'
  if (reading.fields.at(-1) !== -1 || reading.fields.at(-2) !== -1) return 'the bitmap has lost its mark'
  return undefined
}

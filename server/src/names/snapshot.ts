import { createHash, type Hash } from 'node:crypto'
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { BloomFilter } from '@pulse/log/bloom-filter'
import { z } from 'zod'
import { FilterGeneration } from './filter-generation.ts'
import type { Reached } from './hash-stream.ts'

const form = 'pulse names filter 2'

const headerSchema = z.object({
  form: z.literal(form),
  set: z.string(),
  profile: z.string(),
  database: z.string(),
  epoch: z.int(),
  offset: z.int().nonnegative(),
  seam: z.string().nullable(),
  number: z.int(),
  capacity: z.int().positive(),
  bitsSet: z.int().nonnegative(),
  words: z.int().positive(),
  sha256: z.string(),
})

/** Whose names a filter holds, and up to which place of which log. */
export interface SnapshotPlace {
  /** Id of the set of names. */
  readonly set: string
  readonly profile: string
  /** The database that they were read from: a restored one may have names that this log has never told of. */
  readonly database: string
  /** Every hash below is in the filter. */
  readonly reached: Reached
}

type Facts = Omit<z.infer<typeof headerSchema>, 'sha256'>

const headerBytes = 1_024
/** A piece that is written between two turns of the event loop. */
const pieceBytes = 1024 * 1024

/**
 * Writes a filter beside its place and renames it there, so that a file is whole or not there. `place.reached` must have
 * been read before; bits that are set while it is written do no harm. Rejects with the file system's error.
 */
export async function writeSnapshot(
  path: string,
  generation: FilterGeneration,
  place: SnapshotPlace,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  const temporary = `${path}.${process.pid}`
  const { words } = generation.filter
  const { number, capacity, bitsSet } = generation
  const { set, profile, database, reached } = place
  const facts: Facts = {
    ...{ form, set, profile, database, ...reached, seam: reached.seam ?? null },
    ...{ number, capacity, bitsSet, words: words.length },
  }
  const file = await open(temporary, 'w', 0o600)
  try {
    const sha = digestOf(facts)
    const live = new Uint8Array(words.buffer, words.byteOffset, words.byteLength)
    for (let at = 0; at < live.length; at += pieceBytes) {
      // Copied, because the filter goes on changing and the digest is that of what is written.
      const piece = live.slice(at, at + pieceBytes)
      sha.update(piece)
      await file.write(piece, 0, piece.length, headerBytes + at)
    }
    const header = JSON.stringify({ ...facts, sha256: sha.digest('hex') }).padEnd(headerBytes)
    await file.write(Buffer.from(header), 0, headerBytes, 0)
    await file.sync()
  } catch (error) {
    await file.close()
    await rm(temporary, { force: true })
    throw error
  }
  await file.close()
  await rename(temporary, path)
}

/** A filter from disk, or why it is not used. */
export type SnapshotResult =
  | { readonly kind: 'read'; readonly generation: FilterGeneration; readonly reached: Reached }
  | { readonly kind: 'none' }
  | { readonly kind: 'refused'; readonly reason: string }

/** Reads a filter if it is whole and of these names. */
export async function readSnapshot(
  path: string,
  wanted: Omit<SnapshotPlace, 'reached'> & { readonly epoch: number },
): Promise<SnapshotResult> {
  let bytes: Buffer
  try {
    bytes = await readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { kind: 'none' }
    return { kind: 'refused', reason: (error as Error).message }
  }
  const header = headerOf(bytes)
  if (!header) return { kind: 'refused', reason: 'its header cannot be read' }
  if (bytes.length !== headerBytes + header.words * 4)
    return { kind: 'refused', reason: 'its length is wrong' }
  const body = bytes.subarray(headerBytes)
  const { sha256, ...facts } = header
  if (digestOf(facts).update(body).digest('hex') !== sha256)
    return { kind: 'refused', reason: 'its digest is wrong' }
  if (header.set !== wanted.set || header.profile !== wanted.profile)
    return { kind: 'refused', reason: 'it is of other names' }
  if (header.database !== wanted.database) return { kind: 'refused', reason: 'it is of another database' }
  if (header.epoch !== wanted.epoch) return { kind: 'refused', reason: 'it is of another epoch of the log' }
  // Copied, because words must begin at a multiple of four.
  const words = new Uint32Array(header.words)
  new Uint8Array(words.buffer).set(body)
  const { number, capacity, bitsSet, epoch, offset, seam } = header
  const generation = new FilterGeneration({ number, capacity, bitsSet, filter: new BloomFilter(words) })
  return { kind: 'read', generation, reached: { epoch, offset, seam: seam ?? undefined } }
}

/** A digest that has begun with what the header says: a digit of it that is wrong is as bad as a bit of the filter. */
function digestOf(facts: Facts): Hash {
  const { set, profile, database, epoch, offset, seam, number, capacity, bitsSet, words } = facts
  const place = [form, set, profile, database, epoch, offset, seam]
  return createHash('sha256').update(JSON.stringify([...place, number, capacity, bitsSet, words]))
}

function headerOf(bytes: Buffer): z.infer<typeof headerSchema> | undefined {
  try {
    return headerSchema.safeParse(JSON.parse(bytes.toString('utf8', 0, headerBytes))).data
  } catch {
    return undefined
  }
}

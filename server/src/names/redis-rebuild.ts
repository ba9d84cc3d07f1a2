import { randomBytes } from 'node:crypto'
import type { BitWriter } from './redis-bits.ts'
import { BitmapUnavailable, type Command } from './redis-link.ts'
import {
  type BitmapPlace,
  faultOf,
  markCommand,
  readCommands,
  readingOf,
  type Verification,
} from './redis-proof.ts'

/** A bitmap that is being filled. Rejects with reason `unverified` when Redis lost something since it began. */
export interface BitmapRebuild {
  add(keys: readonly string[]): Promise<void>
  /** From now on the bitmap counts in this process, and others may adopt what this gives. The last rebuild counts. */
  verify(): Promise<Verification>
}

interface RebuildNeeds {
  readonly place: BitmapPlace
  readonly writer: BitWriter
  readonly run: (commands: readonly Command[]) => Promise<unknown[]>
  /** Believes it from now on; throws BitmapUnavailable if it does not count after all. */
  readonly believe: (verification: Verification) => Promise<void>
}

/** Sets a new mark in the Redis that answers. Throws BitmapUnavailable, `refused` if the bitmap is full. */
export async function beginRebuild({ place, writer, run, believe }: RebuildNeeds): Promise<BitmapRebuild> {
  const sentinel = randomBytes(16).toString('hex')
  const read = readCommands(place, sentinel, [])
  const answers = await run([markCommand(place, sentinel), ...read])
  const [, ...before] = Array.isArray(answers[0]) ? answers[0] : []
  // A mark of bits that were all set before would prove nothing. With 128 of them it takes a bitmap without a free bit.
  if (before.every((half) => half === -1))
    throw new BitmapUnavailable('refused', 'the bitmap is full: every name would be a maybe')
  const { replicationId } = readingOf(answers)
  if (replicationId === undefined)
    throw new BitmapUnavailable('refused', 'this Redis does not tell its replication id')
  const verification = { sentinel, replicationId }

  const prove = async (commands: readonly Command[]) => {
    const reading = readingOf(await run([...commands, ...read]))
    const fault = faultOf(reading, { verification, bits: place.bits, sentinel: false })
    if (fault !== undefined) throw new BitmapUnavailable('unverified', `the rebuild was in vain: ${fault}`)
  }
  return {
    add: async (keys) => {
      for await (const commands of writer.commandsFor(keys)) await prove(commands)
    },
    verify: async () => {
      // Two steps: a rebuild in vain must not take the place of one that another process has verified.
      await prove([])
      await prove([['SET', place.sentinelKey, sentinel]])
      await believe(verification)
      return verification
    },
  }
}

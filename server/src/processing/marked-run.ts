import type { HeldPartition } from '@pulse/log/groups'
import type { Attempt, Work } from './outcome.ts'

/** Crashes on one marked event after which it is put aside. */
const crashesMax = 3

/**
 * Runs one event behind a committed mark, so that a process that ends meanwhile is put down to it. An event on which
 * owners of the partition have crashed too often is not run again: it is dead. Rejects with LogError if the mark
 * cannot be made.
 */
export async function runMarked(
  held: HeldPartition,
  work: Work,
  run: () => Attempt | Promise<Attempt>,
): Promise<Attempt> {
  const { offset } = work.record
  if (offset === held.trying && held.crashes >= crashesMax) {
    const message = `The server ended ${held.crashes} times while this event was being handled.`
    return {
      kind: 'dead',
      work,
      failure: { errorClass: 'ProcessCrash', message, permanent: true, handler: 'unknown' },
    }
  }
  await held.mark(offset)
  return await run()
}

import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'

/** A process that outlived the tests that started it. */
export interface Leftover {
  readonly pid: number
  readonly command: string
}

const graceMsMax = 5_000
const lookAgainMs = 100

/**
 * Finds the processes that carry `mark` (as `NAME=value`) in their environment, however deep and in whatever
 * process group they are: a server that a test left running would hold its port and its data for days.
 * Needs Linux's /proc; elsewhere it finds nothing.
 */
function processesWith(mark: string): readonly Leftover[] {
  return processIds().flatMap((pid) => {
    if (pid === process.pid) return []
    try {
      if (!readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(mark)) return []
      return [{ pid, command: readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim() }]
    } catch {
      // It ended while we looked, or belongs to somebody else.
      return []
    }
  })
}

/**
 * Gives the marked processes `graceMsMax` to end by themselves, then kills those that did not and returns them.
 */
export async function endLeftovers(mark: string): Promise<readonly Leftover[]> {
  const deadline = performance.now() + graceMsMax
  let left = processesWith(mark)
  while (left.length > 0 && performance.now() < deadline) {
    await wait(lookAgainMs)
    left = processesWith(mark)
  }
  for (const { pid } of left) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It ended just now.
    }
  }
  // Until it is gone, a killed process holds what it held; a busy machine may take its time to end it.
  const goneBy = performance.now() + graceMsMax
  while (processesWith(mark).length > 0 && performance.now() < goneBy) await wait(lookAgainMs)
  return left
}

function processIds(): readonly number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
  } catch {
    return []
  }
}

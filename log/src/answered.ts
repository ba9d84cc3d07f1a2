import { LogError } from './log.ts'

/**
 * Waits for the database, but not for ever: it can hang without closing the connection (a stopped process, a cut
 * cable). Throws LogError `unavailable` after so many milliseconds; the connection is then of no more use.
 */
export async function answered<T>(answer: Promise<T>, msMax: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    // The error is made when it is needed: with its stack it costs as much as encoding ten events.
    timer = setTimeout(() => reject(new LogError('unavailable', `the database took over ${msMax} ms`)), msMax)
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}

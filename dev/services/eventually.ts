import { setTimeout as pause } from 'node:timers/promises'

/** Waits until `look` gives something, and gives it. Rejects when the deadline has passed. */
export async function eventually<Found>(
  what: string,
  look: () => Promise<Found | undefined>,
  msMax: number,
): Promise<Found> {
  const deadline = performance.now() + msMax
  let cause: unknown
  for (;;) {
    try {
      const found = await look()
      if (found !== undefined) return found
    } catch (error) {
      cause = error
    }
    if (performance.now() > deadline) throw new Error(`${what}: not within ${msMax} ms`, { cause })
    await pause(20)
  }
}

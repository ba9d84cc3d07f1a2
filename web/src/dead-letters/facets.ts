import type { DeadLetter } from '@pulse/client'

/** Dead letters that failed alike: the same error class in the same handler. */
export interface Facet {
  readonly cause: string
  readonly handler: string
  readonly count: number
  /** When the last of them failed. */
  readonly latest: string
}

/** What a dead letter failed of, as a facet names it. */
export function causeOf(letter: DeadLetter): string {
  return letter.error.class
}

/** Counts dead letters by cause and handler, the most frequent first. */
export function facetsOf(letters: readonly DeadLetter[]): readonly Facet[] {
  const facets = new Map<string, Facet>()
  for (const letter of letters) {
    const key = `${causeOf(letter)} ${letter.handler}`
    const held = facets.get(key)
    facets.set(key, {
      cause: causeOf(letter),
      handler: letter.handler,
      count: (held?.count ?? 0) + 1,
      latest: held && held.latest > letter.failed_at ? held.latest : letter.failed_at,
    })
  }
  return [...facets.values()].sort((a, b) => b.count - a.count || a.cause.localeCompare(b.cause))
}

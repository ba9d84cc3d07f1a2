import { type Client, type Filter, PulseError, type SimpleFilter } from '@pulse/client'

const inFlightMax = 16

export interface LoadFilters {
  readonly client: Client
  readonly subscribers: readonly string[]
  readonly filter: SimpleFilter
  readonly signal: AbortSignal
  /** Told how many subscribers have their filter. */
  readonly onProgress: (done: number) => void
}

/**
 * Gives every subscriber this one filter, called `default`. One that has it already is left as it is, because every
 * change is written into every partition of the log. Throws PulseError.
 */
export async function storeLoadFilters(needs: LoadFilters): Promise<void> {
  const left = [...needs.subscribers].reverse()
  let done = 0
  const work = async () => {
    for (let subscriber = left.pop(); subscriber !== undefined; subscriber = left.pop()) {
      await storeOne(needs, subscriber)
      needs.onProgress(++done)
    }
  }
  await Promise.all(Array.from({ length: inFlightMax }, work))
}

async function storeOne({ client, filter, signal }: LoadFilters, subscriber: string): Promise<void> {
  try {
    await client.filters.create({ subscriber_id: subscriber, ...filter }, { signal })
  } catch (error) {
    if (!(error instanceof PulseError) || error.code !== 'conflict') throw error
    const stored = await client.filters.get(subscriber, undefined, { signal })
    if (!isSame(stored, filter)) await client.filters.update(subscriber, 'default', filter, { signal })
  }
}

function isSame(stored: Filter, { event_types, user_tiers, min_amount }: SimpleFilter): boolean {
  const members = [stored.event_types, stored.user_tiers ?? null, stored.min_amount ?? null]
  return JSON.stringify(members) === JSON.stringify([event_types, user_tiers ?? null, min_amount ?? null])
}
